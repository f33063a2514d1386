"""What both sides of a golden test compute on: photographs and seeded weights. Needs NumPy and Pillow only."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def photographs(folder: Path) -> np.ndarray:
    """Eight pictures of 224 pixels, uint8 (8, 224, 224, 3): the corners of two photographs that scikit-learn brings.

    Args:
        folder: `sklearn/datasets/images`, which has china.jpg and flower.jpg, both 640 x 427.
    """
    crops = []
    for name in ("china.jpg", "flower.jpg"):
        with Image.open(folder / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        crops += [pixels[top : top + 224, left : left + 224] for top in (0, 203) for left in (0, 416)]
    return np.stack(crops)


def seeded(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights for a network in PyTorch's naming, each a function of its name and shape only.

    Kernels are He-normal; BatchNorm has scales and variances in [0.5, 1.5] and shifts and means around 0.
    """
    arrays = {}
    for name, shape in shapes.items():
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        if len(shape) > 1:
            values = generator.normal(0.0, np.sqrt(2.0 / np.prod(shape[1:])), shape)
        elif name.endswith(("bias", "mean")):
            values = generator.normal(0.0, 0.1, shape)
        else:
            values = generator.uniform(0.5, 1.5, shape)
        arrays[name] = values.astype(np.float32)
    return arrays
