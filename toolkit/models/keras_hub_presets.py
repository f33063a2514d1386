"""Which networks are taken from KerasHub (extra `hub`), and where they are.

KerasHub turns some of timm's networks into others without a word: where timm pads a convolution of stride 2 on both
sides, some of its graphs pad "same", which at even sizes shifts everything by a pixel. So only what has been compared
with timm is let through (`benchmarks/keras_hub_conversions.py`), and presets made by a wrong conversion are refused.
"""

import difflib
import functools
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from toolkit import ToolkitError
from toolkit.models import checkpoint_files
from toolkit.models.catalogue import KERAS_HUB

# timm's architectures whose features KerasHub 0.32 gives within 1e-4 at 224, 225 and 130 pixels: how the names of the
# tensors of their heads begin, which are left out
VERIFIED = {
    **dict.fromkeys([f"resnet{depth}" for depth in (18, 26, 34, 50, 101, 152)], ("fc.",)),
    **dict.fromkeys(("resnetv2_50", "resnetv2_101", "resnetv2_152"), ("head.",)),
    **dict.fromkeys(("vgg11", "vgg13", "vgg16", "vgg19"), ("pre_logits.", "head.")),
    **dict.fromkeys([f"mobilenetv3_{size}" for size in ("small_050", "small_100", "large_100")],
                    ("conv_head.", "classifier.")),
    **dict.fromkeys([f"efficientnet_b{size}" for size in range(6)], ("classifier.",)),
    **dict.fromkeys(("cspdarknet53", "cspresnet50", "cspresnext50", "darknet53"), ("head.",)),
}

_ONE_PIXEL = "at even sizes its strided convolutions are a pixel away from timm's"
WRONG = {  # how architectures begin, and why they are refused
    "densenet": _ONE_PIXEL,
    "efficientnet_e": _ONE_PIXEL,
    "efficientnetv2_rw": _ONE_PIXEL,
    "efficientnet_lite": "the toolkit builds it itself, with either padding",
}

# classes of KerasHub that take one picture, and how their features become one vector
FAMILIES = dict.fromkeys(
    ("CSPNetBackbone", "DenseNetBackbone", "EfficientNetBackbone", "HGNetV2Backbone", "MiTBackbone",
     "MobileNetBackbone", "ResNetBackbone", "VGGBackbone", "XceptionBackbone"), "average")
FAMILIES |= dict.fromkeys(("DeiTBackbone", "DINOV2Backbone", "ViTBackbone"), "class token")

_ARCHITECTURES = {"csp_darknet_": "cspdarknet", "csp_": "csp", "darknet_": "darknet", "densenet_": "densenet",
                  "efficientnet2_": "efficientnetv2_", "mobilenet_v3_": "mobilenetv3_", "resnet_v2_": "resnetv2_"}


@dataclass(frozen=True)
class Place:
    """A directory with its `config.json`; `architecture` is timm's name, "" where KerasHub saved it."""

    folder: Path
    configuration: dict[str, Any]
    architecture: str


def library() -> ModuleType:
    """KerasHub, which needs safetensors without declaring it.

    Raises:
        ToolkitError: it is not installed.
    """
    try:
        import keras_hub
        import safetensors  # noqa: F401
    except ImportError as error:
        raise _not_installed(first_line(error)) from error
    return keras_hub


def _not_installed(reason: str) -> ToolkitError:
    return ToolkitError(f'KerasHub cannot be imported ({reason}); install it with pip install "toolkit[hub]".')


