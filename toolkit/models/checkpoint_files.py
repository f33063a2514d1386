"""Checkpoints of the PyTorch world, as they come: one file, or a directory as a hub cache holds it.

| what | holds |
|---|---|
| `.safetensors`; `.pth`, `.pt`, `.bin` (zip or legacy) | tensors by name |
| a directory | `model.safetensors` or `pytorch_model.bin`, and `config.json`: timm on architecture and pictures |
| `models--timm--resnet18.a1_in1k` | such directories as `snapshots/<hash>`, and in `refs/main` the hash of the latest |

Reading needs no PyTorch and runs nothing that stands in a file; a tensor is read when it is asked for, so that loading
needs the memory of one tensor beside the network.

References:
    https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    https://github.com/huggingface/pytorch-image-models/blob/main/timm/data/config.py
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import ToolkitError
from toolkit.models import safetensors_files, torch_files

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "alexnet_torchvision", "vgg11", "vgg16", "mobilenetv3_small_100",
                 "efficientnet_b0", "efficientnet_lite0")  # what their tensors are known of
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
SUPPORTED = (f"{', '.join(SUFFIXES)} or a directory as a hub cache holds it, of {', '.join(ARCHITECTURES)}; "
             ".keras, .weights.h5 or the folder of a finished run, of any backbone")
_FILES = ("model.safetensors", "pytorch_model.bin")
_MAX_TEXT = 2**20  # bytes of a config.json
_INTERPOLATIONS = {"nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic", "lanczos": "lanczos3"}


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    `path` is the file of the tensors, `tensors` name to array (each is read when it is asked for), `configuration` what
    the `config.json` beside it says, {} where there is none.
    """

    path: Path
    tensors: Mapping[str, np.ndarray]
    configuration: dict[str, Any]


def read(path: str | Path) -> Checkpoint:
    """Read a checkpoint, whichever of the forms above it has.

    Args:
        path: the file or the directory.

    Raises:
        ToolkitError: it is none of them, or it is damaged, or holds more than tensors.
    """
    path = located(path)
    tensors = (safetensors_files if path.suffix == ".safetensors" else torch_files).read(path)
    return Checkpoint(path, tensors, configuration(path))


def located(path: str | Path) -> Path:
    """The file of the tensors: the path itself, or the one in a directory.

    Raises:
        ToolkitError: the directory holds none, or one that is split into several files.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise ToolkitError(f"{path}: no such file, expected the weights of a backbone. Check the path.")
        if path.suffix not in SUFFIXES:
            raise ToolkitError(f"{path}: not a kind of checkpoint that is read. Supported are {SUPPORTED}.")
        return path
    folder = _snapshot(path)
    for name in _FILES:
        if (folder / name).is_file():
            return folder / name
        if (folder / name).is_symlink():
            raise ToolkitError(f"{folder / name}: points to a file that is not there; download the checkpoint again.")
        if (folder / f"{name}.index.json").exists():
            raise ToolkitError(f"{folder}: its weights are split into several files, which is not read; save them as "
                               f"one {_FILES[0]}.")
    raise ToolkitError(f"{path}: holds neither {' nor '.join(_FILES)}. Supported are {SUPPORTED}.")


def _snapshot(path: Path) -> Path:
    """The latest snapshot in a hub cache's folder of one model; any other directory is one itself."""
    snapshots = path / "snapshots"
    if not snapshots.is_dir():
        return path
    known = sorted(folder.name for folder in snapshots.iterdir() if folder.is_dir())
    latest = _text(path / "refs" / "main").strip() if (path / "refs" / "main").is_file() else ""
    if latest not in known:
        if latest or len(known) != 1:
            raise ToolkitError(f"{path}: refs/main names no snapshot that is there; name one of the folders in "
                               f"{snapshots}, or download the checkpoint again.")
        latest = known[0]
    return snapshots / latest


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_TEXT + 1)
        if len(content) > _MAX_TEXT:
            raise ToolkitError(f"{path}: has more than {_MAX_TEXT:,} bytes; expected a few lines of text.")
        return content.decode("utf-8")
    except OSError as error:
        raise ToolkitError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError:
        raise ToolkitError(f"{path}: is no UTF-8 text; download the checkpoint again.") from None


# ---- What the configuration says ----------------------------------------------------------------------------------


