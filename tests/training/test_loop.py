"""The loop on a small network in memory: the choice of the epoch, exact resume, Ctrl-C."""

import os
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.training import Settings, checkpoints, loop, optimizers
from toolkit.training.plans import Plan

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(50, 4, 4, 3)).astype("float32")
LABELS = (IMAGES.mean(axis=(1, 2, 3)) > 0).astype(int)


def make_model(total_steps: int, **options: object) -> keras.Model:
    keras.utils.set_random_seed(3)
    images = keras.Input((4, 4, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Flatten()(images))
    x = keras.layers.Dropout(0.3)(keras.layers.Dense(8, activation="relu")(x))
    model = keras.Model(images, keras.layers.Dense(2)(x))
    settings = Settings(**{"learning_rate": 0.05, "ema": 0.9, **options})
    model.compile(optimizers.build(settings, total_steps=total_steps),
                  keras.losses.CategoricalCrossentropy(from_logits=True))
    return model


def stream(first_step: int) -> tf.data.Dataset:
    """Batch k is a function of k, as the real pipeline's is."""
    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.random.stateless_uniform([10], seed=tf.stack([step, 0]), maxval=50, dtype=tf.int32)
        return tf.gather(IMAGES, rows), tf.gather(tf.one_hot(LABELS, 2), rows)
    return tf.data.Dataset.counter(first_step).map(batch)


def validation(**options: object) -> loop.Validation:
    return loop.Validation(tf.data.Dataset.from_tensor_slices(IMAGES[:20]).batch(8), LABELS[:20], **options)


@pytest.mark.parametrize(("optimizer", "checkpoint_seconds"), [("adamw", 0.0), ("sgd", 60.0)])
def test_a_resumed_run_ends_in_the_same_weights(tmp_path: Path, optimizer: str, checkpoint_seconds: float,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_model(24, optimizer=optimizer)
    history = loop.fit(whole, stream, Plan(4, 6, seed=1), validation())
    for stop in (1, 3, 5):
        folder = tmp_path / f"{optimizer}-{stop}"
        plan = Plan(4, 6, seed=1, folder=folder, checkpoint_seconds=checkpoint_seconds)
        killed = make_model(24, optimizer=optimizer)
        with monkeypatch.context() as patch, pytest.raises(loop.Interrupted):
            press_ctrl_c(patch, at_step=4 * stop + 2)
            loop.fit(killed, stream, plan, validation())
        steps_kept = checkpoints.load(folder)[1]["step"]
        assert steps_kept == (2 if checkpoint_seconds == 0 else 0)
        resumed = make_model(24, optimizer=optimizer)
        again = loop.fit(resumed, stream, plan, validation())
        for ours, theirs in zip(checkpoints.get_weights(resumed), checkpoints.get_weights(whole), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert [{**row, "seconds": 0} for row in again] == [{**row, "seconds": 0} for row in history]


def press_ctrl_c(monkeypatch: pytest.MonkeyPatch, at_step: int) -> None:
    """Raises KeyboardInterrupt after the given step of the run, as a terminal would."""
    real = loop._Keeper.on_train_batch_end

    def interrupted(keeper: loop._Keeper, batch: int, logs: dict | None = None) -> None:
        real(keeper, batch, logs)
        if int(keeper.model.optimizer.iterations.numpy()) == at_step:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop._Keeper, "on_train_batch_end", interrupted)


def test_ctrl_c_leaves_the_best_weights_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(24)
    press_ctrl_c(monkeypatch, at_step=10)
    with pytest.raises(loop.Interrupted, match="stopped after epoch 2 of 6; best so far: epoch"):
        loop.fit(model, stream, Plan(4, 6, folder=tmp_path), validation())
    arrays, facts = checkpoints.load(tmp_path)
    for i, weight in enumerate(checkpoints.get_weights(model)):
        np.testing.assert_array_equal(weight, arrays[f"best_{i}"])
    assert len(facts["history"]) == 3


def test_epoch_zero_wins_if_training_only_hurts() -> None:
    model = make_model(8)
    loop.fit(model, stream, Plan(8, 1), validation())
    good = checkpoints.get_weights(model)
    ruined = make_model(8, learning_rate=90.0, ema=0.0)
    checkpoints.set_weights(ruined, good)
    history = loop.fit(ruined, stream, Plan(4, 2), validation())
    assert [row["chosen"] for row in history] == [True, False, False]
    for ours, theirs in zip(checkpoints.get_weights(ruined), good, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("accuracies", "chosen"), [
    ([0.2, 0.97, 0.96, 0.96], 3), ([0.2, 1.0, 0.99, 0.98], 2), ([0.9, 0.2, 0.1, 0.5], 0), ([0.1, 0.7, 0.66, 0.6], 2)])
def test_the_latest_epoch_that_few_rows_cannot_tell_from_the_best(accuracies: list[float], chosen: int) -> None:
    rows, judge = [], loop.Validation(None, np.zeros(100, int))
    for number, accuracy in enumerate(accuracies):
        rows.append({"epoch": number, "validation_accuracy": accuracy, "validation_log_loss": 0.1 * number})
    assert max(number for number in range(4) if judge.as_good(rows[number], rows[:number + 1])) == chosen


def test_a_plan_may_keep_the_latest_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.Validation, "as_good", lambda self, row, others: row["epoch"] <= 2 and len(others) <= 3)
    history = loop.fit(make_model(20), stream, Plan(4, 5, keep="latest"), validation())
    assert [row["epoch"] for row in history if row["chosen"]] == [2]


def test_without_validation_the_last_epoch_is_taken() -> None:
    history = loop.fit(make_model(8), stream, Plan(4, 2))
    assert [row["chosen"] for row in history] == [False, False, True]


def test_patience_stops_early(tmp_path: Path) -> None:
    good, hopeless = make_model(8), make_model(40, learning_rate=90.0, ema=0.0)
    loop.fit(good, stream, Plan(8, 1), validation())
    checkpoints.set_weights(hopeless, checkpoints.get_weights(good))
    plan = Plan(4, 10, folder=tmp_path)
    history = loop.fit(hopeless, stream, plan, validation(patience=2))
    assert [row["epoch"] for row in history] == [0, 1, 2]
    again = make_model(40, learning_rate=90.0, ema=0.0)
    assert loop.fit(again, stream, plan, validation(patience=2)) == history  # nothing left to do


def test_a_loss_that_is_not_finite_is_refused_with_advice() -> None:
    def broken(first_step: int) -> tf.data.Dataset:
        return stream(first_step).map(lambda images, targets: (images, targets * np.nan))
    with pytest.raises(ToolkitError, match="lower --learning-rate"):
        loop.fit(make_model(4), broken, Plan(2, 2))


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, step, {"weight_0": np.full(3, step)}, {"epoch": step})
    newest = sorted(tmp_path.glob("checkpoint-*.npz"))
    assert len(newest) == checkpoints.KEEP
    newest[-1].write_bytes(newest[-1].read_bytes()[:100])
    arrays, facts = checkpoints.load(tmp_path)
    assert facts == {"epoch": 2} and np.all(arrays["weight_0"] == 2)


