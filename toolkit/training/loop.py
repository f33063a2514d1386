"""The training loop: Keras' ``fit`` with validation, the choice of the epoch, and exact resume.

``fit`` runs every method of this package. A method is the model's ``compile`` and its batches; what all share is here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from toolkit import ToolkitError
from toolkit.inputs import shares
from toolkit.training import accumulation, checkpoints, stops, workers
from toolkit.training.plans import Plan
from toolkit.training.progress import duration, say

if TYPE_CHECKING:
    import tensorflow as tf


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during ``fit``. The model holds the best weights so far; ``str`` says which."""


@dataclass
class Validation:
    """What chooses the epoch: batches of images in row order and their labels.

    Attributes:
        batches: dataset of images (B, H, W, 3), without labels; of several workers, those of ``workers.own``.
        labels: (n,) int, of all workers' rows.
        monitor: ``"accuracy"`` (ties broken by log loss) or ``"log_loss"``.
        patience: stop after so many epochs without improvement; None: never.
    """

    batches: "tf.data.Dataset"
    labels: np.ndarray
    monitor: str = "accuracy"
    patience: int | None = None

    def scores(self, model: keras.Model) -> dict[str, float]:
        """Accuracy and log loss of ``model`` on the validation rows."""
        logits = workers.gathered(predict(model, self.batches))
        log_probabilities = np.log(np.clip(softmax(logits), 1e-12, None))
        rows = np.arange(len(self.labels))
        return {"validation_accuracy": float(np.mean(log_probabilities.argmax(axis=1) == self.labels)),
                "validation_log_loss": float(-np.mean(log_probabilities[rows, self.labels]))}

    def rank(self, row: dict[str, Any]) -> tuple[float, float]:
        """Sorts rows of the history: the higher the better."""
        accuracy = row["validation_accuracy"] if self.monitor == "accuracy" else 0.0
        return accuracy, -row["validation_log_loss"]

    def as_good(self, row: dict[str, Any], others: Sequence[dict[str, Any]]) -> bool:
        """Whether the rows cannot tell an epoch from the best of others: by a standard error of accuracy, or one."""
        if self.monitor != "accuracy":
            return self.rank(row) >= max(map(self.rank, others))
        best, count = max(other["validation_accuracy"] for other in others), len(self.labels)
        return row["validation_accuracy"] >= best - max(1.0, math.sqrt(count * best * (1 - best))) / count - 1e-9


def fit(model: keras.Model, batches: Callable[[int], "tf.data.Dataset"], plan: Plan,
        validation: Validation | None = None, *, callbacks: Sequence[keras.callbacks.Callback] = ()
        ) -> list[dict[str, Any]]:
    """Trains a compiled model and leaves it with the chosen weights.

    The weights before training are a candidate too (epoch 0, unless the plan says otherwise). Without validation rows,
    or if the plan says so, the last epoch is taken. If the optimizer keeps a moving average of
    the weights, validation and the result use the average. If ``plan.folder`` holds a checkpoint, training continues
    from it and ends in the same weights, bit for bit on the CPU, as if it had never stopped. Where memory runs out, it
    goes on from there with the same batches, passed in twice as many parts.

    Args:
        model: compiled, with its optimizer.
        batches: first step -> infinite dataset that starts with the batch of that step.
        plan: length, seed and checkpoints.
        validation: rows that choose the epoch.
        callbacks: of the method. An epoch that a resumed run goes on with begins again for them.

    Returns:
        The history: a dict per epoch with epoch, seconds, learning_rate, loss, the model's own metrics,
        validation_accuracy, validation_log_loss and chosen.

    Raises:
        Interrupted: on Ctrl-C, with the best weights so far in the model.
        ToolkitError: if the loss is no longer finite.
    """
    import tensorflow as tf

    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)
    start, parts = checkpoints.get_state(model), plan.parts
    while True:
        accumulation.divide_steps(model, parts)
        keeper = _Keeper(plan, validation)
        keeper.set_model(model)
        try:
            _fit(model, batches, plan, keeper, callbacks)
            break
        except tf.errors.ResourceExhaustedError as error:
            parts = accumulation.more_parts(parts, error)
            checkpoints.set_state(model, start)
        except KeyboardInterrupt as interrupt:
            checkpoints.set_weights(model, keeper.best_weights)
            raise Interrupted(keeper.describe_best()) from interrupt
    checkpoints.set_weights(model, keeper.best_weights)
    return [{**row, "chosen": row["epoch"] == keeper.best_epoch} for row in keeper.history]


