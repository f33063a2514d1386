"""Parts of a batch add up to the batch, and a step that memory does not hold is divided."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.sequences.batches import evenly
from toolkit.training import Settings, accumulation, calibration, loop
from toolkit.training.plans import Plan

ROWS, WIDTH, CLASSES, BATCH = 48, 6, 3, 8


def data(first_step: int) -> tf.data.Dataset:
    random = np.random.default_rng(0)
    rows = random.normal(size=(ROWS, WIDTH)).astype(np.float32)
    targets = np.eye(CLASSES, dtype=np.float32)[random.integers(0, CLASSES, ROWS)]
    weights = random.uniform(0.5, 2, ROWS).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((rows, targets, weights)).repeat().batch(BATCH, drop_remainder=True).skip(
        first_step)


def classifier(optimizer: keras.optimizers.Optimizer | None = None) -> keras.Model:
    keras.utils.set_random_seed(1)
    row = keras.Input((WIDTH,))
    hidden = keras.layers.Dense(7, activation="tanh")(row)
    model = keras.Model(row, keras.layers.Dense(CLASSES)(hidden))
    model.compile(optimizer=optimizer or keras.optimizers.SGD(0.1, momentum=0.9),
                  loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    return model


def trained(parts: int, **more) -> tuple[list[np.ndarray], list[dict]]:
    model = classifier()
    history = loop.fit(model, data, Plan(6, 2, from_start=False, parts=parts, **more))
    return [weight.numpy() for weight in model.weights], history


@pytest.fixture(scope="module")
def whole():
    return trained(1)


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_parts_of_a_batch_train_as_the_batch_does(whole, parts):
    weights, history = trained(parts)
    for got, expected in zip(weights, whole[0], strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose([row["loss"] for row in history], [row["loss"] for row in whole[1]], atol=1e-5)


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ToolkitError, match="8 rows on each device cannot be divided into 3 equal parts"):
        trained(3)


def of_any_length(first_step: int) -> tf.data.Dataset:
    """Rows of steps, of which only some count."""
    random = np.random.default_rng(0)
    steps, targets = random.normal(size=(ROWS, 5, WIDTH)).astype(np.float32), random.integers(0, CLASSES, (ROWS, 5))
    weights = (random.random((ROWS, 5)) < 0.5).astype(np.float32)
    batches = tf.data.Dataset.from_tensor_slices((steps, targets, weights)).repeat().batch(BATCH, drop_remainder=True)
    unknown = tf.TensorSpec((BATCH, None, WIDTH)), tf.TensorSpec((BATCH, None), tf.int64), tf.TensorSpec((BATCH, None))
    return tf.data.Dataset.from_generator(lambda: iter(batches.skip(first_step)), output_signature=unknown).map(evenly)


def test_parts_of_rows_of_any_length_add_up_to_the_mean_over_known_steps():
    found = []
    for parts in (1, 4):
        keras.utils.set_random_seed(1)
        steps = keras.Input((None, WIDTH))
        model = keras.Model(steps, keras.layers.Dense(CLASSES)(steps))
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True))
        history = loop.fit(model, of_any_length, Plan(6, 1, from_start=False, parts=parts))
        found.append([*(weight.numpy() for weight in model.weights), history[0]["loss"]])
    for got, expected in zip(*found, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


class Small(keras.layers.Layer):
    """Has memory for so many rows."""

    rows = 2

    def call(self, values):
        if values.shape[0] is not None and values.shape[0] > self.rows:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nwith shape")
        return values


@pytest.mark.parametrize("folder", [True, False])
def test_where_memory_runs_out_training_goes_on_with_smaller_parts(whole, folder, tmp_path, capsys):
    model = classifier()
    small = keras.Model(model.input, model(Small()(model.input)))
    small.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
                  loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    history = loop.fit(small, data, Plan(6, 2, from_start=False, folder=tmp_path if folder else None))
    for got, expected in zip(small.weights, whole[0], strict=True):
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)
    assert [row["epoch"] for row in history] == [1, 2]
    said = capsys.readouterr().err
    assert "into 2 parts" in said and "into 4 parts" in said and "into 8" not in said


@pytest.mark.parametrize("find", [True, False])
def test_where_memory_runs_out_while_a_step_is_measured_it_is_measured_in_parts(find, tmp_path):
    model = classifier()
    small = keras.Model(model.input, model(Small()(model.input)))
    small.compile(optimizer=keras.optimizers.SGD(0.1), loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    before = [weight.numpy() for weight in small.weights]
    for _ in range(2):  # the second time it is read from the folder
        plan, _ = calibration.calibrate(
            small, data, Plan(6, 2, folder=tmp_path), Settings(time_limit=1.0, find_learning_rate=find),
            end_epoch=lambda: None, num_rows=ROWS)
        assert plan.parts == 4
    for got, expected in zip(small.weights, before, strict=True):
        np.testing.assert_array_equal(got.numpy(), expected)


def test_memory_for_not_even_one_row_ends_in_a_sentence(monkeypatch):
    monkeypatch.setattr(Small, "rows", 0)
    model = classifier()
    small = keras.Model(model.input, model(Small()(model.input)))
    small.compile(optimizer="sgd", loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    with pytest.raises(ToolkitError, match="cannot be divided into 16 equal parts"):
        loop.fit(small, data, Plan(6, 1, from_start=False))


def test_scaled_losses_of_half_precision_add_up(whole):
    def one(parts: int) -> np.ndarray:
        model = classifier(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=64.0))
        loop.fit(model, data, Plan(6, 1, from_start=False, parts=parts))
        return model.weights[0].numpy()

    np.testing.assert_allclose(one(4), one(1), atol=1e-5)


def test_the_whole_batch_is_passed_again_when_asked_for():
    model = classifier()
    accumulation.divide_steps(model, 2)
    accumulation.divide_steps(model, 1)
    assert "train_step" not in vars(model)
