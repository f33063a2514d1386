"""What the doctor finds, and what it says where something is missing."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from toolkit.training import diagnosis, workers


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def driver(monkeypatch: pytest.MonkeyPatch, *, loaded: bool, tool: bool) -> None:
    there = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: loaded if "nvidia" in str(path) else there(path))
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi" if tool else None)


def test_a_machine_without_a_gpu_is_well(monkeypatch: pytest.MonkeyPatch, no_gpu: None) -> None:
    driver(monkeypatch, loaded=False, tool=False)
    found = diagnosis.gpu()
    assert found.ok and "no NVIDIA driver" in found.text


@pytest.mark.parametrize(("hidden", "cuda", "libraries", "words"), [
    ("-1", True, True, "CUDA_VISIBLE_DEVICES is '-1'"), (None, False, True, "built without CUDA"),
    (None, True, False, "CUDA libraries are not installed"), ("0", True, True, "driver may be too old")])
def test_why_a_gpu_is_not_seen(monkeypatch: pytest.MonkeyPatch, no_gpu: None, hidden: str | None, cuda: bool,
                               libraries: bool, words: str) -> None:
    driver(monkeypatch, loaded=True, tool=True)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: cuda)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if libraries else None)
    found = diagnosis.gpu()
    assert not found.ok and words in found.text


def test_a_driver_that_is_not_loaded(monkeypatch: pytest.MonkeyPatch, no_gpu: None) -> None:
    driver(monkeypatch, loaded=False, tool=True)
    assert "no driver is loaded" in diagnosis.gpu().text


def test_a_full_disk_is_not_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(diagnosis, "_weights", lambda: diagnosis.Finding("weights", True, "not loaded here"))
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "not" / "yet" / "there"))
    found = {one["name"]: one for one in diagnosis.findings("cpu")}
    assert list(found) == ["versions", "extras", "GPU", "workers", "device", "memory", "cache", "this folder", "weights"]
    assert found["cache"]["ok"] and str(tmp_path) in found["cache"]["text"] and "CPU:0" in found["device"]["text"]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    assert "make room" in diagnosis._disk("cache", tmp_path).text


def test_a_refusal_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_weights", lambda: diagnosis.Finding("weights", True, "not loaded here"))
    found = {one["name"]: one for one in diagnosis.findings("gpu:7")}
    assert not found["device"]["ok"] and "TensorFlow sees" in found["device"]["text"]


@pytest.mark.parametrize(("host", "ok", "words"), [
    ("localhost", True, "worker 1 of 2"), ("no-such-host.invalid", False, "no address is known for no-such-host.invalid")])
def test_other_workers_are_looked_up_and_not_waited_for(monkeypatch: pytest.MonkeyPatch, host: str, ok: bool,
                                                        words: str) -> None:
    cluster = {"worker": [f"{host}:1234", "localhost:1235"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 1}}))
    monkeypatch.setattr(diagnosis, "_weights", lambda: diagnosis.Finding("weights", True, "not loaded here"))
    workers.this.cache_clear()
    try:
        found = {one["name"]: one for one in diagnosis.findings("cpu")}
    finally:
        workers.this.cache_clear()
    assert found["workers"]["ok"] is ok and words in found["workers"]["text"]
    assert "waits for the others" in found["device"]["text"]
