"""Checkpoints in all their forms: files, directories, hub caches, and what a configuration says."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import checkpoint_files, own_networks

checkpoint_writers = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "checkpoint_writers.py")))
TENSORS = {"w": np.arange(3, dtype="f4")}
SAFETENSORS = b"".join(checkpoint_writers.safetensors(TENSORS))
TIMM = {"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": {
    "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "input_size": [3, 96, 96], "interpolation": "bicubic",
    "crop_pct": 0.95, "crop_mode": "center", "first_conv": "conv1"}}


def directory(folder, name="model.safetensors", content=SAFETENSORS, configuration=TIMM):
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    if configuration is not None:
        (folder / "config.json").write_text(json.dumps(configuration))
    return folder


def holds_the_tensors(checkpoint):
    return list(checkpoint.tensors) == ["w"] and np.array_equal(checkpoint.tensors["w"], TENSORS["w"])


@pytest.mark.parametrize(("name", "content"), [
    ("a.safetensors", SAFETENSORS), ("a.pth", checkpoint_writers.torch_zip(TENSORS)),
    ("a.pt", checkpoint_writers.torch_legacy(TENSORS)), ("a.bin", checkpoint_writers.torch_zip(TENSORS))])
def test_files(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    checkpoint = checkpoint_files.read(tmp_path / name)
    assert holds_the_tensors(checkpoint)
    assert checkpoint.path == tmp_path / name and checkpoint.configuration == {}


def test_directories(tmp_path):
    for number, (name, content) in enumerate([("model.safetensors", SAFETENSORS),
                                              ("pytorch_model.bin", checkpoint_writers.torch_zip(TENSORS))]):
        folder = directory(tmp_path / str(number), name, content)
        for path in (folder, folder / name):
            checkpoint = checkpoint_files.read(path)
            assert holds_the_tensors(checkpoint) and checkpoint.configuration == TIMM
    assert checkpoint_files.read(directory(tmp_path / "bare", configuration=None)).configuration == {}


@pytest.fixture
def hub(tmp_path):
    """A model of a hub cache with two snapshots, whose files are links into blobs."""
    root = tmp_path / "models--timm--resnet18.a1_in1k"
    for number, commit in enumerate("ab"):
        folder = directory(root / "blobs" / commit, configuration=TIMM | {"number": number})
        snapshot = root / "snapshots" / (commit * 40)
        snapshot.mkdir(parents=True)
        for file in folder.iterdir():
            (snapshot / file.name).symlink_to(f"../../blobs/{commit}/{file.name}")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("b" * 40)
    return root


def test_a_hub_cache(hub):
    checkpoint = checkpoint_files.read(hub)
    assert holds_the_tensors(checkpoint) and checkpoint.configuration["number"] == 1
    assert checkpoint_files.read(hub / "snapshots" / ("a" * 40)).configuration["number"] == 0
    (hub / "blobs" / "b" / "model.safetensors").unlink()
    with pytest.raises(ToolkitError, match="points to a file that is not there"):
        checkpoint_files.read(hub)


def test_which_snapshot_of_a_hub_cache(hub):
    for reference in ("c" * 40, "../../../etc", ""):
        (hub / "refs" / "main").write_text(reference)
        with pytest.raises(ToolkitError, match="names no snapshot that is there"):
            checkpoint_files.read(hub)
    (hub / "refs" / "main").unlink()
    with pytest.raises(ToolkitError, match="names no snapshot that is there"):
        checkpoint_files.read(hub)
    for file in (hub / "snapshots" / ("a" * 40)).iterdir():
        file.unlink()
    (hub / "snapshots" / ("a" * 40)).rmdir()
    assert holds_the_tensors(checkpoint_files.read(hub))


def test_what_is_no_checkpoint(tmp_path):
    (tmp_path / "a.ckpt").touch()
    (tmp_path / "empty").mkdir()
    split = directory(tmp_path / "split", "model.safetensors.index.json", b"{}")
    for path, message in [(tmp_path / "a.ckpt", r"not a kind of checkpoint that is read\. Supported are \.safetensors"),
                          (tmp_path / "empty", "holds neither model.safetensors nor pytorch_model.bin"),
                          (split, "split into several files"), (tmp_path / "nowhere", "no such file")]:
        with pytest.raises(ToolkitError, match=message) as refusal:
            checkpoint_files.read(path)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b"[" * 99_999, b"\xff", b" " * (2**20 + 1)])
def test_configurations_that_are_none(content, tmp_path):
    folder = directory(tmp_path / "a")
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ToolkitError, match="config.json: "):
        checkpoint_files.read(folder)


def test_the_architecture_and_its_padding():
    assert checkpoint_files.architecture(TIMM) == ("resnet18", "symmetric")
    assert checkpoint_files.architecture({"pretrained_cfg": {"architecture": "tf_efficientnet_lite0"}}) == (
        "efficientnet_lite0", "same")
    for other in ({}, {"architecture": 3}, {"architecture": "a\nb"}, {"architectures": ["ResNet"]}):
        assert checkpoint_files.architecture(other) is None


def test_the_architectures_are_those_with_counterparts():
    assert set(checkpoint_files.ARCHITECTURES) == set(own_networks.COUNTERPARTS)


def test_the_preprocessing_nested_and_flat():
    expected = {"image_size": 96, "mean": (127.5, 102.0, 76.5), "std": (51.0, 51.0, 51.0), "crop_ratio": 0.95,
                "interpolation": "bicubic"}
    assert checkpoint_files.preprocessing(TIMM, "a") == expected
    assert checkpoint_files.preprocessing(TIMM["pretrained_cfg"], "a") == expected
    assert checkpoint_files.preprocessing({"mean": None, "label_names": []}, "a") == {}


@pytest.mark.parametrize(("name", "value"), [
    ("mean", [0.5]), ("mean", "abc"), ("mean", [0.5, 0.5, float("nan")]), ("mean", 3), ("std", [0.2, 0, 0.2]),
    ("input_size", [3, 224, 225]), ("input_size", [1, 224, 224]), ("input_size", 224), ("input_size", [3, 1e3, 1e3]),
    ("crop_pct", 0), ("crop_pct", "x"), ("crop_pct", 1.5), ("crop_mode", "squash"), ("interpolation", "hamming"),
    ("interpolation", ["bicubic"])])
def test_preprocessing_that_is_not_supported(name, value):
    with pytest.raises(ToolkitError, match=f"a.json: its configuration has {name} .* not supported") as refusal:
        checkpoint_files.preprocessing({"pretrained_cfg": {name: value}}, "a.json")
    assert "\n" not in str(refusal.value)
