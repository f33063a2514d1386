"""The door to all networks: raw images in, features out, in a file that needs nothing of ours."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import toolkit
from toolkit import ToolkitError
from toolkit.models import backbones

OTHER_PROCESS = """
import sys, numpy, keras
for number in range(5):
    model = keras.saving.load_model(f"model{number}.keras")
    numpy.save(f"features{number}.npy", model.predict_on_batch(numpy.load(f"images{number}.npy")))
assert not any(name.partition(".")[0] == "toolkit" for name in sys.modules)

from toolkit.models import backbones
keras.layers.Dense(3), keras.ops.mean(keras.Input((3,))), keras.layers.Dense(3)
keras.utils.set_random_seed(0)
print(backbones.fingerprint(backbones.build("small_cnn", "none", 8, filters=(4, 4), activation="maxout", channels=1)))
"""


@functools.cache
def lite0_of_32_pixels(antialias):
    return backbones.build("efficientnet_lite0", "none", 32, antialias=antialias)


def tiny(**options):
    return backbones.build("small_cnn", "none", 8, **{"filters": (4, 4), "activation": "maxout"} | options)


def test_layers_of_the_model(images):
    model = backbones.build("resnet18", "none", 32)
    assert [layer.name for layer in model.layers] == ["image", "pixels", "resizing", "centre_crop", "network"]
    assert model.name == "resnet18"
    assert (model.input.shape, model.input.dtype) == ((None, None, None, 3), "uint8")
    assert backbones.preprocessing(model) == backbones.Preprocessing(32, 37, "bilinear", False)
    assert backbones.network(model).input_shape == (None, 32, 32, 3)
    assert [layer.name for layer in tiny().layers] == ["image", "pixels", "resizing", "network"]


def test_pictures_of_any_size(images):
    model = tiny()
    assert model.predict_on_batch(images).shape == (2, 4)
    assert model.predict_on_batch(images[:, :5, :3]).shape == (2, 4)


@pytest.mark.parametrize("shape", [(23, 31), (31, 23), (300, 200), (5, 7), (37, 37)])
@pytest.mark.parametrize("antialias", [False, True])
def test_preprocessing_is_the_same_in_the_model_and_in_tf_data(shape, antialias):
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
    model = lite0_of_32_pixels(antialias)
    prepare = keras.Model(model.input, model.get_layer("centre_crop").output)
    within = prepare.predict_on_batch(images)
    resizing, crop = model.get_layer("resizing"), model.get_layer("centre_crop")
    dataset = tf.data.Dataset.from_tensor_slices(images).map(lambda image: crop(resizing(image)))
    np.testing.assert_array_equal(within, np.stack(list(dataset.as_numpy_iterator())))
    np.testing.assert_array_equal(within, np.stack([crop(resizing(tf.cast(image, "float32"))) for image in images]))
    assert within.dtype == np.float32
    assert shape == (37, 37) or not np.array_equal(within, np.round(within))


def test_preprocessing_stays_in_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny()
    finally:
        keras.config.set_dtype_policy("float32")
    network = backbones.network(model)
    assert all(layer.compute_dtype == "float32" for layer in [model.get_layer("resizing"), network.layers[1]])
    assert network.get_layer("block1_conv1").compute_dtype == "bfloat16"


@pytest.mark.contract
def test_in_another_process_saved_models_need_nothing_of_ours_and_fingerprints_are_the_same(images, tmp_path):
    mobilenet = backbones.build("mobilenetv3_small_100", "none", 32)
    models = [tiny(channels=1, include_top=True, num_classes=3), backbones.build("mobilenet", "none", 32, alpha=0.25),
              backbones.fold_batch_normalization(backbones.network(tiny())),
              backbones.fold_batch_normalization(backbones.network(mobilenet)),
              backbones.build("vgg11", "none", 32, hidden=(8, 4))]
    inputs = [images, images, images[:, :8, :8].astype(np.float32),
              np.tile(images, (1, 2, 2, 1))[:, :32, :32].astype(np.float32), images]
    for number, (model, pictures) in enumerate(zip(models, inputs, strict=True)):
        model.save(tmp_path / f"model{number}.keras")
        np.save(tmp_path / f"images{number}.npy", pictures)
    root = Path(toolkit.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    printed = subprocess.run([sys.executable, "-c", OTHER_PROCESS], cwd=tmp_path, check=True, capture_output=True,
                             env=environment, text=True).stdout
    for number, (model, pictures) in enumerate(zip(models, inputs, strict=True)):
        np.testing.assert_allclose(np.load(tmp_path / f"features{number}.npy"), model.predict_on_batch(pictures),
                                   atol=1e-6)
    keras.utils.set_random_seed(0)
    assert printed.strip() == backbones.fingerprint(tiny(channels=1))


def test_grey_is_the_average_of_the_channels(images):
    model = tiny(channels=1)
    grey = np.repeat(images[..., :1], 3, axis=-1)
    assert backbones.network(model).get_layer("block1_conv1").kernel.shape == (3, 3, 1, 8)
    np.testing.assert_allclose(model.predict_on_batch(grey), model.predict_on_batch(grey.copy()[..., ::-1]))
    swapped = images[..., [2, 0, 1]]
    np.testing.assert_allclose(model.predict_on_batch(images), model.predict_on_batch(swapped), rtol=1e-4)


def test_fingerprint_is_of_graph_and_weights(tmp_path):
    model = tiny()
    first = backbones.fingerprint(model)
    model.save(tmp_path / "model.keras")
    assert backbones.fingerprint(keras.saving.load_model(tmp_path / "model.keras")) == first
    model.trainable = False
    assert backbones.fingerprint(model) == first
    changed = [tiny(pooling="average"), tiny(antialias=True), tiny(channels=1)]
    for other in changed[:2]:
        other.set_weights(model.get_weights())
    assert len({first, *map(backbones.fingerprint, changed)}) == 4
    model.weights[0].assign(model.weights[0] + 1e-6)
    assert backbones.fingerprint(model) != first


@pytest.mark.parametrize("name", ["mobilenet_v2", "keras_vgg16", "keras_resnet50"])
def test_blocks_of_other_families_hold_every_weight_once(name):
    network = backbones.network(backbones.build(name, "none", 32))
    blocks = backbones.blocks(network)
    assert len(blocks) == (5 if name == "keras_vgg16" else 8)
    names = [layer.name for block in blocks for layer in block if layer.weights]
    assert names == [layer.name for layer in network.layers if layer.weights]
    assert all("normalization" not in type(block[0]).__name__.lower() for block in blocks)


@pytest.mark.parametrize(("arguments", "message"), [
    (("resnet19", "none"), "no backbone 'resnet19'; did you mean resnet18"),
    (("zzz", "none"), r"no backbone 'zzz'; `toolkit backbones` lists all \d+"),
    (("small_cnn",), "small_cnn has no ImageNet weights here; use weights 'none'"),
    (("resnet18", "none", 16), "image size 16 is too small for resnet18; it needs at least 32"),
    (("xception", "none", 32), "image size 32 is too small for xception; it needs at least 71"),
    (("resnet18", "none", "64"), "image size is '64'; expected a whole number of pixels"),
])
def test_refusals(arguments, message):
    with pytest.raises(ToolkitError, match=message):
        backbones.build(*arguments)


def test_channels_are_one_or_three():
    with pytest.raises(ToolkitError, match="channels is 4; expected 3, or 1"):
        backbones.build("small_cnn", "none", channels=4)
    with pytest.raises(ToolkitError, match="ImageNet weights need channels=3"):
        backbones.build("efficientnet_lite0", channels=1)


def test_names_work_in_any_spelling():
    for name in ("SmallCNN", "small-cnn", "SMALL_CNN"):
        assert backbones.build(name, "none", 8, filters=(2,)).name == "small_cnn"