def configuration(path: str | Path) -> dict[str, Any]:
    """What the `config.json` of a checkpoint says; {} where there is none.

    Args:
        path: the file or the directory. A file has one if it bears one of the names that a hub cache gives.

    Raises:
        ToolkitError: it is no JSON, or no dict.
    """
    path = Path(path)
    if path.is_dir():
        folder = _snapshot(path)
    elif path.name in _FILES:
        folder = path.parent
    else:
        return {}
    if not (folder / "config.json").is_file():
        return {}
    try:
        content = json.loads(_text(folder / "config.json"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ToolkitError):
            raise
        raise ToolkitError(f"{folder / 'config.json'}: is no JSON; download the checkpoint again.") from None
    if not isinstance(content, dict):
        raise ToolkitError(f"{folder / 'config.json'}: expected a dict, as timm writes it; download it again.")
    return content


def architecture(configuration: Mapping[str, Any]) -> tuple[str, str] | None:
    """The backbone that a configuration names, and the padding of its convolutions.

    Args:
        configuration: of a checkpoint.

    Returns:
        Name and "same" (timm's names that begin with `tf_`: BatchNorm's epsilon is TensorFlow's too) or "symmetric";
        None where no architecture of timm is named.

    Example:
        >>> architecture({"architecture": "tf_efficientnet_b0.ns_jft_in1k"})
        ('efficientnet_b0', 'same')
    """
    name = _flat(configuration).get("architecture")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,200}", name):
        return None
    plain = name.partition(".")[0]
    return plain.removeprefix("tf_"), "same" if plain.startswith("tf_") else "symmetric"


def preprocessing(configuration: Mapping[str, Any], source: str) -> dict[str, Any]:
    """How the pictures are prepared, as far as a configuration says it.

    Args:
        configuration: of a checkpoint, nested under `pretrained_cfg` or flat.
        source: its path, for messages.

    Returns:
        Some of image_size (int), mean and std (3 numbers each, of pixels in [0, 255]), crop_ratio (in (0, 1]) and
        interpolation (a name of `keras.layers.Resizing`).

    Raises:
        ToolkitError: a value that cannot be right, or one that is not supported.

    Example:
        >>> preprocessing({"pretrained_cfg": {"input_size": [3, 64, 64], "crop_pct": 1}}, "config.json")
        {'image_size': 64, 'crop_ratio': 1.0}
    """
    values = _flat(configuration)
    found: dict[str, Any] = {}
    for name, read_value in _READERS.items():
        if values.get(name) is not None:
            try:
                found |= read_value(values[name])
            except (TypeError, ValueError, KeyError):
                raise ToolkitError(f"{source}: its configuration has {name} {str(values[name])[:80]!r}, which is not "
                                   "supported; correct its config.json, or load its file of weights under another "
                                   "name for the backbone's own preprocessing.") from None
    return found


def _flat(configuration: Mapping[str, Any]) -> dict[str, Any]:
    nested = configuration.get("pretrained_cfg")
    return {**configuration, **(nested if isinstance(nested, dict) else {})}


def _colours(values: Any) -> list[float]:
    numbers = [255.0 * float(value) for value in values]
    if len(numbers) != 3 or not all(math.isfinite(number) for number in numbers) or isinstance(values, str):
        raise ValueError
    return [round(number, 9) for number in numbers]


def _std(values: Any) -> dict[str, Any]:
    numbers = _colours(values)
    if min(numbers) <= 0:
        raise ValueError
    return {"std": tuple(numbers)}


def _image_size(values: Any) -> dict[str, Any]:
    channels, height, width = values
    if channels != 3 or height != width or type(height) is not int or not 1 <= height <= 4096:
        raise ValueError
    return {"image_size": height}


def _crop_ratio(value: Any) -> dict[str, Any]:
    if not 0 < float(value) <= 1:
        raise ValueError
    return {"crop_ratio": float(value)}


def _crop_mode(value: Any) -> dict[str, Any]:
    if value != "center":  # squash and border deform or pad
        raise ValueError
    return {}


_READERS = {
    "input_size": _image_size,
    "mean": lambda values: {"mean": tuple(_colours(values))},
    "std": _std,
    "crop_pct": _crop_ratio,
    "crop_mode": _crop_mode,
    "interpolation": lambda value: {"interpolation": _INTERPOLATIONS[value]},
}
