"""Adapters: what they train, that they start as nothing, and that what is saved is the plain network."""

import keras
import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import adapters

IMAGES = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype("float32")
TARGETS = np.eye(3, dtype="float32")[[0, 1, 2, 0, 1, 2]]


def build(normalised: bool = True) -> keras.Model:
    """Convolution, BatchNorm (frozen), depthwise convolution, dense layer."""
    keras.utils.set_random_seed(1)
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="stem_conv")(images)
    if normalised:
        x = keras.layers.BatchNormalization(trainable=False, name="stem_norm")(x)
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, name="block1_depthwise")(x)
    x = keras.layers.Dense(5, activation="relu", name="block2_dense")(keras.layers.Flatten()(x))
    return keras.Model(images, x, name="network")


def trained(kind: str) -> tuple[keras.Model, list[np.ndarray], np.ndarray]:
    """A classifier on an adapted network after two steps, its plain weights before them and its outputs."""
    network = build()
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.Dense(3, name="head")(network(images)))
    adapters.adapt(network, kind, rank=2)
    before = adapters.merged_weights(model)
    model.compile(keras.optimizers.SGD(0.1), keras.losses.CategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, TARGETS, batch_size=6, epochs=2, verbose=0)
    return model, before, model(IMAGES, training=False).numpy()


@pytest.mark.parametrize(("kind", "moving"), [
    ("lora", {"stem_conv/kernel", "block2_dense/kernel"}),
    ("bias", {"stem_conv/bias", "stem_norm/beta", "block2_dense/bias"}),
    ("norm", {"stem_norm/gamma", "stem_norm/beta"})])
def test_only_these_weights_move_and_the_plain_network_computes_the_same(kind: str, moving: set[str]) -> None:
    model, before, outputs = trained(kind)
    images = keras.Input((8, 8, 3))
    plain = keras.Model(images, keras.layers.Dense(3, name="head")(build()(images)))
    after = adapters.merged_weights(model)
    paths = [variable.path.removeprefix("network/") for variable in plain.weights]
    changed = {path for path, a, b in zip(paths, before, after, strict=True) if not np.array_equal(a, b)}
    assert changed == moving | {"head/kernel", "head/bias"}
    plain.set_weights(after)
    np.testing.assert_allclose(plain(IMAGES, training=False), outputs, rtol=1e-5, atol=1e-6)


def test_low_rank_corrections_start_at_nothing_and_have_the_rank() -> None:
    network = build()
    plain = build()(IMAGES, training=False).numpy()
    adapters.adapt(network, "lora", rank=2)
    np.testing.assert_array_equal(network(IMAGES, training=False), plain)
    model, before, _ = trained("lora")
    after = adapters.merged_weights(model)
    correction = (after[0] - before[0]).reshape(-1, 4)
    singular = np.linalg.svd(correction, compute_uv=False)
    assert singular[0] > 1e-3 and singular[2] < 1e-6


def test_adapting_twice_is_adapting_once() -> None:
    network = build()
    adapters.adapt(network, "lora", rank=2)
    names = [variable.path for variable in network.trainable_variables]
    adapters.adapt(network, "lora", rank=2)
    assert [variable.path for variable in network.trainable_variables] == names


def test_a_network_without_such_weights_is_refused() -> None:
    with pytest.raises(ToolkitError, match="--unfreeze norm would train nothing: this backbone has no normalisation"):
        adapters.adapt(build(normalised=False), "norm")
