"""Tensors on the memory of NumPy arrays.

TensorFlow copies an array twice on its way into a variable and keeps the memory that it has once had; for a network
whose largest kernel is most of it (VGG) that is four times its size. Handed over by DLPack, nothing is copied.

References:
    https://dmlc.github.io/dlpack/latest/
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

_ALIGNMENT = 64  # bytes; where an array begins elsewhere, TensorFlow copies it


def zeros(shape: Sequence[int]) -> np.ndarray:
    """A float32 array that `tensor` need not copy; it takes memory only where something is written."""
    count = math.prod(shape)
    memory = np.zeros(4 * count + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + 4 * count].view(np.float32).reshape(shape)


def tensor(array: np.ndarray) -> tf.Tensor:
    """A tensor of the values of an array, which must not be written to from now on.

    Args:
        array: contiguous; from `zeros`, if it shall not be copied.

    Returns:
        A tensor of the same shape and type, on the CPU.
    """
    if array.size == 0:
        return tf.zeros(array.shape, array.dtype)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