def first_line(error: Exception) -> str:
    """What an error says, as a part of a sentence."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")


def is_directory(plain: str) -> bool:
    """Whether a name without its `keras_hub:` is that of a directory, not of a preset."""
    return (Path(plain) / "config.json").is_file() or (Path(plain) / "snapshots").is_dir()


def check(name: str) -> None:
    """Refuse what can be refused before KerasHub is loaded or anything downloaded.

    Args:
        name: of a preset or a directory, `keras_hub:` before it or not.

    Raises:
        ToolkitError: the directory or the preset is not known to be right, or KerasHub is not installed.
    """
    plain = name.removeprefix(KERAS_HUB)
    if is_directory(plain):
        located(plain)
    elif reason := _wrong(_architecture(plain)):
        raise ToolkitError(f"{KERAS_HUB}{plain} is refused: it was converted from timm's weights, and {reason}. "
                           "`toolkit backbones` lists what there is instead.")
    if not importlib.util.find_spec("keras_hub"):
        raise _not_installed("it is not installed")


def located(name: str) -> Place:
    """Where a preset or a directory is; a preset is downloaded.

    Args:
        name: of a preset or a directory, `keras_hub:` before it or not.

    Raises:
        ToolkitError: there is none, it cannot be had, or it is not known to be right.
    """
    plain = name.removeprefix(KERAS_HUB)
    if is_directory(plain):
        folder = Path(plain).absolute()
    else:
        check(name)
        folder = _download(_handle(plain))
    if (folder / "snapshots").is_dir():
        folder = checkpoint_files.located(folder).parent
    said = checkpoint_files.configuration(folder)
    if "registered_name" in said:
        family = str(said["registered_name"]).partition(">")[2]
        if family not in FAMILIES:
            raise ToolkitError(f"{folder}: is a {family or 'model'} of KerasHub; expected one of "
                               f"{', '.join(FAMILIES)}.")
        return Place(folder, said, "")
    architecture = str(said.get("architecture", ""))
    _refuse_unless_right(architecture, str(folder))
    return Place(folder, said, architecture)


def _refuse_unless_right(architecture: str, source: str) -> None:
    """Let through what has been compared with timm."""
    supported = f"Supported are {checkpoint_files.SUPPORTED}; through KerasHub {', '.join(VERIFIED)}."
    if not architecture:
        raise ToolkitError(f"{source}: its config.json names no architecture of timm and no backbone of KerasHub. "
                           + supported)
    if architecture not in VERIFIED:
        reason = _wrong(architecture) or "its conversion has not been found equal to timm's network"
        raise ToolkitError(f"{source}: {architecture} is not taken from KerasHub: {reason}. {supported}")


def _wrong(architecture: str) -> str | None:
    return next((reason for start, reason in WRONG.items() if architecture.startswith(start)), None)


def _handle(preset: str) -> str:
    """Where Kaggle has a preset: `keras/resnet/keras/resnet_101_imagenet/3`."""
    hub = library()
    presets = {name: settings for family in FAMILIES for name, settings in getattr(hub.models, family).presets.items()}
    if preset not in presets:
        close = difflib.get_close_matches(preset, presets, n=4, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ToolkitError(f"KerasHub {hub.__version__} has no preset {preset!r} for pictures, and there is no such "
                           f"directory; {hint}Its presets are listed at https://keras.io/keras_hub/presets.")
    return presets[preset]["kaggle_handle"].removeprefix("kaggle://")


def _architecture(preset: str) -> str:
    """How timm's name of what a preset was made from begins."""
    start = next((start for start in _ARCHITECTURES if preset.startswith(start)), "")
    return _ARCHITECTURES.get(start, "") + preset.removeprefix(start)


@functools.cache
def _download(handle: str) -> Path:
    """The folder of a preset, from the cache of `kagglehub` or the network: resumed, verified with the server's MD5."""
    import kagglehub

    address = f"https://www.kaggle.com/models/{handle}"
    print(f"preset from {address}, downloaded on first use", file=sys.stderr)
    try:
        return Path(kagglehub.model_download(handle))
    except Exception as error:  # of requests, kagglesdk and its own
        raise ToolkitError(f"{address} cannot be downloaded ({first_line(error)}); download it elsewhere, unpack it, "
                           "and name its folder as the backbone.") from error
