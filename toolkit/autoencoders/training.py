"""How autoencoders are trained: fully connected layers one after the other or at once, any backbone at once.

The objective comes from the recipe; here are arrays, steps, checkpoints and devices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from toolkit.autoencoders import batches, choices, networks, validation
from toolkit.models import backbones, synchronisation
from toolkit.training import Settings, calibration, checkpoints, devices, loop, optimizers, plans, workers
from toolkit.training.progress import say
from toolkit.training.settings import RANGES

Pair = Callable[[], tuple[keras.Model, keras.Model]]


@dataclass(frozen=True)
class Objective:
    """What a method brings.

    Attributes:
        model: (encoder, decoder, activation of the codes, whether values are cross-entropy's) -> model with its loss.
        draw: (number of codes, steps in all, shape (S, S, C) of an image, whether the values are pixels) -> what a step
            is given.
        linear_codes: whether the codes are linear, whatever the layers below them are.
        code_width: numbers that the encoder ends in, for each code.
        tied: whether decoders use the kernels of their encoders.
        squared: whether pixels are compared by squares, grey ones too.
        kept: number of largest codes that are reconstructed from; 0: all.
        kept_codes: likewise, that are features.
        jointly: whether several layers are trained at once, else each on the codes of the one below.
        centred: whether fully connected layers see their input, corrupted or not, less its mean, and their decoders
            begin with the mean of what they reconstruct. In the end the former becomes part of the biases.
    """

    model: Callable[[keras.Model, keras.Model, str, bool], keras.Model]
    draw: Callable[[int, int, tuple[int, ...], bool], batches.Draw]
    linear_codes: bool = False
    code_width: int = 1
    tied: bool = True
    squared: bool = False
    kept: int = 0
    kept_codes: int = 0
    jointly: bool = False
    centred: bool = False

    def codes(self, activation: str) -> str:
        """The activation of the codes, where layers have another."""
        return "linear" if self.linear_codes else activation


def fit(values: np.ndarray, pair: Pair, objective: Objective, settings: Settings, folder: Path | None, *, title: str,
        activation: str, cross_entropy: bool, shape: tuple[int, ...], held_out: np.ndarray | None = None
        ) -> tuple[keras.Model, keras.Model, list[dict[str, Any]]]:
    """Trains one encoder and its decoder.

    Args:
        values: (n, d) or (n, S, S, C), uint8 for [0, 1], or float32.
        pair: makes encoder and decoder.
        objective: of the method.
        settings: epochs, time limit, batch size, optimizer, rate, seed, devices.
        folder: of the checkpoints; None: none are written.
        title: in progress lines.
        activation: of the codes.
        cross_entropy: whether values are compared by cross-entropy, else by squares.
        shape: (S, S, C) of a row as an image.
        held_out: (m, ...) validation rows, whose loss stands in the history; None: there are none.

    Returns:
        Encoder and decoder, on one device, and the history.

    Raises:
        loop.Interrupted: on Ctrl-C.
        ToolkitError: if the loss is no longer finite.
    """
    steps = -(-len(values) // settings.batch_size)
    plan = plans.Plan(steps, settings.epochs, settings.seed, folder, title, keep="last", from_start=False)
    with devices.strategy(settings.devices).scope():
        keras.utils.set_random_seed(settings.seed)
        encoder, decoder = pair()
        synchronisation.synchronise(encoder, several=tf.distribute.get_strategy().num_replicas_in_sync > 1)
        model = objective.model(encoder, decoder, activation, cross_entropy)

    def drawn(plan: plans.Plan) -> batches.Draw:
        return objective.draw(decoder.input_shape[1], plan.total_steps, shape, values.dtype == np.uint8)

    def prepared(plan: plans.Plan) -> tuple[Callable[[int], tf.data.Dataset], loop.Validation | None]:
        draw = batches.centred(drawn(plan), centre) if objective.centred else drawn(plan)
        return _prepared(model, values, held_out, draw, settings, plan)

    if objective.centred:
        networks.begin_at(decoder, batches.mean(values), logits=cross_entropy)
        centre = batches.mean_input(values, drawn(plan), seed=settings.seed)

    stream, judged = prepared(plan)
    if settings.time_limit is not None:
        judge = (lambda: judged.scores(model)) if judged else (lambda: None)
        plan, _ = calibration.calibrate(model, stream, plan, settings, end_epoch=judge, num_rows=len(values))
        stream, judged = prepared(plan)
    try:
        history = loop.fit(model, stream, plan, judged)
    except loop.Interrupted as stop:
        say(f"{stop}. The same command with --resume continues.")
        raise
    plain = pair()
    for ours, theirs in zip(plain, (encoder, decoder), strict=True):
        checkpoints.set_weights(ours, checkpoints.get_weights(theirs))
    if objective.centred:
        networks.uncentre(plain[0], centre)
    return *plain, history


def _prepared(model: keras.Model, values: np.ndarray, held_out: np.ndarray | None, draw: batches.Draw,
              settings: Settings, plan: plans.Plan
              ) -> tuple[Callable[[int], tf.data.Dataset], loop.Validation | None]:
    """Compiles for the length of a plan, and gives the batches and the validation rows for it."""
    with model.distribute_strategy.scope():
        model.compile(optimizer=optimizers.build(settings, total_steps=plan.total_steps))
    stream = batches.stream(values, draw, batch_size=settings.batch_size, seed=settings.seed)
    return stream, validation.held_out(held_out, draw, batch_size=settings.batch_size, step=plan.total_steps)


def dense(images: np.ndarray, hidden: list[int], activation: str, objective: Objective, settings: Settings,
          folder: Path | None, *, initialiser: str = "glorot", held_out: np.ndarray | None = None
          ) -> tuple[list[networks.TrainedLayer], list[dict[str, Any]], list[float]]:
    """Trains fully connected layers.

    Args:
        images: (n, S, S, C) uint8.
        hidden: units of each layer.
        activation: of the layers.
        objective: of the method.
        settings: of the training; layers that are trained one after the other share its time limit.
        folder: of the checkpoints.
        initialiser: of the kernels.
        held_out: (m, S, S, C) uint8 validation images; None: there are none.

    Returns:
        The layers from the pixels up, the history, and the peak learning rate of each part. Grey pixels are sigmoid
        units with cross-entropy, unless the objective says squares; codes are such if they are sigmoid units
        themselves.
    """
    code_activation = objective.codes(activation)
    values, stack, history, rates = images.reshape(len(images), -1), [], [], []
    below = None if held_out is None else held_out.reshape(len(held_out), values.shape[1])
    parts = [hidden] if objective.jointly else [[units] for units in hidden]
    limit = settings.time_limit and max(settings.time_limit / len(parts), RANGES["time_limit"][0])
    for number, part in enumerate(parts, start=1):
        in_range = images.shape[-1] == 1 if number == 1 else code_activation == "sigmoid"
        cross_entropy = in_range and not objective.squared
        pair = partial(networks.dense_pair, values.shape[1], part, activation=activation, tied=objective.tied,
                       code_activation=code_activation, code_width=objective.code_width * part[-1],
                       initialiser=initialiser)
        title = "autoencoder" if part == hidden else f"layer {number} of {len(hidden)}"
        rates.append(_rate(values, settings, centred=objective.centred and not objective.jointly))
        own = dataclasses.replace(settings, time_limit=limit, learning_rate=rates[-1])
        encoder, decoder, rows = fit(values, pair, objective, own, folder and folder / f"layer-{number}", title=title,
                                     activation=code_activation, cross_entropy=cross_entropy, shape=images.shape[1:],
                                     held_out=below)
        stack += networks.trained_layers(
            encoder, decoder, activation=activation, code_activation=code_activation,
            back_activation="sigmoid" if cross_entropy else "linear", kept=objective.kept,
            kept_codes=objective.kept_codes)
        history += [{"layer": number, **row} for row in rows]
        if part != hidden and number < len(hidden):
            codes = networks.dense_codes(stack[-1])
            values = in_parts(codes, values)
            below = None if below is None or not len(below) else in_parts(codes, below)
    return stack, history, rates


def _rate(values: np.ndarray, settings: Settings, *, centred: bool) -> float:
    """The peak learning rate, as asked or the usual one, the same for all workers."""
    return workers.of_chief(settings.learning_rate
                            or choices.learning_rate(values, settings.optimizer, centred=centred))


@dataclass(frozen=True, eq=False)
class Trained:
    """What training leaves.

    Attributes:
        network: (B, S, S, 3) float32 in [0, 255] to codes (B, F).
        decoder: codes to (B, S, S, 3) float32 in [0, 255].
        before: the same network without training.
        history: a dict each epoch.
        rates: the peak learning rate of each part that was trained for itself.
        stack: fully connected layers from the pixels up; empty for a backbone.
    """

    network: keras.Model
    decoder: keras.Model
    before: keras.Model
    history: list[dict[str, Any]]
    rates: list[float]
    stack: list[networks.TrainedLayer]


def train(images: np.ndarray, backbone: Callable[[], keras.Model], objective: Objective, settings: Settings,
          folder: Path | None, *, hidden: list[int] | None, activation: str, initialiser: str = "glorot",
          held_out: np.ndarray | None = None) -> Trained:
    """Trains fully connected layers, or a backbone and its mirrored decoder.

    Args:
        images: (n, S, S, C) uint8.
        backbone: makes it, as ``backbones.build`` does.
        objective: of the method.
        settings: of the training.
        folder: of the checkpoints.
        hidden: units of fully connected layers; None: the backbone is trained.
        activation: of fully connected layers.
        initialiser: of their kernels.
        held_out: (m, S, S, C) uint8 validation images, whose loss stands in the history; None: there are none.
    """
    if hidden is None:
        return _whole_backbone(images, backbone, objective, settings, folder, held_out)
    size, channels = images.shape[1], images.shape[-1]
    stack, history, rates = dense(images, hidden, activation, objective, settings, folder, initialiser=initialiser,
                                  held_out=held_out)
    keras.utils.set_random_seed(settings.seed)
    begun = untrained(images.shape[1] * images.shape[2] * channels, hidden, activation, objective)
    return Trained(networks.dense_network(size, channels, stack), networks.dense_decoder(size, channels, stack),
                   networks.dense_network(size, channels, begun), history, rates, stack)


def untrained(width: int, hidden: list[int], activation: str, objective: Objective) -> list[networks.TrainedLayer]:
    """The same layers without training, drawn by Glorot's initialiser, from the values (d,) up."""
    code_activation, stack = objective.codes(activation), []
    for part in [hidden] if objective.jointly else [[units] for units in hidden]:
        pair = networks.dense_pair(width, part, activation=activation, tied=objective.tied,
                                   code_activation=code_activation)
        stack += networks.trained_layers(*pair, activation=activation, code_activation=code_activation,
                                         back_activation="linear", kept_codes=objective.kept_codes)
        width = part[-1]
    return stack


def _whole_backbone(images: np.ndarray, backbone: Callable[[], keras.Model], objective: Objective, settings: Settings,
                    folder: Path | None, held_out: np.ndarray | None) -> Trained:
    channels, made = images.shape[-1], []

    def pair() -> tuple[keras.Model, keras.Model]:
        made.append(backbone())
        return (networks.backbone_encoder(made[-1], channels, code_width=objective.code_width),
                networks.mirrored_decoder(made[-1], channels))

    cross_entropy = channels == 1 and not objective.squared
    objective = dataclasses.replace(objective, centred=False)
    settings = dataclasses.replace(settings, learning_rate=_rate(images, settings, centred=False))
    _, decoder, history = fit(images, pair, objective, settings, folder, title="autoencoder", activation="",
                              cross_entropy=cross_entropy, shape=images.shape[1:], held_out=held_out)
    decoder = networks.image_decoder(decoder, activation="sigmoid" if cross_entropy else "linear")
    return Trained(backbones.network(made[-1]), decoder, backbones.network(backbone()), history,
                   [settings.learning_rate], [])


def in_parts(compute: Callable[[tf.Tensor], tf.Tensor], values: np.ndarray) -> np.ndarray:
    """``compute`` of rows (n, ...), uint8 for [0, 1] or float32, a few hundred at a time."""
    return np.concatenate([np.asarray(compute(batches.scaled(tf.constant(values[start:start + batches.ROWS_AT_ONCE]))))
                           for start in range(0, len(values), batches.ROWS_AT_ONCE)])
