"""Backbones through KerasHub: its presets and directories, their preprocessing, and what is left of KerasHub in them.

KerasHub is an extra: without it these tests are skipped.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import backbones, keras_hub_backbones, keras_hub_presets, resnet

keras_hub = pytest.importorskip("keras_hub")
save_file = pytest.importorskip("safetensors.numpy").save_file

CONFIGURATION = {"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": {
    "input_size": [3, 64, 64], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5], "interpolation": "bicubic",
    "crop_pct": 0.8}}


@pytest.fixture(scope="module")
def timm(tmp_path_factory, goldens):
    """A directory of timm: resnet18 with seeded weights and its head."""
    folder, shapes = tmp_path_factory.mktemp("resnet18"), {}
    network = backbones.network(backbones.build("resnet18", "none", 64, include_top=True))
    for name, prefix, kind in resnet.torch_counterparts18():
        layer = network.get_layer(name)
        if kind == "normalisation":
            shapes |= {f"{prefix}.{part}": layer.gamma.shape for part in ("weight", "bias", "running_mean",
                                                                          "running_var")}
        elif kind == "dense":
            shapes |= {f"{prefix}.weight": layer.kernel.shape[::-1], f"{prefix}.bias": layer.bias.shape}
        else:
            height, width, inputs, outputs = layer.kernel.shape
            shapes[f"{prefix}.weight"] = (outputs, inputs, height, width)
    save_file(goldens.seeded(shapes), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIGURATION))
    return folder


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A directory as KerasHub saves it: MobileNetV3-Small 0.5, random, made of KerasHub's composite layers."""
    from keras_hub.src.utils.timm import convert_mobilenet

    folder = tmp_path_factory.mktemp("preset")
    keras.utils.set_random_seed(0)
    settings = convert_mobilenet.convert_backbone_config({"architecture": "mobilenetv3_small_050"})
    backbone = keras_hub.models.MobileNetBackbone(**settings)
    for variable in backbone.weights:
        if "moving" in variable.name:
            variable.assign(np.random.default_rng(1).uniform(0.5, 1.5, variable.shape))
    backbone.save_to_preset(str(folder))
    keras_hub.layers.MobileNetImageConverter(
        image_size=(48, 48), scale=[0.01, 0.02, 0.04], offset=[-1.0, -2.0, 0.5], interpolation="bicubic"
    ).save_to_preset(str(folder))
    return folder


def pictures(size, dtype=np.float32):
    return np.random.default_rng(size).integers(0, 256, (2, size, size, 3)).astype(dtype)


def close(one, other):
    return np.abs(np.asarray(one) - np.asarray(other)).max() < 1e-4 * np.abs(np.asarray(other)).max()


# ---- Directories of timm -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 65])
def test_features_are_those_of_our_own_graph(timm, size):
    """Which `test_resnet.py` holds against timm."""
    ours = backbones.network(backbones.build(str(timm), image_size=size))
    theirs = keras_hub_backbones.network(keras_hub_backbones.resolve(str(timm)), "imagenet", size)
    assert theirs.name == "network"
    assert theirs.count_params() == ours.count_params()
    assert close(theirs(pictures(size)), ours(pictures(size)))


def test_preprocessing_is_the_configurations(timm):
    entry = keras_hub_backbones.resolve(str(timm))
    assert (entry.image_size, entry.crop_ratio, entry.interpolation) == (64, 0.8, "bicubic")
    np.testing.assert_allclose(entry.mean, [127.5, 102.0, 76.5])
    np.testing.assert_allclose(entry.std, [51.0, 63.75, 127.5])


def test_a_directory_of_another_architecture_through_build(tmp_path, timm, monkeypatch):
    """What `--backbone DIRECTORY` does: resnet18's tensors pass for an architecture that we do not build."""
    shutil.copytree(timm, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps(CONFIGURATION | {"architecture": "resnet26"}))
    monkeypatch.setattr(keras_hub_backbones, "_loaded", lambda *_: _loaded(str(timm), load_weights=True))
    _loaded = keras_hub.models.Backbone.from_preset
    model = backbones.build(str(tmp_path / "model"))
    assert model.name == "keras_hub_model"
    origin = backbones.origin(model)
    assert origin["preprocessing"] == "the checkpoint's own configuration"
    assert (origin["image_size"], origin["resize_size"], origin["interpolation"]) == (64, 80, "bicubic")
    np.testing.assert_allclose(origin["mean"], [127.5, 102.0, 76.5])
    ours = backbones.build(str(timm))
    images = pictures(90, np.uint8)
    assert close(model(images, training=False), ours(images, training=False))


def spoiled(timm, folder, change):
    from safetensors.numpy import load_file

    tensors = load_file(timm / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIGURATION))
    return keras_hub_backbones.resolve(str(folder))


def test_a_number_left_over_is_refused(timm, tmp_path):
    entry = spoiled(timm, tmp_path, lambda tensors: tensors.update({"layer1.0.se.weight": np.zeros(7, np.float32)}))
    with pytest.raises(ToolkitError, match="holds 11,186,119 numbers beside the head, but resnet18 has 11,186,112"):
        keras_hub_backbones.network(entry, "imagenet", 64)


