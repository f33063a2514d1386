"""Pretraining a network on the texts of its own table: transfer without a hub.

The labels are few, the texts are many: before a classifier is trained, the network learns the language of all training
rows, labelled or not. A network that reads forwards predicts the next token,

    -log p(x_{t+1} | x_1 ... x_t),

and one that looks both ways, a transformer or a bidirectional LSTM, predicts tokens that are hidden from it: 15 % of
them, of which 80 % become a mark, 10 % another token, 10 % stay. What comes out is a model from text to features in a
file, from which training goes on as from any pretrained backbone.

References:
    ULMFiT: Howard and Ruder 2018, https://arxiv.org/abs/1801.06146; hidden words: Devlin et al. 2019 (BERT),
    https://arxiv.org/abs/1810.04805
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from toolkit import ToolkitError, atomic_files
from toolkit.inputs import sequences
from toolkit.models import backbones, vocabularies
from toolkit.models.sequence_layers import positions
from toolkit.sequences import batches, step_networks
from toolkit.tables import Table
from toolkit.training import Settings, devices, loop, optimizers, plans, run_folders, workers

LONGEST = 64  # tokens of a row of pretraining: longer texts are cut into several
HIDDEN_SHARE, MARK_SHARE, OTHER_SHARE = 0.15, 0.8, 0.1
NEXT_SHARE = 0.25  # of the steps whose next token is predicted each pass: what tells tokens apart costs most
FILE, FACTS = "pretrained.keras", "pretraining.json"
_LEARNING_RATE = 1e-3


def pretrain(table: Table, build: Callable[[], keras.Model], settings: Settings, folder: run_folders.RunFolder, *,
             epochs: int) -> tuple[Settings, dict[str, Any]]:
    """Trains a network on the texts of a run's table and writes it to ``pretrained.keras`` in the run's folder.

    Args:
        table: of texts; its training rows are used, and no label.
        build: makes the backbone with random weights.
        settings: batch size, optimizer, schedule, decay, seed and devices are used.
        folder: of the run; a file that is there already is taken as it is.
        epochs: passes over the texts.

    Returns:
        The settings whose weights are the file, and for the report epochs, objective ("next token" or "hidden tokens")
        and loss before and after (of the first and the last epoch).

    Raises:
        ToolkitError: the rows are no texts, or the network has no answer at every token.
    """
    if table.kind != "text":
        raise ToolkitError(f"--pretrain-epochs learns the language of texts, and the rows of {table.source} are of "
                           f"kind {table.kind}: leave it out.")
    devices.strategy(settings.devices)
    path, facts = folder.shared / FILE, folder.shared / FACTS
    if not workers.of_chief(path.exists()):
        backbone, history, objective = _train(table, build, settings, folder.checkpoints / "pretraining", epochs)
        losses = {"first_loss": history[0]["loss"], "last_loss": history[-1]["loss"]}
        with atomic_files.in_place_of(folder.path / FACTS) as temporary:
            temporary.write_text(json.dumps({"epochs": epochs, "objective": objective, **losses}))
        with atomic_files.in_place_of(folder.path / FILE) as temporary:
            backbone.save(temporary)
    workers.wait()  # for the chief's file
    return dataclasses.replace(settings, weights=str(path.absolute())), json.loads(facts.read_text())


def _train(table: Table, build: Callable[[], keras.Model], settings: Settings, checkpoints: Path, epochs: int
           ) -> tuple[keras.Model, list[dict[str, Any]], str]:
    with devices.strategy(settings.devices).scope():
        backbone = build()
        model, causal = language_model(backbones.network(backbone))
        texts = rows_of(table, backbones.preprocessing(backbone))
        settings = dataclasses.replace(settings, learning_rate=_LEARNING_RATE, ema=0.0)
        plan = plans.Plan(math.ceil(len(texts) / settings.batch_size), epochs, settings.seed, checkpoints,
                          "pretraining", keep="last", from_start=False, parts=settings.accumulation)
        model.compile(optimizer=optimizers.build(settings, total_steps=plan.total_steps),
                      loss=step_networks.LOSS)
    history = loop.fit(model, stream(texts, model.output_shape[-1], settings, causal=causal), plan)
    return backbone, history, "next token" if causal else "hidden tokens"


def language_model(network: keras.Model) -> tuple[keras.Model, bool]:
    """A model around the layers of a network, and whether it is causal.

    The embedding is its last layer too (Press and Wolf 2017, https://arxiv.org/abs/1608.05859): a token is probable
    where its vector is what the network wants.

    Args:
        network: of a text, with layers "stem_embedding" and "head_steps"; the two share their weights.

    Returns:
        Model (tokens (B, T), places (B, K) int32) -> logits of a token at each place (B, K, V).

    Raises:
        ToolkitError: it has no steps to predict tokens from.
    """
    names = {layer.name for layer in network.layers}
    if not {"stem_embedding", "head_steps"} <= names:
        raise ToolkitError("--pretrain-epochs needs a network with an answer at every token: use --backbone lstm or "
                           "transformer.")
    causal = not any(isinstance(layer, (keras.layers.Bidirectional, keras.layers.MultiHeadAttention))
                     for layer in network.layers)
    embedding = network.get_layer("stem_embedding")
    places = keras.Input((None,), dtype="int32", name="places")
    steps = network.get_layer("head_steps").output
    is_there = ops.equal(ops.expand_dims(places, -1), ops.expand_dims(positions(network.inputs[0]), 1))
    chosen = ops.matmul(ops.cast(is_there, steps.dtype), steps)
    wanted = keras.layers.Dense(embedding.output_dim, name="wanted")(chosen)
    logits = ops.cast(ops.einsum("bkw,vw->bkv", wanted, embedding.embeddings), "float32")
    return keras.Model([network.inputs[0], places], logits, name="language_model"), causal


def rows_of(table: Table, preprocessing: "backbones.TextPreprocessing") -> list[np.ndarray]:
    """The token numbers of all training rows, in rows of at most 64, of at least two."""
    whole = dataclasses.replace(preprocessing, max_length=0)
    texts = sequences.read(table, table.in_split("train"), whole)
    rows = [text[start:start + LONGEST] for text in texts for start in range(0, len(text), LONGEST)]
    rows = [row for row in rows if len(row) > 1]
    if not rows:
        raise ToolkitError(f"{table.source}: no training text has two tokens, so there is no language to learn: leave "
                           "--pretrain-epochs out.")
    return rows


def stream(rows: list[np.ndarray], num_tokens: int, settings: Settings, *, causal: bool
           ) -> Callable[[int], tf.data.Dataset]:
    """First step -> endless batches ((tokens (B, T), places (B, K)), targets (B, K), weights (B, K)).

    The weights are those of ``batches.evenly``, 0 for no place.

    Args:
        rows: token numbers.
        num_tokens: V.
        settings: batch size and seed are used.
        causal: predict the next token at some places; else those that stood there, hidden.
    """
    shown, wanted = ([row[:-1] for row in rows], [row[1:] for row in rows]) if causal else (rows, rows)
    plain = batches.padded_batches(shown, wanted, batch_size=settings.batch_size, seed=settings.seed)

    def task(step: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[Any, tf.Tensor, tf.Tensor]:
        tokens, targets, real = batch
        seed = tf.stack([tf.constant(settings.seed, tf.int64), step])
        places, known = some_places(real, NEXT_SHARE if causal else HIDDEN_SHARE, seed=seed)
        if not causal:
            tokens = hidden(tokens, places, known, seed=seed, num_tokens=num_tokens)
        return batches.evenly((tokens, places), tf.gather(targets, places, batch_dims=1), known)

    return lambda first_step: plain(first_step).enumerate(start=first_step).map(task, num_parallel_calls=1)


def some_places(real: tf.Tensor, share: float, *, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A random share of the steps of each row, at least one: places (B, K) int32, weights (B, K), 0 where no place is.

    Args:
        real: (B, T) float32, 0 at padding.
        share: in (0, 1].
        seed: (2,) int64, of which the result is a function.
    """
    most = tf.cast(tf.math.ceil(share * tf.cast(tf.shape(real)[1], tf.float32)), tf.int32)
    drawn = tf.random.stateless_uniform(tf.shape(real), seed) * real
    places = tf.math.top_k(drawn, most).indices
    wanted = tf.math.ceil(share * tf.reduce_sum(real, axis=1, keepdims=True))
    weights = tf.cast(tf.cast(tf.range(most), tf.float32)[None] < wanted, tf.float32)
    return places, weights


def hidden(tokens: tf.Tensor, places: tf.Tensor, weights: tf.Tensor, *, seed: tf.Tensor, num_tokens: int) -> tf.Tensor:
    """Tokens (B, T) int32 with those at some places hidden: 80 % marked, 10 % another token, 10 % as they were.

    Args:
        tokens: (B, T) int32.
        places: (B, K) int32.
        weights: (B, K), 0 where no place is.
        seed: (2,) int64, of which the result is a function.
        num_tokens: V.
    """
    shape = tf.shape(places)
    kind = tf.random.stateless_uniform(shape, tf.random.fold_in(seed, tf.constant(1, tf.int64)))
    first = min(vocabularies.HIDDEN + 1, num_tokens - 1)
    other = tf.random.stateless_uniform(shape, tf.random.fold_in(seed, tf.constant(2, tf.int64)), minval=first,
                                        maxval=num_tokens, dtype=tf.int32)
    before = tf.gather(tokens, places, batch_dims=1)
    now = tf.where(kind < MARK_SHARE, vocabularies.HIDDEN, tf.where(kind < MARK_SHARE + OTHER_SHARE, other, before))
    now = tf.where(weights > 0, now, before)
    rows = tf.tile(tf.range(shape[0])[:, None], [1, shape[1]])
    return tf.tensor_scatter_nd_update(tokens, tf.stack([rows, places], axis=-1), now)
