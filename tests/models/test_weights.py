"""Weights from files: conversion, its cache, and the files of earlier runs."""

import keras
import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import backbones, catalogue, torch_files, weights

COUNTERPARTS = [("stem_conv", "conv", "convolution"), ("head_logits", "fc", "dense")]


@pytest.fixture
def tensors():
    values = np.arange(10.0)
    return {"conv.weight": values[:8].reshape(2, 1, 2, 2), "fc.weight": values[:6].reshape(3, 2),
            "fc.bias": values[:3], "bn.num_batches_tracked": np.array(1)}


@pytest.fixture
def checkpoint(tmp_path, monkeypatch, tensors):
    """A file whose tensors are `tensors`; `.reads` counts how often it is read."""
    path = tmp_path / "file.pth"
    path.write_bytes(b"a checkpoint")
    reads = []
    monkeypatch.setattr(torch_files, "read", lambda path: reads.append(path) or tensors)
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    return path, reads


def test_convert_transposes_to_keras_layout(tensors):
    arrays = weights.convert(tensors, COUNTERPARTS, "file")
    assert list(arrays) == ["stem_conv/kernel", "head_logits/kernel", "head_logits/bias"]
    assert arrays["stem_conv/kernel"].shape == (2, 2, 1, 2)
    assert arrays["stem_conv/kernel"][1, 0, 0, 1] == tensors["conv.weight"][1, 0, 1, 0]
    np.testing.assert_array_equal(arrays["head_logits/kernel"], tensors["fc.weight"].T)
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays.values())


def test_convert_refuses_what_is_missing_left_over_or_of_another_rank(tensors):
    with pytest.raises(ToolkitError, match="file: has no tensor 'other.weight'"):
        weights.convert(tensors, [("stem_conv", "other", "convolution")], "file")
    with pytest.raises(ToolkitError, match="file: tensor 'fc.weight' and 1 more have no place"):
        weights.convert(tensors, COUNTERPARTS[:1], "file")
    with pytest.raises(ToolkitError, match=r"file: tensor 'fc.weight' has shape \(3, 2\); expected 4 axes"):
        weights.convert(tensors, [("stem_conv", "fc", "convolution")], "file")


def test_converted_is_cached_by_content(checkpoint):
    path, reads = checkpoint
    first, second = weights.converted(path, COUNTERPARTS), weights.converted(path, COUNTERPARTS)
    assert len(reads) == 1
    assert list(first) == list(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    path.write_bytes(b"another checkpoint")
    weights.converted(path, COUNTERPARTS)
    assert len(reads) == 2


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:40], lambda b: b"",
                                    lambda b: b[:-9] + b"x" + b[-8:]])
def test_a_damaged_cache_is_rebuilt(damage, checkpoint, tmp_path):
    path, reads = checkpoint
    expected = weights.converted(path, COUNTERPARTS)
    [cached] = (tmp_path / "cache" / "weights").iterdir()
    whole = cached.read_bytes()
    cached.write_bytes(damage(whole))
    again = weights.converted(path, COUNTERPARTS)
    assert len(reads) == 2
    assert all(np.array_equal(expected[name], again[name]) for name in expected)
    assert [file.name for file in cached.parent.iterdir()] == [cached.name]
    assert len(cached.read_bytes()) == len(whole)


def test_a_cache_folder_that_cannot_be_written_is_no_error(checkpoint, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    path, reads = checkpoint
    weights.converted(path, COUNTERPARTS)
    weights.converted(path, COUNTERPARTS)
    assert len(reads) == 2


def build(weights="none", **options):
    return backbones.build("small_cnn", weights, 8, **{"filters": (4,)} | options)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_weights_of_an_earlier_run(suffix, tmp_path, images):
    first = build()
    path = tmp_path / f"run{suffix}"
    if suffix == ".keras":  # a whole classifier, as a run saves it
        keras.Model(first.input, keras.layers.Dense(3)(first.output)).save(path)
    else:
        backbones.network(first).save_weights(path)
    np.testing.assert_array_equal(build(path).predict_on_batch(images), first.predict_on_batch(images))
    with pytest.raises(ToolkitError, match="its 10 arrays, 284 numbers, do not fit|not the weights of small"):
        build(path, filters=(5,))


def test_files_that_are_no_weights(tmp_path):
    for name, message in {"a.keras": "not a model that Keras can read", "a.weights.h5": "not the weights of small_cnn",
                          "a.txt": "from these kinds of file: .keras, .weights.h5.", "a.pth": "these kinds"}.items():
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ToolkitError, match=message) as refusal:
            build(tmp_path / name)
        assert "\n" not in str(refusal.value)
    with pytest.raises(ToolkitError, match=r"nowhere.keras: no such file.*Check the path"):
        build(tmp_path / "nowhere.keras")


def test_a_checkpoint_of_another_network(goldens, tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    with pytest.raises(ToolkitError, match="tiny_zip.pth: has no tensor 'conv1.weight'"):
        backbones.build("resnet18", goldens.folder / "tiny_zip.pth", 32)


def test_the_embedded_weights_are_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue, "LITE0_PACKAGE", "no_such_package")
    with pytest.raises(ToolkitError, match=r"no such file.*Reinstall the package"):
        backbones.build("efficientnet_lite0", image_size=32)
    assert not catalogue.describe()[0]["present"]