@pytest.mark.parametrize("change", [lambda tensors: tensors.pop("conv1.weight"),
                                    lambda tensors: tensors.update({"bn1.bias": np.zeros(3, np.float32)})],
                         ids=["missing", "shape"])
def test_a_tensor_missing_or_of_another_shape_is_refused(timm, tmp_path, change):
    with pytest.raises(ToolkitError, match="cannot be read as a preset of KerasHub"):
        keras_hub_backbones.network(spoiled(timm, tmp_path, change), "imagenet", 64)


def test_a_damaged_file_is_refused(timm, tmp_path):
    (tmp_path / "model.safetensors").write_bytes((timm / "model.safetensors").read_bytes()[:100_000])
    (tmp_path / "config.json").write_text(json.dumps(CONFIGURATION))
    with pytest.raises(ToolkitError, match="cannot be read as a preset of KerasHub"):
        keras_hub_backbones.network(keras_hub_backbones.resolve(str(tmp_path)), "imagenet", 64)


def test_only_safetensors(tmp_path):
    (tmp_path / "pytorch_model.bin").touch()
    (tmp_path / "config.json").write_text(json.dumps(CONFIGURATION))
    with pytest.raises(ToolkitError, match="holds no model.safetensors"):
        keras_hub_backbones.network(keras_hub_backbones.resolve(str(tmp_path)), "imagenet", 64)


def test_a_configuration_without_mean(tmp_path):
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    with pytest.raises(ToolkitError, match="does not say how pictures are prepared"):
        keras_hub_backbones.resolve(str(tmp_path))


# ---- Directories of KerasHub ---------------------------------------------------------------------------------------


def test_features_are_kerashubs_and_its_layers_are_opened(preset):
    network = keras_hub_backbones.network(keras_hub_backbones.resolve(str(preset)), "imagenet", 48)
    backbone = keras_hub.models.Backbone.from_preset(str(preset))
    scaled = pictures(48) * np.float32([0.01, 0.02, 0.04]) + np.float32([-1.0, -2.0, 0.5])
    assert close(network(pictures(48), training=False), np.mean(backbone(scaled, training=False), axis=(1, 2)))
    assert not [layer for layer in network.layers if type(layer).__module__.startswith("keras_hub")]
    assert network.count_params() == backbone.count_params()
    assert len(backbones.blocks(network)) > 4


def test_preprocessing_is_the_image_converters(preset):
    model = backbones.build(str(preset))
    origin = backbones.origin(model)
    assert (origin["image_size"], origin["resize_size"], origin["interpolation"]) == (48, 48, "bicubic")
    np.testing.assert_allclose(origin["mean"], [100.0, 100.0, -12.5], rtol=1e-5)
    np.testing.assert_allclose(origin["std"], [100.0, 50.0, 25.0], rtol=1e-5)
    converter = keras_hub.layers.ImageConverter.from_preset(str(preset))
    backbone = keras_hub.models.Backbone.from_preset(str(preset))
    images = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3)).astype(np.uint8)
    assert close(model(images, training=False), np.mean(backbone(converter(images), training=False), axis=(1, 2)))


def test_a_saved_model_loads_without_keras_hub_and_without_this_package(preset, tmp_path):
    model = backbones.build(str(preset))
    images = pictures(70, np.uint8)
    np.savez(tmp_path / "expected.npz", images=images, features=np.asarray(model(images, training=False)))
    model.save(tmp_path / "model.keras")
    code = ("import sys; sys.modules['keras_hub'] = sys.modules['toolkit'] = None\n"
            "import keras, numpy\n"
            "stored = numpy.load('expected.npz')\n"
            "features = keras.saving.load_model('model.keras')(stored['images'], training=False)\n"
            "assert abs(features - stored['features']).numpy().max() < 1e-5")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_a_run_and_weights_of_a_run(preset, tmp_path):
    model = backbones.build(str(preset), "none", 32)
    assert not close(model(pictures(40, np.uint8), training=False),
                     backbones.build(str(preset), image_size=32)(pictures(40, np.uint8), training=False))
    model.save(tmp_path / "model.keras")
    backbones.network(model).save_weights(tmp_path / "run.weights.h5")
    for file in ("model.keras", "run.weights.h5"):
        again = backbones.build(str(preset), tmp_path / file, 32)
        np.testing.assert_allclose(again(pictures(40, np.uint8), training=False),
                                   model(pictures(40, np.uint8), training=False), atol=1e-5)


def test_a_head_and_grey_pictures(preset):
    assert backbones.build(str(preset), "none", 32, include_top=True, num_classes=5).output_shape == (None, 5)
    with pytest.raises(ToolkitError, match="channels=3"):
        backbones.build(str(preset), "none", 32, channels=1)
    with pytest.raises(ToolkitError, match="has no option 'alpha'; it has none"):
        backbones.build(str(preset), "none", 32, alpha=2)