def _fit(model: keras.Model, batches: Callable[[int], "tf.data.Dataset"], plan: Plan, keeper: "_Keeper",
         callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Trains to the end of the plan, from the newest checkpoint on."""
    epoch, step = keeper.restore_or_begin()
    workers.agree(epoch * plan.steps_per_epoch + step, "the step to go on from")
    while epoch < plan.epochs and not keeper.finished:
        end = epoch + 1 if step else plan.epochs  # first what is left of an epoch that was begun
        with workers.explained(), stops.delayed():
            model.fit(distributed(model, batches, epoch * plan.steps_per_epoch + step), initial_epoch=epoch,
                      epochs=end, verbose=0, steps_per_epoch=plan.steps_per_epoch - step,
                      callbacks=[*callbacks, keeper], shuffle=False)
        epoch, step = end, 0


def distributed(model: keras.Model, batches: Callable[[int], "tf.data.Dataset"], first_step: int) -> Any:
    """The batches from a step on, as ``fit`` takes them: where there are several workers, each makes its own part.

    A worker with several devices hands each of them its part of that, one after another.

    Args:
        model: compiled under the strategy.
        batches: first step -> infinite dataset.
        first_step: number of the first batch.

    Raises:
        ToolkitError: if the devices cannot have equal parts of a batch.
    """
    if workers.this().count == 1:
        found, devices = batches(first_step), model.distribute_strategy.num_replicas_in_sync
        if devices > 1:
            shares.rows_a_device(found, devices)  # or an error
        return _untuned(found)

    def part(context: "tf.distribute.InputContext") -> "tf.data.Dataset":
        with shares.reading(context.input_pipeline_id, context.num_input_pipelines):
            own = shares.among(context.num_replicas_in_sync // context.num_input_pipelines, batches(first_step))
        return _untuned(own)

    return model.distribute_strategy.distribute_datasets_from_function(part)


def _untuned(batches: "tf.data.Dataset") -> "tf.data.Dataset":
    """Without the thread that tunes a pipeline while it runs.

    It sleeps twice as long each time, and whoever drops an endless dataset waits for it: fits took up to twice their
    time (TensorFlow 2.21).
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


class _Keeper(keras.callbacks.Callback):
    """Validates and keeps the best weights at the end of every epoch; writes checkpoints there and now and then."""

    def __init__(self, plan: Plan, validation: Validation | None) -> None:
        super().__init__()
        self.plan, self.validation = plan, validation
        self.history: list[dict[str, Any]] = []
        self.best_epoch, self.best_weights = 0, []
        self.finished = False
        self._epoch_start = self._tenth_step = self._saved = time.monotonic()
        self._steps = self._epoch = self._first_step = 0
        self._pause = plan.checkpoint_seconds
        self._within_epoch: dict[str, np.ndarray] = {}
        self._raw: dict[str, np.ndarray] = {}

    def restore_or_begin(self) -> tuple[int, int]:
        """Continues from the newest checkpoint, or judges the weights before training.

        Returns:
            The epochs done, and the steps done in the epoch after them.
        """
        found = checkpoints.load(self.plan.folder) if self.plan.folder else None
        if found is None:
            self.best_weights = checkpoints.get_weights(self.model)
            if self.plan.from_start:
                self._close_epoch(0, {"learning_rate": 0.0, "loss": None})
            return 0, 0
        arrays, facts = found
        checkpoints.set_state(self.model, arrays)
        self.best_weights = [arrays[f"best_{i}"] for i in range(len(self.model.weights))]
        self.history, self.best_epoch, self.finished = facts["history"], facts["best_epoch"], facts["finished"]
        done, self._first_step = facts["epoch"], facts["step"]
        self._within_epoch = arrays if self._first_step else {}
        say(f"{self.plan.title}: resuming after epoch {done} of {self.plan.epochs}"
            + (f" and {self._first_step} steps" if self._first_step else ""))
        return done, self._first_step

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets the state of every dropout layer as a function of (seed, epoch), or as a checkpoint found it."""
        self._epoch, self._epoch_start = epoch, time.monotonic()
        if self._within_epoch:
            checkpoints.set_epoch_state(self.model, self._within_epoch)
            self._within_epoch = {}
            return
        self._first_step = 0
        for i, state in enumerate(checkpoints.seeds(self.model)):
            words = np.random.SeedSequence([self.plan.seed, epoch, i]).generate_state(2, np.uint32)
            state.assign(words.astype(state.dtype))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Says after ten steps how long the run will take; writes a checkpoint when it is time, or was told to stop."""
        self._report_pace()
        step = self._first_step + batch + 1
        due = time.monotonic() - self._saved >= self._pause or stops.asked()
        if self.plan.folder and due and step < self.plan.steps_per_epoch:
            state = {**checkpoints.get_state(self.model), **checkpoints.get_epoch_state(self.model)}
            self._save(self._epoch, step, state)
        if step < self.plan.steps_per_epoch:  # after the last step of an epoch it ends, and is saved, first
            stops.obey()

    def _report_pace(self) -> None:
        """The first step, which traces the graph, is not counted."""
        self._steps += 1
        if self._steps == 1:
            self._tenth_step = time.monotonic()
        elif self._steps == 11:
            left = self.plan.total_steps - int(self.model.optimizer.iterations.numpy())
            seconds = (time.monotonic() - self._tenth_step) / 10 * left
            say(f"{self.plan.title}: about {duration(seconds)} for {left} more steps")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Judges the epoch, keeps its weights if they are the best so far, and writes a checkpoint."""
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise ToolkitError(f"The loss became {loss} in epoch {epoch + 1}: lower --learning-rate, or use "
                               f"--precision float32.")
        rate = float(np.asarray(self.model.optimizer.learning_rate))
        own = {name: float(value) for name, value in logs.items() if name != "loss"}
        raw = checkpoints.get_state(self.model)
        self._use_average()
        self._close_epoch(epoch + 1, {"learning_rate": rate, "loss": loss, **own})
        checkpoints.set_state(self.model, raw)
        self._print_epoch()
        patience = self.validation.patience if self.validation else None
        if patience is not None and epoch + 1 - self.best_epoch >= patience:
            self.finished = self.model.stop_training = True
        if self.plan.folder:
            self._save(epoch + 1, 0, raw)
        stops.obey()
        self._raw = raw if self._first_step else {}

    def on_train_end(self, logs: dict | None = None) -> None:
        """Undoes, where more epochs follow, what ``fit`` does last: put the moving average into the model."""
        if self._raw:
            checkpoints.set_state(self.model, self._raw)

    def _save(self, epoch: int, step: int, state: dict[str, np.ndarray]) -> None:
        """Writes a checkpoint; the next within an epoch comes so late that writing takes a twentieth of the time."""
        if not workers.this().is_chief:
            return
        start = time.monotonic()
        best = {f"best_{i}": value for i, value in enumerate(self.best_weights)}
        facts = {"history": self.history, "best_epoch": self.best_epoch, "finished": self.finished, "epoch": epoch,
                 "step": step}
        checkpoints.save(self.plan.folder, epoch * self.plan.steps_per_epoch + step, {**state, **best}, facts)
        self._saved = time.monotonic()
        if self.plan.checkpoint_seconds:
            self._pause = max(self.plan.checkpoint_seconds, 20 * (self._saved - start))

    def _close_epoch(self, epoch: int, row: dict[str, Any]) -> None:
        """Adds a row to the history and keeps the weights now in the model if they are the best so far."""
        scores = self.validation.scores(self.model) if self.validation else {}
        row = {"epoch": epoch, "seconds": round(time.monotonic() - self._epoch_start, 3), **row, **scores}
        best = next((old for old in self.history if old["epoch"] == self.best_epoch), None)
        if best is None or self.plan.keep == "last" or self.validation is None or self._is_chosen(row, best):
            self.best_epoch, self.best_weights = epoch, checkpoints.get_weights(self.model)
        self.history.append(row)

    def _is_chosen(self, row: dict[str, Any], best: dict[str, Any]) -> bool:
        if self.plan.keep == "latest":
            return self.validation.as_good(row, self.history)
        return self.validation.rank(row) > self.validation.rank(best)

    def _use_average(self) -> None:
        """Puts the moving average of the weights, where the optimizer keeps one, into the model."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)  # float16: loss scaling
        if optimizer.use_ema:
            averages = optimizer._model_variables_moving_average
            for variable, average in zip(self.model.trainable_variables, averages, strict=True):
                variable.assign(average.numpy())

    def _print_epoch(self) -> None:
        row = self.history[-1]
        accuracy = f", validation accuracy {row['validation_accuracy']:.3f}" if "validation_accuracy" in row else ""
        left = duration((self.plan.epochs - row["epoch"]) * row["seconds"])
        say(f"{self.plan.title}: epoch {row['epoch']} of {self.plan.epochs}, loss {row['loss']:.4f}{accuracy}, "
            f"{row['seconds']:.1f} s, about {left} left")

    def describe_best(self) -> str:
        """One sentence about the best weights so far."""
        done = self.history[-1]["epoch"] if self.history else 0
        best = next((row for row in self.history if row["epoch"] == self.best_epoch), {})
        accuracy = f", validation accuracy {best['validation_accuracy']:.3f}" if "validation_accuracy" in best else ""
        return f"stopped after epoch {done} of {self.plan.epochs}; best so far: epoch {self.best_epoch}{accuracy}"


def predict(model: keras.Model, batches: "tf.data.Dataset", progress: Callable[[int], None] | None = None
            ) -> np.ndarray:
    """The outputs of ``model`` for all batches, in their order, in inference mode.

    Args:
        model: images (B, H, W, 3), tokens (B, T) or series (B, T, C) -> (B, K).
        batches: dataset of inputs; the last batch may be smaller.
        progress: called with the number of rows done.

    Returns:
        (n, K) float32.
    """
    import tensorflow as tf

    # Plain TensorFlow on the first device: less overhead than model.predict, and every row counts exactly once.
    call = getattr(model, "_toolkit_call", None)
    if call is None:
        signature = [tf.TensorSpec(model.input_shape, model.inputs[0].dtype)]  # one graph for all sizes of batch
        call = tf.function(lambda images: model(images, training=False), input_signature=signature)
        model._toolkit_call = call
    outputs, done = [], 0
    for images in batches:
        outputs.append(call(images).numpy())
        done += len(outputs[-1])
        if progress:
            progress(done)
    if not outputs:
        return np.zeros((0, model.output_shape[-1]), np.float32)
    return np.concatenate(outputs).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Rows of ``logits`` (n, C) as probabilities (n, C)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
