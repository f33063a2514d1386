"""Networks with an answer at every step of a row, and their training.

    tokens (B, T) int32, 0 = padding  ->  embedding  ->  LSTM or transformer  ->  logits (B, T, C)

A causal network knows no later step; any other looks both ways. Padding changes no answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.models.recurrent import lstm
from toolkit.models.sequence_layers import token_mask
from toolkit.models.transformer import transformer
from toolkit.sequences import batches
from toolkit.sequences.batches import Rows
from toolkit.training import Settings, checkpoints, devices, loop, optimizers, plans
from toolkit.training.progress import say

NETWORKS = ("lstm", "transformer")
GRAPH_OPTIONS = {"lstm": ("cell", "units", "num_layers", "dropout"),
                 "transformer": ("units", "num_layers", "heads", "dropout")}
_NUMBERS = tf.TensorSpec((None, None), tf.int32)  # of tokens, (B, T)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
OF_CLASSIFIERS = ("find_learning_rate", "layer_decay", "dropout", "label_smoothing", "interpolation", "class_weights",
                  "mixup", "members", "test_views", "time_limit", "precision")
ROWS_AT_ONCE = 64


# ---- Networks -----------------------------------------------------------------------------------------------------


def body(network: str, x: keras.KerasTensor, mask: keras.KerasTensor, options: dict[str, Any], *, causal: bool
         ) -> keras.KerasTensor:
    """The steps (B, T, F) that a network makes of steps (B, T, E).

    Args:
        network: one of ``NETWORKS``.
        x: (B, T, E).
        mask: (B, T) bool, false at padding.
        options: of the graph; others are left alone.
        causal: no step knows a later one.

    Raises:
        ToolkitError: an option of the graph cannot be used.
    """
    own = {name: options[name] for name in GRAPH_OPTIONS[network] if name in options}
    try:
        if network == "lstm":
            return lstm(x, mask, bidirectional=not causal, pooling="none", **own)
        return transformer(x, mask, causal=causal, pooling="none", **own)
    except ValueError as error:
        raise ToolkitError(f"{network}: {error}.") from error


def on_tokens(network: str, num_tokens: int, num_classes: int, options: dict[str, Any], *, causal: bool
              ) -> keras.Model:
    """A model tokens (B, T) int32 -> logits (B, T, C).

    Args:
        network: one of ``NETWORKS``.
        num_tokens: of the vocabulary, padding among them.
        num_classes: C.
        options: of the graph, and ``embedding``, its width.
        causal: no step knows a later one.
    """
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(num_tokens, _width(options.get("embedding", "128")), name="embedding")(tokens)
    x = body(network, x, token_mask(tokens), options, causal=causal)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="head")(x)
    return keras.Model(tokens, logits, name="network")


def _width(embedding: str) -> int:
    if not str(embedding).isdigit():
        raise ToolkitError(f"--embedding {embedding} is a file; this task learns its own word vectors: give a number "
                           f"of columns, or leave it out.")
    return int(embedding)


# ---- Training -----------------------------------------------------------------------------------------------------


class Validation:
    """Held-out rows that choose the epoch, for ``loop.fit``: accuracy and log loss over steps.

    Args:
        inputs: n rows of token numbers.
        targets: n rows of class numbers, as long.
        monitor: "accuracy" or "log_loss".
        patience: as of ``loop.Validation``.
    """

    def __init__(self, inputs: Rows, targets: Rows, monitor: str, patience: int | None) -> None:
        self.inputs, self.targets, self.monitor, self.patience = inputs, targets, monitor, patience

    def scores(self, model: keras.Model) -> dict[str, float]:
        """Accuracy and log loss of the model now."""
        found, hits = losses(model, self.inputs, self.targets)
        return {"validation_accuracy": float(np.concatenate(hits).mean()),
                "validation_log_loss": float(np.concatenate(found).mean())}

    def rank(self, row: dict[str, Any]) -> tuple[float, float]:
        """Sorts rows of the history: the higher the better."""
        return row["validation_accuracy"] if self.monitor == "accuracy" else 0.0, -row["validation_log_loss"]


def train(build: Callable[[], keras.Model], stream: Callable[[int], tf.data.Dataset], plan: plans.Plan,
          settings: Settings, validation: Any, *, loss: Any = LOSS) -> tuple[keras.Model, list[dict[str, Any]]]:
    """Builds and trains a model on a stream of batches.

    Args:
        build: makes the model, its weights drawn by the seed of this process.
        stream: first step -> endless batches.
        plan: length and checkpoints.
        settings: optimizer, learning rate, schedule, decay, EMA, seed and devices are used.
        validation: chooses the epoch, as ``loop.Validation``; None: the last is taken.
        loss: of Keras.

    Returns:
        The model with the chosen weights, and the history.
    """
    with devices.strategy(settings.devices).scope():
        keras.utils.set_random_seed(settings.seed)
        model = build()
        model.compile(optimizer=optimizers.build(settings, total_steps=plan.total_steps), loss=loss)
    try:
        history = loop.fit(model, stream, plan, validation)
    except loop.Interrupted as stop:
        say(f"{stop}. The same command with --resume continues.")
        raise
    plain = build()  # without the optimizer, which no file should hold
    checkpoints.set_weights(plain, checkpoints.get_weights(model))
    return plain, history


def refuse_settings(settings: Settings) -> None:
    """Refuses what only a classifier is trained with, rather than to leave it unheard.

    Raises:
        ToolkitError: for the first such setting that is not at its default.
    """
    for name in OF_CLASSIFIERS:
        if getattr(settings, name) != getattr(Settings(), name):
            raise ToolkitError(f"--{name.replace('_', '-')} is for --task classify: leave it out"
                               f"{', or use --network-dropout' if name == 'dropout' else ''}.")


def plan(settings: Settings, num_rows: int, folder: Any, *, title: str, budget: int, fewest: int, most: int
         ) -> tuple[plans.Plan, Settings]:
    """How long to train, and the settings with what was left to choose filled in.

    Args:
        settings: their epochs, where given.
        num_rows: training rows.
        folder: of the checkpoints.
        title: of the progress lines.
        budget: rows to show in all, where epochs are left to choose; so many epochs, but
        fewest: at least, and
        most: at most.
    """
    epochs = settings.epochs or int(min(max(round(budget / num_rows), fewest), most))
    settings = Settings(**{**settings.describe(), "epochs": epochs}).for_rows(num_rows)
    steps = math.ceil(num_rows / settings.batch_size)
    return plans.Plan(steps, epochs, settings.seed, folder, title, from_start=False,
                      parts=settings.accumulation), settings


# ---- Answers ------------------------------------------------------------------------------------------------------


def losses(model: keras.Model, inputs: Rows, targets: Rows) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """-log p of the target at every step, and whether it was the most probable.

    Args:
        model: tokens (B, T) -> logits (B, T, C).
        inputs: n rows of token numbers.
        targets: n rows of class numbers, as long.

    Returns:
        n arrays (T,) float32 in nats, and n arrays (T,) bool.
    """
    def judged(tokens: tf.Tensor, wanted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(tokens, training=False)
        best = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits), tf.equal(best, wanted)

    call = compiled(model, "losses", judged, _NUMBERS, _NUMBERS)
    found: list[Any] = [None] * len(inputs)
    for rows, tokens in batches.evaluation(inputs, ROWS_AT_ONCE):
        wanted = batches.padded([targets[i] for i in rows]).astype(np.int32)
        values, hits = (part.numpy() for part in call(tokens.astype(np.int32), wanted))
        for number, i in enumerate(rows):
            found[i] = values[number, :len(inputs[i])], hits[number, :len(inputs[i])]
    return [values for values, _ in found], [hits for _, hits in found]


def probabilities(model: keras.Model, inputs: Rows) -> list[np.ndarray]:
    """The probabilities at every step.

    Args:
        model: tokens (B, T) -> logits (B, T, C).
        inputs: n rows of token numbers.

    Returns:
        n arrays (T, C) float32.
    """
    call = compiled(model, "probabilities", lambda tokens: tf.nn.softmax(model(tokens, training=False)), _NUMBERS)
    found: list[Any] = [None] * len(inputs)
    for rows, tokens in batches.evaluation(inputs, ROWS_AT_ONCE):
        values = call(tokens.astype(np.int32)).numpy()
        for number, i in enumerate(rows):
            found[i] = values[number, :len(inputs[i])]
    return found


def compiled(model: keras.Model, name: str, function: Callable[..., Any], *signature: tf.TensorSpec
             ) -> Callable[..., Any]:
    """A function of arrays as one graph, kept with its model.

    Args:
        model: what it calls.
        name: under which it is kept.
        function: of tensors.
        signature: theirs.
    """
    kept = model.__dict__.setdefault("_toolkit_calls", {})
    if name not in kept:
        kept[name] = tf.function(function, input_signature=signature)
    return kept[name]


def bits(nats: Sequence[np.ndarray]) -> np.ndarray:
    """The sums of rows of nats, (n,) in bits."""
    return np.array([float(row.sum()) / math.log(2) for row in nats])
