"""Which devices a run uses: one ``tf.distribute`` strategy a process, and deterministic arithmetic.

A process that is one of several workers (see ``workers``) uses its devices together with theirs.

A second strategy object in one process can die with a collective shape mismatch, so ``strategy`` makes one and keeps
it. Operations are made deterministic (``tf.config.experimental.enable_op_determinism``): a run is a fact.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from toolkit import ToolkitError
from toolkit.training import workers

if TYPE_CHECKING:
    import tensorflow as tf

_made: list[tuple[list[str], "tf.distribute.Strategy"]] = []  # at most one


def strategy(devices: str = "auto") -> "tf.distribute.Strategy":
    """The strategy of this process; the first call decides.

    Args:
        devices: ``"auto"`` (all GPUs, else the CPU), ``"cpu"``, ``"gpu"`` (all GPUs), ``"gpu:0,2"`` (these), or
            ``"cpu:2"`` (two logical CPU devices, to try distribution without a GPU).

    Returns:
        TensorFlow's default strategy for one device, a ``MirroredStrategy`` for several, and one that spans all
        workers where there are several.

    Raises:
        ToolkitError: if the device is not there, the words are unknown, or this process already uses others.
    """
    import tensorflow as tf

    names = _names(devices)
    if not _made:
        _configure(names)
        tf.config.experimental.enable_op_determinism()
        visible = [f"{name[:3]}:{i}" for i, name in enumerate(names)]  # visible GPUs are counted from 0 again
        _made.append((names, _over(names, visible)))
    (used, made), = _made
    if used != names:
        raise ToolkitError(f"This process already runs on {', '.join(used)} and cannot change to {', '.join(names)}: "
                           f"start a new process for it.")
    return made


def made() -> "tf.distribute.Strategy":
    """The strategy of this process, which ``strategy`` has made."""
    return _made[0][1]


def _over(names: list[str], visible: list[str]) -> "tf.distribute.Strategy":
    """The strategy over devices of this process, and of all other workers."""
    import tensorflow as tf

    if workers.this().count > 1:
        if names[0].startswith("CPU") and len(names) > 1:
            raise ToolkitError(f"--devices cpu:{len(names)} tries distribution within one process, and this one is one "
                               f"of {workers.this().count} workers already: use --devices cpu.")
        return workers.strategy()
    return tf.distribute.MirroredStrategy(visible) if len(names) > 1 else tf.distribute.get_strategy()


def _names(devices: str) -> list[str]:
    """The devices that the words mean, such as ["GPU:0", "GPU:2"]; an error if they are not there."""
    import tensorflow as tf

    match = re.fullmatch(r"(auto)|(cpu)(?::([1-9]\d?))?|(gpu)(?::(\d+(?:,\d+)*))?", devices)
    if match is None:
        raise ToolkitError(f"devices is {devices!r}; it must be auto, cpu, gpu, gpu:0,2 (these GPUs) or cpu:2 "
                           f"(two logical devices).")
    gpus = tf.config.list_physical_devices("GPU")
    if match[2] or match[1] and not gpus:
        return [f"CPU:{i}" for i in range(int(match[3] or 1))]
    wanted = sorted({int(i) for i in match[5].split(",")}) if match[5] else list(range(len(gpus)))
    if not gpus or max(wanted) >= len(gpus):
        raise ToolkitError(f"devices is {devices!r}, but TensorFlow sees {len(gpus)} GPUs. Check the driver and "
                           f"install toolkit[gpu], or use --devices cpu.")
    return [f"GPU:{i}" for i in wanted]


def _configure(names: list[str]) -> None:
    """Makes exactly these devices visible."""
    import tensorflow as tf

    gpus = [tf.config.list_physical_devices("GPU")[int(name[4:])] for name in names if name.startswith("GPU")]
    try:
        if tf.config.get_visible_devices("GPU") != gpus:
            tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        if not gpus and len(names) > 1:
            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * len(names))
    except (RuntimeError, ValueError) as error:
        raise ToolkitError("TensorFlow has already started in this process with other devices: ask for devices before "
                           "anything else.") from error
