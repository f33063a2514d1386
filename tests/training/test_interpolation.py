"""The line from the probe to the tuned weights: chosen by enough validation rows, else by the number of rows."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from toolkit.training import checkpoints, interpolation


def tuned() -> tuple[keras.Model, list[np.ndarray]]:
    """A model whose weights are all 1, and a start of zeros."""
    images = keras.Input((2,))
    model = keras.Model(images, keras.layers.Dense(2)(images))
    checkpoints.set_weights(model, [np.ones_like(value) for value in checkpoints.get_weights(model)])
    return model, [np.zeros_like(value) for value in checkpoints.get_weights(model)]


def judge(best: float, rows: int = 200) -> SimpleNamespace:
    """Validation rows on which a share of ``best`` is the most accurate."""
    return SimpleNamespace(labels=np.zeros(rows), scores=lambda model: {
        "validation_accuracy": 1 - abs(float(checkpoints.get_weights(model)[0][0, 0]) - best)})


@pytest.mark.parametrize("best", interpolation.SHARES)
def test_validation_rows_choose(best: float) -> None:
    model, start = tuned()
    assert interpolation.interpolate(model, start, judge(best), num_rows=100) == best
    assert np.all(checkpoints.get_weights(model)[0] == best)


@pytest.mark.parametrize("validation", [None, judge(1.0, rows=interpolation.MIN_VALIDATION - 1)])
def test_too_few_rows_do_not(validation: SimpleNamespace | None) -> None:
    model, start = tuned()
    assert interpolation.interpolate(model, start, validation, num_rows=interpolation.FEW_ROWS - 1) == 0.5
    assert np.all(checkpoints.get_weights(model)[0] == 0.5)


def test_many_training_rows_without_validation_are_believed() -> None:
    model, start = tuned()
    assert interpolation.interpolate(model, start, None, num_rows=interpolation.FEW_ROWS) == 1.0
    assert np.all(checkpoints.get_weights(model)[0] == 1.0)


def test_what_is_asked_for_is_done() -> None:
    model, start = tuned()
    assert interpolation.interpolate(model, start, judge(0.0), 1.0, num_rows=100) == 1.0
    assert np.all(checkpoints.get_weights(model)[0] == 1.0)
