"""What has to be measured before training: the time of a step, for --time-limit, and a good learning rate.

Both train a few steps on training rows and put the model back as it was. What was measured is kept beside the
checkpoints, so that a resumed run follows the same schedule.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np

from toolkit import atomic_files
from toolkit.training import accumulation, checkpoints, loop, workers
from toolkit.training.plans import Plan
from toolkit.training.progress import say
from toolkit.training.settings import Settings

if TYPE_CHECKING:
    import tensorflow as tf

Batches = Callable[[int], "tf.data.Dataset"]
RANGE_STEPS = 60
TIMED_STEPS = 10


def calibrate(model: keras.Model, batches: Batches, plan: Plan, settings: Settings, *, end_epoch: Callable[[], object],
              num_rows: int, rows_between: int = 0, images_a_step: int | None = None) -> tuple[Plan, Settings]:
    """Shortens the plan to ``settings.time_limit`` and finds the learning rate, where either was asked for.

    Args:
        model: compiled; it is left as it was.
        batches: first step -> endless dataset.
        plan: the full plan; what is measured is kept in its folder.
        settings: what was asked for.
        end_epoch: what is done after every epoch: validation.
        num_rows: rows that are predicted once, at the end.
        rows_between: rows that are predicted after every epoch besides.
        images_a_step: rows that pass in a step; None: one batch.

    Returns:
        The plan and the settings to train with; compile the model again if they changed. Where memory ran out, batches
        pass in more parts by this plan.
    """
    kept = plan.folder / "calibration.json" if plan.folder else None
    if kept is not None and kept.is_file():
        return _apply(plan, settings, json.loads(kept.read_text()))
    found = _found(model, batches, plan, settings, end_epoch, num_rows=num_rows, rows_between=rows_between,
                   images_a_step=images_a_step or settings.batch_size)
    if kept is not None and workers.this().is_chief:
        plan.folder.mkdir(parents=True, exist_ok=True)
        with atomic_files.in_place_of(kept) as temporary:
            temporary.write_text(json.dumps(found))
    return _apply(plan, settings, found)


def _found(model: keras.Model, batches: Batches, plan: Plan, settings: Settings, end_epoch: Callable[[], object],
           **rows: int) -> dict[str, float]:
    """What was asked for; where memory runs out, with the batches in as many parts as it takes, which are found too."""
    import tensorflow as tf

    parts = plan.parts
    while True:
        accumulation.divide_steps(model, parts)
        try:
            return {"parts": parts, **_measured(model, batches, plan, settings, end_epoch, **rows)}
        except tf.errors.ResourceExhaustedError as error:
            parts = accumulation.more_parts(parts, error)


def _measured(model: keras.Model, batches: Batches, plan: Plan, settings: Settings, end_epoch: Callable[[], object], *,
              num_rows: int, rows_between: int, images_a_step: int) -> dict[str, float]:
    """Learning rate, epochs and steps, as far as they were asked for."""
    found: dict[str, float] = {}
    if settings.find_learning_rate:
        found["learning_rate"] = find_learning_rate(model, batches)
        say(f"{plan.title}: the range test suggests learning rate {found['learning_rate']:.2g}")
    if settings.time_limit is not None:
        seconds, overhead = seconds_per_step(model, batches)
        forward = seconds / (3 * images_a_step)  # of one row: a third of its training step
        between = _seconds_to_end(model, plan, end_epoch) + rows_between * forward
        found |= _shortened(plan, settings, seconds, 2 * overhead + num_rows * forward, between)
        say(f"{plan.title}: {settings.time_limit:g} minutes allow {found['epochs']} epochs of "
            f"{found['steps_per_epoch']} steps, at {seconds:.2f} s a step")
    return found


def _apply(plan: Plan, settings: Settings, found: dict[str, float]) -> tuple[Plan, Settings]:
    rate = found.get("learning_rate", settings.learning_rate)
    length = {name: int(found[name]) for name in ("epochs", "steps_per_epoch", "parts") if name in found}
    return dataclasses.replace(plan, **length), dataclasses.replace(settings, learning_rate=rate)


def _seconds_to_end(model: keras.Model, plan: Plan, end_epoch: Callable[[], object]) -> float:
    """Measured time between two epochs: validation, and a checkpoint with three copies of the weights."""
    end_epoch()
    start = time.monotonic()
    end_epoch()
    state = checkpoints.get_state(model)
    if plan.folder and workers.this().is_chief:
        trial = plan.folder / "trial"
        checkpoints.save(trial, 0, state, {})
        shutil.rmtree(trial)
    return workers.of_chief(1.5 * (time.monotonic() - start))


def _shortened(plan: Plan, settings: Settings, seconds: float, besides: float, between: float) -> dict[str, int]:
    """Epochs and steps that fit: as few epochs as hold them all, or all, where they are fixed; each cut shorter."""
    budget = settings.time_limit * 60 / settings.members - besides
    fewest = plan.epochs if plan.fixed_epochs else 1
    epochs = int(np.clip(math.ceil(budget / (plan.steps_per_epoch * seconds + between)), fewest, plan.epochs))
    steps = int((budget / epochs - between) / seconds)
    return {"epochs": epochs, "steps_per_epoch": int(np.clip(steps, 1, plan.steps_per_epoch))}


def seconds_per_step(model: keras.Model, batches: Batches) -> tuple[float, float]:
    """Seconds of a training step, and of the first one beyond that (tracing the graph)."""
    times = [time.monotonic()]
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: times.append(time.monotonic()))
    _try(model, batches, TIMED_STEPS, note)
    steps = np.diff(times)
    typical = workers.of_chief(float(np.median(steps[1:])))
    return typical, workers.of_chief(float(steps[0])) - typical


def find_learning_rate(model: keras.Model, batches: Batches, *, lowest: float = 1e-6, highest: float = 1.0) -> float:
    """Learning-rate range test (Smith 2017): raise the rate until the loss explodes, take a tenth of where it is least.

    Args:
        model: compiled; it is left as it was.
        batches: first step -> endless dataset of training rows.
        lowest, highest: the range, swept geometrically over 60 steps.

    References:
        https://arxiv.org/abs/1506.01186
    """
    rates = np.geomspace(lowest, highest, RANGE_STEPS)
    optimizer, losses = model.optimizer, []
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # float16: loss scaling
    average = {"use_ema": inner.use_ema, "ema_momentum": inner.ema_momentum}  # a loss may look at it
    trial = keras.optimizers.get({"class_name": "Adam", "config": {"learning_rate": lowest, **average}})
    if isinstance(optimizer, keras.optimizers.SGD):
        trial = keras.optimizers.SGD(lowest, momentum=optimizer.momentum, **average)
    weights = checkpoints.get_weights(model)

    def start(batch: int, logs: dict | None) -> None:
        model.reset_metrics()
        trial.learning_rate = rates[batch]

    def end(batch: int, logs: dict) -> None:
        losses.append(float(logs["loss"]))
        if not np.isfinite(losses[-1]) or losses[-1] > 4 * min(losses) + 1:
            model.stop_training = True

    model.compile(optimizer=trial, loss=model.loss)
    _build_optimizer(model)
    sweep = keras.callbacks.LambdaCallback(on_train_batch_begin=start, on_train_batch_end=end)
    try:
        model.fit(loop.distributed(model, batches, 0), steps_per_epoch=RANGE_STEPS, epochs=1, verbose=0,
                  callbacks=[sweep], shuffle=False)
    finally:
        model.compile(optimizer=optimizer, loss=model.loss)
        checkpoints.set_weights(model, weights)
    smooth = np.convolve(np.pad(losses, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    return float(rates[int(np.nanargmin(smooth))] / 10)


def _build_optimizer(model: keras.Model) -> None:
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)


def _try(model: keras.Model, batches: Batches, steps: int, callback: keras.callbacks.Callback) -> None:
    """Trains ``steps`` steps and puts weights and optimizer back."""
    _build_optimizer(model)
    state = checkpoints.get_state(model)
    try:
        model.fit(loop.distributed(model, batches, 0), steps_per_epoch=steps, epochs=1, verbose=0,
                  callbacks=[callback], shuffle=False)
    finally:
        checkpoints.set_state(model, state)
