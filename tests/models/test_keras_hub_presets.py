"""What is taken from KerasHub and what is refused, without KerasHub: nothing is imported before it is refused."""

import json
import subprocess
import sys

import pytest

from toolkit import ToolkitError
from toolkit.models import keras_hub_presets, weight_sources
from toolkit.models.keras_hub_presets import VERIFIED, WRONG


def directory(folder, **configuration):
    (folder / "config.json").write_text(json.dumps(configuration))
    return str(folder)


@pytest.mark.parametrize("architecture", ["densenet121", "densenet169", "efficientnet_es", "efficientnetv2_rw_t"])
def test_conversions_known_to_be_wrong_are_refused_with_the_reason(tmp_path, architecture):
    with pytest.raises(ToolkitError, match=f"{architecture} is not taken from KerasHub: at even sizes .* a pixel"):
        weight_sources.find(directory(tmp_path, architecture=architecture))


@pytest.mark.parametrize("architecture", ["vit_base_patch16_224", "resnet18d", "tf_efficientnet_b2", "resnet101d"])
def test_what_has_not_been_compared_is_refused(tmp_path, architecture):
    with pytest.raises(ToolkitError, match=f"{architecture} is not taken from KerasHub: its conversion has not been "
                                           r"found equal.*Supported are .*; through KerasHub .*resnet101"):
        weight_sources.find(directory(tmp_path, architecture=architecture))


def test_another_class_of_keras_hub_is_refused(tmp_path):
    name = directory(tmp_path, registered_name="keras_hub>BertBackbone")
    with pytest.raises(ToolkitError, match="is a BertBackbone of KerasHub; expected one of .*ResNetBackbone"):
        weight_sources.find(name)


def test_a_configuration_without_a_name(tmp_path):
    with pytest.raises(ToolkitError, match="names no architecture of timm and no backbone of KerasHub"):
        weight_sources.find(directory(tmp_path, pretrained_cfg={}))


def test_nothing_is_both_right_and_wrong():
    assert VERIFIED
    assert not [name for name in VERIFIED for start in WRONG if name.startswith(start)]


@pytest.mark.parametrize(("preset", "architecture"), [
    ("densenet_121_imagenet", "densenet121_imagenet"), ("efficientnet2_rw_t_ra2_imagenet", "efficientnetv2_rw_t"),
    ("efficientnet_lite0_ra_imagenet", "efficientnet_lite0"), ("resnet_v2_50_imagenet", "resnetv2_50"),
    ("csp_darknet_53_ra_imagenet", "cspdarknet53"), ("mobilenet_v3_small_050_imagenet", "mobilenetv3_small_050")])
def test_presets_by_the_names_of_timm(preset, architecture):
    assert keras_hub_presets._architecture(preset).startswith(architecture)


def test_a_directory_of_an_architecture_that_is_right(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_hub_presets.importlib.util, "find_spec", lambda _: True)
    source = weight_sources.find(directory(tmp_path, architecture="resnet101"))
    assert (source.entry.name, source.entry.family) == (f"keras_hub:{tmp_path}", "keras_hub")
    place = keras_hub_presets.located(source.entry.name)
    assert (place.folder, place.architecture) == (tmp_path, "resnet101")


def test_without_keras_hub_one_sentence_says_how_to_install_it():
    code = ("import sys; sys.modules['keras_hub'] = None\n"
            "from toolkit.models import keras_hub_presets\n"
            "from toolkit.models import weight_sources\n"
            "for ask in (keras_hub_presets.located, weight_sources.find):\n"
            "    try: ask('keras_hub:resnet_101_imagenet')\n"
            "    except ValueError as error: print(type(error).__name__, error)\n"
            "assert not {'keras', 'tensorflow'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ('ToolkitError KerasHub cannot be imported (it is not installed); install it with pip '
                           'install "toolkit[hub]".\n') * 2


@pytest.mark.parametrize("name", ["densenet_121_imagenet", "efficientnet_lite0_ra_imagenet"])
def test_presets_of_wrong_conversions_are_refused_before_anything_is_loaded(name):
    with pytest.raises(ToolkitError, match=f"keras_hub:{name} is refused: it was converted from timm's weights, and"):
        weight_sources.find(f"keras_hub:{name}")
