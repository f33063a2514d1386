"""Layer-wise rates scale updates, under SGD and under Adam; schedules have the shape they promise."""

import keras
import numpy as np
import pytest

from toolkit.training import Settings, optimizers
from toolkit.training.optimizers import Rate


def variables() -> list[keras.Variable]:
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=(3, 2)).astype("float32"), name=f"kernel_{i}") for i in range(2)]


def step(optimizer: keras.Optimizer, kernels: list[keras.Variable], num_steps: int = 1) -> list[np.ndarray]:
    """The change of each kernel after equal gradients."""
    before = [kernel.numpy() for kernel in kernels]
    gradient = np.random.default_rng(1).normal(size=(3, 2)).astype("float32")
    for _ in range(num_steps):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)] * len(kernels), kernels)
    return [kernel.numpy() - old for kernel, old in zip(kernels, before)]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_update_is_scaled_exactly(name: str) -> None:
    settings = Settings(optimizer=name, learning_rate=0.01, schedule="constant", warm_up_ratio=0, weight_decay=0.0)
    kernels = variables()
    kernels[1].assign(kernels[0])
    optimizer = optimizers.build(settings, total_steps=10, rates={kernels[1].path: Rate(scale=0.25)})
    whole, quarter = step(optimizer, kernels, num_steps=3)
    np.testing.assert_allclose(quarter, 0.25 * whole, rtol=2e-3)
    assert np.abs(whole).min() > 0


def test_one_rate_equals_stock_adamw() -> None:
    settings = Settings(optimizer="adamw", learning_rate=0.01, schedule="constant", warm_up_ratio=0, weight_decay=0.1)
    ours, theirs = variables(), variables()
    change = step(optimizers.build(settings, total_steps=10), ours, num_steps=5)
    expected = step(keras.optimizers.AdamW(0.01, weight_decay=0.1), theirs, num_steps=5)
    np.testing.assert_allclose(change, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_is_scaled_too(name: str) -> None:
    settings = Settings(optimizer=name, learning_rate=0.1, schedule="constant", warm_up_ratio=0, weight_decay=0.5)
    kernels = variables()
    optimizer = optimizers.build(settings, total_steps=10, rates={kernels[1].path: Rate(scale=0.5)})
    before = [kernel.numpy() for kernel in kernels]
    optimizer.apply([keras.ops.zeros((3, 2))] * 2, kernels)
    np.testing.assert_allclose(kernels[0].numpy(), before[0] * (1 - 0.1 * 0.5), rtol=1e-6)
    np.testing.assert_allclose(kernels[1].numpy(), before[1] * (1 - 0.1 * 0.5 * 0.5), rtol=1e-6)


def test_gradual_unfreezing_waits_for_its_step() -> None:
    settings = Settings(optimizer="adamw", learning_rate=0.1, schedule="constant", warm_up_ratio=0)
    kernels = variables()
    optimizer = optimizers.build(settings, total_steps=10, rates={kernels[1].path: Rate(first_step=2)})
    assert np.all(step(optimizer, kernels, num_steps=2)[1] == 0)
    assert np.all(step(optimizer, kernels)[1] != 0)


def test_l2_is_the_gradient_of_the_penalty() -> None:
    settings = Settings(optimizer="sgd", momentum=0.0, learning_rate=0.1, schedule="constant", warm_up_ratio=0, l2=0.3)
    kernels = variables()
    before = kernels[0].numpy()
    optimizers.build(settings, total_steps=10).apply([keras.ops.zeros((3, 2))], kernels[:1])
    np.testing.assert_allclose(kernels[0].numpy(), before - 0.1 * 2 * 0.3 * before, rtol=1e-6)


def test_layer_rates_fall_from_the_head_down() -> None:
    blocks = [[keras.layers.Dense(2, name=f"block{i}")] for i in range(3)]
    head = keras.layers.Dense(2, name="head")
    for layer in [*(block[0] for block in blocks), head]:
        layer.build((None, 2))
    rates = optimizers.layer_rates(blocks, [head], layer_decay=0.5, gradual_steps=7)
    found = [rates[layer.kernel.path] for layer in [head, *(block[0] for block in reversed(blocks))]]
    assert found == [Rate(1.0, 0), Rate(0.5, 7), Rate(0.25, 14), Rate(0.125, 21)]


@pytest.mark.parametrize("kind, last", [("cosine", 0.0), ("constant", 1.0), ("step", 0.01), ("restarts", 0.0)])
def test_schedules(kind: str, last: float) -> None:
    settings = Settings(schedule=kind, learning_rate=2.0, warm_up_ratio=0.1)
    rate = optimizers.schedule(settings, total_steps=1000)
    values = np.array([float(rate(step)) for step in range(0, 1001)])
    assert values[0] < 0.05 and np.all(np.diff(values[:100]) > 0)
    assert values[100] == pytest.approx(2.0) and values.max() <= 2.0
    assert values[1000] == pytest.approx(2.0 * last, abs=1e-5)
    if kind == "restarts":
        assert np.sum(np.diff(values[101:]) > 0.5) == 2  # two jumps back to the top: three cycles


def test_weights_into_a_unit_are_scaled_back_to_the_largest_norm() -> None:
    settings = Settings(optimizer="sgd", learning_rate=0.1, schedule="constant", warm_up_ratio=0, max_norm=0.5)
    (kernel,), bias = variables()[:1], keras.Variable(np.full(2, 9.0, np.float32))
    kernel.assign(np.array([[3.0, 0.1], [4.0, 0.2], [0.0, 0.2]]))  # norms 5 and 0.3
    optimizers.build(settings, total_steps=10).apply([keras.ops.zeros((3, 2)), keras.ops.zeros(2)], [kernel, bias])
    np.testing.assert_allclose(kernel.numpy(), [[0.3, 0.1], [0.4, 0.2], [0.0, 0.2]], rtol=1e-6)
    assert (bias.numpy() == 9).all()
