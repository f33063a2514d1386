"""Which devices a run uses: one ``tf.distribute`` strategy a process, and deterministic arithmetic.

A second strategy object in one process can die with a collective shape mismatch, so ``strategy`` makes one and keeps
it. Operations are made deterministic (``tf.config.experimental.enable_op_determinism``): a run is a fact.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from toolkit import ToolkitError

if TYPE_CHECKING:
    import tensorflow as tf

_made: dict[str, "tf.distribute.Strategy"] = {}


def strategy(devices: str = "auto") -> "tf.distribute.Strategy":
    """The strategy of this process; the first call decides.

    Args:
        devices: ``"auto"`` (all GPUs, else the CPU), ``"cpu"``, ``"gpu"`` (all GPUs), ``"gpu:0,2"`` (these), or
            ``"cpu:2"`` (two logical CPU devices, to try distribution without a GPU).

    Returns:
        TensorFlow's default strategy for one device, a ``MirroredStrategy`` for several.

    Raises:
        ToolkitError: if the device is not there, the words are unknown, or this process already uses others.
    """
    import tensorflow as tf

    if devices in _made:
        return _made[devices]
    if _made:
        raise ToolkitError(f"This process already runs on devices {next(iter(_made))!r} and cannot change to "
                           f"{devices!r}: start a new process for it.")
    names = _configure(devices)
    tf.config.experimental.enable_op_determinism()
    _made[devices] = tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.get_strategy()
    return _made[devices]


def _configure(devices: str) -> list[str]:
    """Makes exactly the asked devices visible and returns their names."""
    import tensorflow as tf

    match = re.fullmatch(r"(auto|cpu|gpu)(?::(\d+(?:,\d+)*))?", devices)
    if match is None or match[1] == "auto" and match[2]:
        raise ToolkitError(f"devices is {devices!r}; it must be auto, cpu, gpu, gpu:0,2 (these GPUs) or cpu:2 "
                           f"(two logical devices).")
    gpus = tf.config.list_physical_devices("GPU")
    kind = ("gpu" if gpus else "cpu") if match[1] == "auto" else match[1]
    if kind == "gpu":
        wanted = [int(i) for i in match[2].split(",")] if match[2] else list(range(len(gpus)))
        if not gpus or max(wanted) >= len(gpus):
            raise ToolkitError(f"devices is {devices!r}, but TensorFlow sees {len(gpus)} GPUs. Check the driver and "
                               f"install toolkit[gpu], or use --devices cpu.")
        _set_visible([gpus[i] for i in wanted], "GPU")
        for gpu in wanted:
            with contextlib.suppress(RuntimeError):  # already initialised: memory growth stays as it is
                tf.config.experimental.set_memory_growth(gpus[gpu], True)
        return [f"GPU:{i}" for i in range(len(wanted))]
    _set_visible([], "GPU")
    count = int(match[2] or 1)
    if count > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError as error:
            raise ToolkitError(f"devices is {devices!r}, but TensorFlow has already started in this process; ask "
                               f"for devices before anything else.") from error
    return [f"CPU:{i}" for i in range(count)]


def _set_visible(devices: list, kind: str) -> None:
    import tensorflow as tf

    if tf.config.get_visible_devices(kind) != devices:
        try:
            tf.config.set_visible_devices(devices, kind)
        except RuntimeError as error:
            raise ToolkitError("TensorFlow has already started in this process; ask for devices before anything "
                               "else.") from error
