"""What this machine offers a training, and why something is missing: the findings of ``toolkit doctor``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import toolkit
from toolkit import ToolkitError
from toolkit.training import workers

PACKAGES = ("tensorflow", "keras", "scikit-learn", "numpy", "pandas")
EXTRAS = {"hub": ("keras_hub", "safetensors"), "plots": ("matplotlib",), "denoise": ("skimage",), "series": ("aeon",)}
LEAST_MEMORY_GB, LEAST_DISK_GB = 2.0, 1.0
BATCH_SIZE, SECONDS = 16, 3.0


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        ok: False where a training would suffer from it.
        text: what was found, and what to do where it is not well.
    """

    name: str
    ok: bool
    text: str


def findings(devices: str = "auto") -> list[dict[str, Any]]:
    """Looks at packages, devices, other workers, memory, disk, embedded weights and speed, in this order.

    Args:
        devices: as for ``devices.strategy``.

    Returns:
        JSON-ready dicts of ``Finding``; a look that fails is a finding that is not ok.
    """
    looks: dict[str, Callable[[], Finding]] = {
        "versions": _versions, "extras": _extras, "GPU": gpu, "workers": _workers, "device": lambda: _device(devices),
        "memory": _memory,
        "cache": lambda: _disk("cache", toolkit.cache_folder()),
        "this folder": lambda: _disk("this folder", Path.cwd()), "weights": _weights}
    found = []
    for name, look in looks.items():
        try:
            found.append(look())
        except ToolkitError as error:
            found.append(Finding(name, False, str(error)))
    return [asdict(one) for one in found]


def _versions() -> Finding:
    words = [f"toolkit {toolkit.__version__}", f"Python {platform.python_version()}"]
    words += [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return Finding("versions", True, f"{', '.join(words)}; {platform.platform()}, {os.cpu_count()} processor cores")


def _extras() -> Finding:
    states = [f"{extra} {'installed' if all(importlib.util.find_spec(module) for module in modules) else 'missing'}"
              for extra, modules in EXTRAS.items()]
    return Finding("extras", True, f"{', '.join(states)} (pip install \"toolkit[NAME]\")")


def gpu() -> Finding:
    """The GPUs that TensorFlow sees; where a machine has one that it does not see, why."""
    import tensorflow as tf

    seen = tf.config.list_physical_devices("GPU")
    if seen:
        names = [tf.config.experimental.get_device_details(one).get("device_name", one.name) for one in seen]
        return Finding("GPU", True, f"{len(seen)}: {', '.join(names)}")
    driver, hidden = Path("/proc/driver/nvidia/version").exists(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if not driver and not shutil.which("nvidia-smi"):
        return Finding("GPU", True, "none: no NVIDIA driver is loaded, so this machine has no GPU that TensorFlow can "
                                    "use")
    if not driver:
        why = "nvidia-smi is there but no driver is loaded: install or load the driver, or start the container with "
        return Finding("GPU", False, f"none: {why}its GPUs (--gpus all)")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return Finding("GPU", False, f"none: CUDA_VISIBLE_DEVICES is {hidden!r}, which hides every GPU: unset it")
    if not tf.test.is_built_with_cuda():
        return Finding("GPU", False, "none: this TensorFlow was built without CUDA: pip install \"toolkit[gpu]\"")
    if importlib.util.find_spec("nvidia") is None:
        return Finding("GPU", False, "none: a driver is loaded but the CUDA libraries are not installed: pip install "
                                     "\"toolkit[gpu]\"")
    return Finding("GPU", False, "none, although driver and CUDA libraries are there: the driver may be too old for "
                                 "this TensorFlow (nvidia-smi shows the CUDA version it serves)")


def _workers() -> Finding:
    """Whether this process is one of several, and whether the others' machines have an address."""
    worker = workers.this()
    if worker.count == 1:
        return Finding("workers", True, "this process works alone: neither TF_CONFIG nor Slurm names others")
    lost = []
    for host in dict.fromkeys(address.rpartition(":")[0] for address in workers.addresses()):
        try:
            socket.getaddrinfo(host.strip("[]"), None)
        except OSError:
            lost.append(host)
    place = f"worker {worker.index} of {worker.count}"
    if lost:
        return Finding("workers", False, f"{place}; no address is known for {', '.join(lost)}: look at TF_CONFIG")
    return Finding("workers", True, f"{place}, the chief, which writes the files" if worker.is_chief else place)


def _device(devices: str) -> Finding:
    import tensorflow as tf

    from toolkit.training.devices import strategy

    if workers.this().count > 1:
        return Finding("device", True, f"--devices {devices} on each worker; not tried, since it waits for the others")
    replicas = strategy(devices).num_replicas_in_sync
    used = (tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU"))[:replicas]
    names = ", ".join(one.name.rpartition("device:")[2] for one in used)
    return Finding("device", True, f"--devices {devices} uses {names}")


def _memory() -> Finding:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) / 2**20 for line in lines}
        free, whole = sizes["MemAvailable"], sizes["MemTotal"]
    except (OSError, KeyError, ValueError, IndexError):
        return Finding("memory", True, f"not known on {sys.platform}")
    advice = "" if free >= LEAST_MEMORY_GB else f"; less than {LEAST_MEMORY_GB:g} GB: close other programs"
    return Finding("memory", free >= LEAST_MEMORY_GB, f"{free:.1f} of {whole:.1f} GB free{advice}")


def _disk(name: str, folder: Path) -> Finding:
    there = next(one for one in (folder, *folder.resolve().parents) if one.exists())
    free = shutil.disk_usage(there).free / 2**30
    if not os.access(there, os.W_OK):
        return Finding(name, False, f"{folder}: no permission to write there")
    advice = "" if free >= LEAST_DISK_GB else f"; less than {LEAST_DISK_GB:g} GB: make room"
    return Finding(name, free >= LEAST_DISK_GB, f"{folder}: {free:.1f} GB free{advice}")


def _weights() -> Finding:
    """Loads the embedded network and times it: images a second, forwards, without reading files."""
    from toolkit.models import backbones
    from toolkit.training import Settings, loop

    settings = Settings()
    backbone = backbones.build(settings.backbone, weights=settings.weights)
    size = backbones.preprocessing(backbone).image_size
    network = backbones.fold_batch_normalization(backbones.network(backbone))
    images = np.random.default_rng(0).normal(size=(BATCH_SIZE, size, size, 3)).astype(np.float32)
    if not np.isfinite(loop.predict(network, [images])).all():
        return Finding("weights", False, f"{backbone.name} loads, but its features are not finite: reinstall "
                                         "TensorFlow")
    batches, start = 0, time.monotonic()
    while time.monotonic() - start < SECONDS:
        loop.predict(network, [images])
        batches += 1
    speed = BATCH_SIZE * batches / (time.monotonic() - start)
    return Finding("weights", True, f"{backbone.name} loads; its features of {speed:,.0f} images a second at {size} "
                                    "pixels, without reading files")
