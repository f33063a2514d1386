"""The table of backbones against the networks it describes."""

import subprocess
import sys

import keras
import pytest

from toolkit import ToolkitError
from toolkit.models import backbones, catalogue
from toolkit.models.catalogue import ENTRIES, resolve

KERAS = [name for name, entry in ENTRIES.items() if entry.constructor]


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet34", "small_cnn", "mlp", "mobilenet_v3_small",
                                  *(pytest.param(name, marks=pytest.mark.slow) for name in KERAS)])
def test_numbers_of_the_table_are_those_of_the_network(name):
    keras.backend.clear_session()
    entry = ENTRIES[name]
    network = backbones.network(backbones.build(name, "none"))
    assert network.input_shape == (None, entry.image_size, entry.image_size, 3)
    assert network.output_shape == (None, entry.num_features)
    assert network.count_params() == entry.num_parameters


def test_every_family_of_keras_is_there():
    constructors = {name for name in dir(keras.applications) if name[0].isupper()}
    assert {ENTRIES[name].constructor for name in KERAS} == constructors


def test_describe(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    rows = {row["name"]: row for row in catalogue.describe()}
    assert list(rows)[0] == "efficientnet_lite0"
    assert rows["efficientnet_lite0"] == {
        "name": "efficientnet_lite0", "family": "efficientnet_lite", "image_size": 224, "num_features": 1280,
        "num_parameters": 3_413_024, "weights": "embedded", "present": True, "kinds": ["image"],
        "note": "ImageNet weights installed with this package; the default"}
    assert (rows["small_cnn"]["weights"], rows["small_cnn"]["present"]) == ("none", True)
    assert (rows["keras_vgg16"]["weights"], rows["keras_vgg16"]["present"]) == ("download", False)
    (tmp_path / "models").mkdir()
    ENTRIES["keras_vgg16"].weights_path().write_bytes(b"")
    assert {row["name"]: row for row in catalogue.describe()}["keras_vgg16"]["present"]
    assert backbones.describe is catalogue.describe


@pytest.mark.parametrize(("spelling", "name"), [
    ("resnet50", "resnet50"), ("keras_resnet50", "keras_resnet50"), ("keras/ResNet50", "keras_resnet50"),
    ("ResNet50V2", "resnet50_v2"), ("MobileNetV2", "mobilenet_v2"), ("keras_mobilenet_v2", "mobilenet_v2"),
    ("efficientnetb0", "efficientnet_b0"), ("EfficientNetV2B0", "efficientnet_v2_b0"), ("VGG16", "vgg16"),
    ("convnext-tiny", "convnext_tiny"), ("NASNetLarge", "nasnet_large"),
])
def test_resolve(spelling, name):
    assert resolve(spelling).name == name


def test_every_keras_name_resolves_to_itself():
    assert all(resolve(entry.constructor).constructor in (entry.constructor, "") for entry in ENTRIES.values()
               if entry.constructor)
    assert all(resolve(name).name == name for name in ENTRIES)


@pytest.mark.parametrize("name", ["keras_hub:resnet_101_imagenet", "keras_hub:/somewhere/a_directory",
                                  "keras_hub_resnet_101_imagenet"])
def test_presets_of_keras_hub_are_taken_as_they_are(name):
    entry = resolve(name)
    assert (entry.name, entry.family, entry.weights, entry.weights_path()) == (name, "keras_hub", "download", None)


def test_close_names_are_offered():
    with pytest.raises(ToolkitError, match="'efficientnet_lite1'; did you mean efficientnet_lite0"):
        resolve("efficientnet_lite1")


def test_the_table_is_light():
    code = ("import sys; from toolkit.models import catalogue; catalogue.describe(); "
            "assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)