def test_a_checkpoint_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolkitError, match="Could not write the checkpoint"):
        checkpoints.save(tmp_path / "file", 1, {}, {})


def test_no_thread_tunes_the_batches_of_a_fit() -> None:
    batches = loop.distributed(make_model(24), stream, 0)
    assert batches.options().autotune.enabled is False
    for ours, plain in zip(batches.take(3), stream(0), strict=False):
        np.testing.assert_array_equal(ours[0], plain[0])


def test_predict_counts_every_row_once_in_order() -> None:
    model = make_model(4)
    whole = loop.predict(model, tf.data.Dataset.from_tensor_slices(IMAGES).batch(50))
    parts = loop.predict(model, tf.data.Dataset.from_tensor_slices(IMAGES).batch(7))
    assert whole.shape == (50, 2)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [2, 4])
def test_sigterm_saves_within_an_epoch_and_at_its_end(tmp_path: Path, steps: int) -> None:
    class Told(BaseException):
        pass

    def told(number: int, frame: object) -> None:
        raise Told

    class Send(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
            if batch == steps - 1:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, told)
    try:
        with pytest.raises(Told):
            loop.fit(make_model(24), stream, Plan(4, 6, folder=tmp_path), validation(), callbacks=[Send()])
    finally:
        signal.signal(signal.SIGTERM, before)
    facts = checkpoints.load(tmp_path)[1]
    assert (facts["epoch"], facts["step"]) == divmod(steps, 4)
