"""Weights from files: conversion, and the files of earlier runs."""

import random
import weakref

import keras
import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import backbones, catalogue, weights
from toolkit.models.layers import zeros_at_first
from toolkit.models.small_networks import small_cnn

COUNTERPARTS = [("stem_conv", "conv", "convolution"), ("head_logits", "fc", "dense")]


@pytest.fixture
def tensors():
    values = np.arange(10.0)
    return {"conv.weight": values[:8].reshape(2, 1, 2, 2), "fc.weight": values[:6].reshape(3, 2),
            "fc.bias": values[:3], "bn.num_batches_tracked": np.array(1)}


def test_convert_transposes_to_keras_layout(tensors):
    arrays = dict(weights.convert(tensors, COUNTERPARTS, "file"))
    assert list(arrays) == ["stem_conv/kernel", "head_logits/kernel", "head_logits/bias"]
    assert arrays["stem_conv/kernel"].shape == (2, 2, 1, 2)
    assert arrays["stem_conv/kernel"][1, 0, 0, 1] == tensors["conv.weight"][1, 0, 1, 0]
    np.testing.assert_array_equal(arrays["head_logits/kernel"], tensors["fc.weight"].T)


def test_a_convolution_over_whole_maps_becomes_dense():
    tensor = np.arange(24.0).reshape(2, 3, 2, 2)
    array = weights.to_keras("convolution_as_dense", "kernel", tensor, "file")
    assert array.shape == (12, 2)
    np.testing.assert_array_equal(array[:, 1], tensor[1].ravel())
    assert weights.to_keras("convolution_as_dense", "bias", tensor[0, 0, 0], "file").shape == (2,)


def test_convert_refuses_what_is_missing_left_over_or_of_another_rank(tensors):
    with pytest.raises(ToolkitError, match="file: has no tensor 'other.weight'"):
        weights.convert(tensors, [("stem_conv", "other", "convolution")], "file")
    with pytest.raises(ToolkitError, match="file: tensor 'fc.weight' and 1 more have no place"):
        weights.convert(tensors, COUNTERPARTS[:1], "file")
    del tensors["fc.bias"]
    with pytest.raises(ToolkitError, match=r"file: tensor 'fc.weight' has shape \(3, 2\); expected 4 axes"):
        dict(weights.convert(tensors, [("stem_conv", "fc", "convolution"), ("x", "conv", "depthwise")], "file"))


def test_tensors_of_layers_that_are_not_wanted_may_be_missing(tensors):
    assert dict(weights.convert(tensors, COUNTERPARTS, "file", {"stem_conv"})).keys() == {"stem_conv/kernel"}
    del tensors["fc.weight"], tensors["fc.bias"]
    assert dict(weights.convert(tensors, COUNTERPARTS, "file", {"stem_conv"})).keys() == {"stem_conv/kernel"}
    with pytest.raises(ToolkitError, match="no tensor 'fc.weight'"):
        weights.convert(tensors, COUNTERPARTS, "file")


def test_tensors_are_read_one_at_a_time(tensors):
    """An array that was given out is not held any longer."""

    class Reading(dict):
        def __getitem__(self, name):
            array = super().__getitem__(name).copy()
            alive.append(weakref.ref(array))
            return array

    alive, at_once = [], []
    for _, _ in weights.convert(Reading(tensors), COUNTERPARTS, "file"):
        at_once.append(sum(reference() is not None for reference in alive))
    assert len(alive) == 3 and max(at_once) == 1


@pytest.mark.parametrize("chunk", [1, 7, 2**22])
def test_assign_in_pieces_of_any_size(chunk, monkeypatch):
    monkeypatch.setattr(weights, "_CHUNK", chunk)
    inputs = keras.Input((5,))
    network = keras.Model(inputs, keras.layers.Dense(4, name="dense")(inputs))
    kernel, bias = np.arange(20.0).reshape(4, 5).T, np.arange(4, dtype=np.int64)
    weights.assign(network, [("dense/kernel", kernel), ("dense/bias", bias), ("head/kernel", bias)], "file")
    np.testing.assert_array_equal(network.get_layer("dense").kernel, kernel)
    np.testing.assert_array_equal(network.get_layer("dense").bias, bias)
    with pytest.raises(ToolkitError, match=r"file: dense/kernel has shape \(4, 5\); expected \(5, 4\)"):
        weights.assign(network, [("dense/kernel", kernel.T)], "file")
    with pytest.raises(ToolkitError, match=r"file: dense/bias is missing; expected an array of shape \(4,\)"):
        weights.assign(network, [("dense/kernel", kernel)], "file")


def test_weights_on_the_memory_of_arrays_can_be_trained():
    """TensorFlow may change a variable in place only where nobody else sees its memory."""
    inputs = keras.Input((2,))
    networks = [keras.Model(inputs, keras.layers.Dense(2, name="dense")(inputs)) for _ in range(2)]
    start = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    weights.assign(networks[0], [("dense/kernel", start), ("dense/bias", start[0])], "file")
    networks[1].set_weights([start, start[0]])
    for network in networks:
        network.compile("adam", "mse")
        network.fit(start, np.zeros((2, 2)), epochs=2, verbose=0, shuffle=False)
    np.testing.assert_array_equal(networks[0].get_weights()[0], networks[1].get_weights()[0])
    assert start[0, 0] == 1 and networks[0].get_weights()[0][0, 0] != 1


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
                          "a.txt": "cannot be read as weights of small_cnn. Supported are .safetensors, .pth",
                          "a.pth": "Supported are"}.items():
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ToolkitError, match=message) as refusal:
            build(tmp_path / name)
        assert "\n" not in str(refusal.value)
    with pytest.raises(ToolkitError, match=r"nowhere.keras: no such file.*Check the path"):
        build(tmp_path / "nowhere.keras")


def test_a_checkpoint_of_another_network(goldens):
    with pytest.raises(ToolkitError, match="tiny_zip.pth: has no tensor 'conv1.weight'"):
        backbones.build("resnet18", goldens.folder / "tiny_zip.pth", 32)


def test_the_embedded_weights_are_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue, "LITE0_PACKAGE", "no_such_package")
    with pytest.raises(ToolkitError, match=r"no such file.*Reinstall the package"):
        backbones.build("efficientnet_lite0", image_size=32)
    assert not catalogue.describe()[0]["present"]


def test_networks_that_wait_for_their_weights_say_and_draw_what_others_do():
    def graph():
        pixels = keras.Input((8, 8, 3))
        return keras.Model(pixels, small_cnn(pixels, filters=(4,)))

    keras.utils.set_random_seed(0)
    plain, next_number = graph(), random.random()
    keras.utils.set_random_seed(0)
    with zeros_at_first() as networks:
        networks.append(graph())
    assert random.random() == next_number
    assert not any(variable.numpy().any() for variable in networks[0].get_layer("block1_conv1").weights)
    networks[0].set_weights(plain.get_weights())
    assert backbones.fingerprint(networks[0]) == backbones.fingerprint(plain)
    assert graph().get_layer("block1_conv1").kernel.numpy().any()
