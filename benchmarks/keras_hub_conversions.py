"""Which of timm's networks KerasHub converts right: its features against timm's own, on random pictures.

For every architecture that KerasHub has a converter for, timm builds the full-size network with weights seeded by the
tensors' names and BatchNorm statistics of random pictures, writes it as its directories are (config.json,
model.safetensors) and computes pooled features at several sizes, even and odd: padding conventions differ only in some
of them. The relative error is the largest difference over the largest feature. What exceeds 1e-4 anywhere is refused
by `toolkit.models.keras_hub_backbones`, whose table VERIFIED this script prints.

    python benchmarks/keras_hub_conversions.py --torch-python PYTHON [--architecture NAME]... [--size PIXELS]...

Needs keras-hub and safetensors here (`pip install "toolkit[hub]"`), torch, timm and safetensors in the other PYTHON.
"""

import argparse
import json
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

GOLDENS = Path(__file__).resolve().parents[1] / "tests" / "models" / "goldens"
ARCHITECTURES = (
    *(f"resnet{depth}" for depth in (18, 26, 34, 50, 101, 152)), "resnetv2_50", "resnetv2_101", "resnetv2_152",
    "vgg11", "vgg13", "vgg16", "vgg19", "densenet121", "densenet169", "densenet201",
    "mobilenetv3_small_050", "mobilenetv3_small_100", "mobilenetv3_large_100",
    *(f"efficientnet_{size}" for size in ("b0", "b1", "b2", "b3", "b4", "b5", "lite0", "el", "em", "es")),
    "efficientnetv2_rw_m", "efficientnetv2_rw_s", "efficientnetv2_rw_t",
    "cspdarknet53", "cspresnet50", "cspresnext50", "darknet53",
    *(f"hgnetv2_b{size}" for size in range(7)),
)
SETTINGS = ("mean", "std", "input_size", "interpolation", "crop_pct", "classifier")
RESIDUAL = (".bn3", ".bn2")  # the last BatchNorm of a residual block, and some that are not
SIZES = (224, 225, 130)
TOLERANCE = 1e-4


def pictures(size: int, count: int = 2) -> np.ndarray:
    """Random pictures, float32 (count, size, size, 3) in [0, 255]: coarse squares and fine noise."""
    generator = np.random.default_rng(size)
    squares = np.arange(size) * 9 // size
    coarse = generator.uniform(32, 224, (count, 9, 9, 3))[:, squares][:, :, squares]
    return (coarse + generator.uniform(-32, 31, (count, size, size, 3))).astype(np.float32)


# ---- timm's side, in a Python that has torch -----------------------------------------------------------------------


def make(folder: Path, architecture: str, sizes: Sequence[int]) -> None:
    """Write a directory of timm and `features.npz`: its pooled features at each size.

    Args:
        folder: an existing one.
        architecture: timm's name.
        sizes: sides of the pictures in pixels.
    """
    sys.path.insert(0, str(GOLDENS))
    import torch
    import torchvision_stub

    torchvision_stub.install()
    import timm
    from safetensors.torch import save_file

    model = timm.create_model(architecture).eval()
    tensors = model.state_dict()
    seeded = runpy.run_path(str(GOLDENS / "inputs.py"))["seeded"](
        {name: tuple(tensor.shape) for name, tensor in tensors.items() if tensor.is_floating_point()})
    model.load_state_dict(tensors | {name: torch.from_numpy(array) for name, array in seeded.items()})
    settings = {key: model.pretrained_cfg[key] for key in SETTINGS if key in model.pretrained_cfg}
    mean, std = (255 * np.float32(settings[key]) for key in ("mean", "std"))

    def prepared(size: int, count: int = 2) -> torch.Tensor:
        return torch.from_numpy(((pictures(size, count) - mean) / std).transpose(0, 3, 1, 2).copy())

    _set_statistics(model, prepared(160, 16))
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({
        "architecture": architecture, "num_classes": 1000, "num_features": model.num_features,
        "pretrained_cfg": settings}))
    with torch.no_grad():  # in double precision: rounding is one side's only
        features = {str(size): model.double().forward_features(prepared(size).double()).mean((2, 3)).numpy()
                    for size in sizes}
    np.savez(folder / "features.npz", **features)


def _set_statistics(model: Any, x: Any) -> None:
    """Give every BatchNorm the statistics of what it sees, and the last of a residual block a small scale, as training
    would: else rounding errors grow with depth, to 1e-2 in timm's own single precision."""
    import torch

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
            if name.endswith(RESIDUAL):
                module.weight.data *= 0.1
    with torch.no_grad():
        model.train().forward_features(x)
    model.eval()


# ---- KerasHub's side -----------------------------------------------------------------------------------------------


def errors(folder: Path) -> dict[int, float]:
    """Relative error of the converted network at each size of `features.npz`."""
    from toolkit.models import keras_hub_backbones

    found = {}
    with np.load(folder / "features.npz") as expected:
        for size in map(int, expected):
            features = np.asarray(keras_hub_backbones.converted(folder, size)(pictures(size), training=False))
            difference = np.abs(features - expected[str(size)]).max()
            found[size] = float(difference / np.abs(expected[str(size)]).max())
    return found


def compared(folder: Path) -> tuple[bool, str]:
    """Whether a conversion is right, and its errors as text; an exception of KerasHub is no right conversion."""
    try:
        found = errors(folder)
    except Exception as error:  # whatever KerasHub raises
        return False, f"{type(error).__name__}: {error}".partition("\n")[0]
    return max(found.values()) <= TOLERANCE, "  ".join(f"{size}: {error:.1e}" for size, error in found.items())


def main() -> None:
    """Print one line an architecture, then what belongs into VERIFIED."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--torch-python", help="a Python that has torch, timm and safetensors")
    parser.add_argument("--architecture", action="append", help="default: all that KerasHub has a converter for")
    parser.add_argument("--size", action="append", type=int, help=f"side in pixels; default: {SIZES}")
    parser.add_argument("--make", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    architectures, sizes = arguments.architecture or ARCHITECTURES, arguments.size or SIZES
    if arguments.make:
        make(Path(arguments.make), architectures[0], sizes)
        return
    verified = []
    for architecture in architectures:
        with tempfile.TemporaryDirectory(prefix=f"{architecture}-") as folder:
            command = [arguments.torch_python, __file__, "--make", folder, "--architecture", architecture]
            subprocess.run([*command, *(word for size in sizes for word in ("--size", str(size)))], check=True)
            right, line = compared(Path(folder))
        verified += [architecture] * right
        print(f"{architecture:24s} {'right' if right else 'WRONG'}   {line}", flush=True)
    print(json.dumps(verified))


if __name__ == "__main__":
    main()