@pytest.mark.parametrize("file", ["image_converter.json", "model.weights.h5"])
def test_a_preset_without_one_of_its_files(preset, tmp_path, file):
    shutil.copytree(preset, tmp_path / "preset")
    (tmp_path / "preset" / file).unlink()
    with pytest.raises(ToolkitError, match=f"image_converter.json: no such file|cannot be read as a preset.*{file}|"
                                           "cannot be read as a preset of KerasHub"):
        backbones.build(str(tmp_path / "preset"))


def test_damaged_weights_of_a_preset(preset, tmp_path):
    shutil.copytree(preset, tmp_path / "preset")
    (tmp_path / "preset" / "model.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ToolkitError, match="cannot be read as a preset of KerasHub"):
        backbones.build(str(tmp_path / "preset"))


def test_a_vision_transformer_keeps_its_layers_and_its_size(tmp_path, capsys):
    backbone = keras_hub.models.ViTBackbone((32, 32, 3), 16, 2, 2, 8, 16)
    backbone.save_to_preset(str(tmp_path))
    keras_hub.layers.ViTImageConverter(image_size=(32, 32), scale=1 / 255).save_to_preset(str(tmp_path))
    model = backbones.build(str(tmp_path))
    assert model.output_shape == (None, 8)
    assert "layers of KerasHub remain" in capsys.readouterr().err
    expected = backbone(pictures(32) / 255, training=False)[:, 0]
    assert close(backbones.network(model)(pictures(32), training=False), expected)
    with pytest.raises(ToolkitError, match="takes pictures of 32 pixels, not of 48"):
        backbones.build(str(tmp_path), image_size=48)


# ---- Presets by name -----------------------------------------------------------------------------------------------


def test_a_preset_by_name_is_downloaded_by_kagglehub(preset, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("kagglehub.model_download", lambda handle: asked.append(handle) or str(preset))
    model = backbones.build("keras_hub:mobilenet_v3_small_050_imagenet")
    assert set(asked) == {"keras/mobilenetv3/keras/mobilenet_v3_small_050_imagenet/1"} or all(
        handle.split("/")[3] == "mobilenet_v3_small_050_imagenet" for handle in asked)
    assert model.name == "keras_hub_mobilenet_v3_small_050_imagenet"
    assert close(model(pictures(48, np.uint8), training=False),
                 backbones.build(str(preset))(pictures(48, np.uint8), training=False))
    output = capsys.readouterr()
    assert output.out == ""
    assert "https://www.kaggle.com/models/keras/" in output.err


def test_offline_one_sentence_says_what_to_download(monkeypatch):
    def offline(_):
        raise ConnectionError("Failed to resolve 'www.kaggle.com'\nand much more")

    monkeypatch.setattr("kagglehub.model_download", offline)
    with pytest.raises(ToolkitError) as refusal:
        backbones.build("keras_hub:resnet_101_imagenet")
    assert str(refusal.value).startswith("https://www.kaggle.com/models/keras/")
    assert str(refusal.value).endswith("resnet_101_imagenet/3 cannot be downloaded (Failed to resolve "
                                       "'www.kaggle.com'); download it elsewhere, unpack it, and name its folder as "
                                       "the backbone.")


@pytest.mark.parametrize(("name", "why"), [
    ("densenet_121_imagenet", "a pixel away from timm's"), ("efficientnet_lite0_ra_imagenet", "builds it itself"),
    ("efficientnet2_rw_t_ra2_imagenet", "a pixel away"), ("efficientnet_es_ra_imagenet", "a pixel away")])
def test_presets_of_wrong_conversions_are_refused(name, why, monkeypatch):
    monkeypatch.setattr("kagglehub.model_download", lambda _: pytest.fail("asked the network"))
    with pytest.raises(ToolkitError, match=f"keras_hub:{name} is refused: .*{why}"):
        backbones.build(f"keras_hub:{name}")


@pytest.mark.parametrize(("name", "hint"), [("resnet_101_imagnet", "did you mean resnet_101_imagenet"),
                                            ("bert_base_en", "has no preset 'bert_base_en' for pictures")])
def test_unknown_presets(name, hint):
    with pytest.raises(ToolkitError, match=hint):
        backbones.build(f"keras_hub:{name}")


def test_every_preset_named_wrong_exists_and_the_families_have_presets():
    presets = [name for family in keras_hub_presets.FAMILIES
               for name in getattr(keras_hub.models, family).presets]
    assert len(presets) > 80
    for start in keras_hub_presets.WRONG:
        assert any(keras_hub_presets._architecture(preset).startswith(start) for preset in presets)


def test_linear_probe_and_its_saved_model(preset, small_table, tmp_path):
    from recipes import linear_probe
    from toolkit.tables import read_table
    from toolkit.training import Settings

    settings = Settings(backbone=str(Path(preset)), image_size=32)
    report = linear_probe.run(read_table(small_table), output=tmp_path / "run", settings=settings)
    assert report["training"]["preprocessing"]["preprocessing"] == "the checkpoint's own configuration"
    again = backbones.build(str(tmp_path / "run"))
    assert again.output_shape[1] == 288
