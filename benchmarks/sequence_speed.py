"""A training step of an LSTM on texts against a bare Keras `fit`, and what batches of like length save.

    python benchmarks/sequence_speed.py $TOOLKIT_DATA/sst2/texts.csv --pairs 10

Interleaved, on the same texts, the same network and the same size of batch:

A: the steps of train_lstm: tokens, batches of like length, layer-wise AdamW, moving average of the weights.
B: `fit` of the same network and head with stock AdamW on batches of the same texts made beforehand, as A pads them.
C: as B, every batch in random order and padded to its longest text.
D: as B, all texts padded to the longest of the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import count

import click
import numpy as np

OURS = "toolkit train-lstm step"


@click.command(context_settings={"show_default": True})
@click.argument("table")
@click.option("--pairs", default=10, help="Interleaved repetitions.")
@click.option("--steps", default=40, help="Steps a repetition.")
@click.option("--batch-size", default=32)
def main(table: str, pairs: int, steps: int, batch_size: int) -> None:
    from toolkit.inputs import buckets, sequences
    from toolkit.tables import read_table

    data = read_table(table)
    ours, rows, preprocessing = _ours(data, batch_size, steps)
    tokens = sequences.read(data, rows, preprocessing)
    lengths, labels = np.array([len(text) for text in tokens]), data.labels[rows]
    longest = -(-lengths.max() // sequences.LENGTH_STEP) * sequences.LENGTH_STEP

    def made(window_batches: int, least: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
        order = buckets.Order(lengths, batch_size, 0, window_batches)
        chosen = [[row for _, row in order.batch(step)] for step in range(steps * (pairs + 1))]
        padded = [sequences.padded([*(tokens[row] for row in batch), np.zeros(least, np.int32)], 0)[:-1]
                  for batch in chosen]
        return [(batch, labels[places]) for batch, places in zip(padded, chosen, strict=True)]

    prepared = {"bare Keras fit, same batches": made(buckets.WINDOW_BATCHES),
                "bare Keras fit, padded to the longest of the batch": made(1),
                "bare Keras fit, padded to the longest of all": made(1, longest)}
    ways = {OURS: ours} | {name: _bare(data, batches, steps) for name, batches in prepared.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(pairs + 1):  # the first one traces and is not counted
        for name, work in ways.items():
            taken = work()
            if repetition:
                seconds[name].append(taken)
    for name, values in seconds.items():
        ratios = np.array(values) / np.array(seconds[OURS])
        print(f"{name}: median {batch_size * steps / np.median(values):.0f} texts/s; toolkit reaches "
              f"{np.median(ratios):.2f} times its speed (pairs {ratios.min():.2f} to {ratios.max():.2f})")


def _ours(data, batch_size: int, steps: int) -> tuple[Callable[[], float], np.ndarray, object]:
    """The recipe's own model, compiled by the recipe, on the recipe's own stream; its rows and preprocessing."""
    from recipes import fine_tune, linear_probe
    from toolkit.models import backbones, classifiers
    from toolkit.training import Settings, devices, plans, streams

    rows = data.labelled("train")
    settings = Settings(backbone="lstm", weights="none", batch_size=batch_size).for_rows(len(rows))
    devices.strategy("cpu")
    backbone = linear_probe.build_backbone(data, settings)
    preprocessing = backbones.preprocessing(backbone)
    model = classifiers.with_head(backbones.network(backbone), len(data.class_names))
    fine_tune.compile_member(model, settings, plans.Plan(steps, 100), unfreeze="all", probe=None)
    stream, first = streams.labelled(data, preprocessing, settings, reflect=False, seed=0), count(0, steps)
    return lambda: _fit(model, stream(next(first)), steps), rows, preprocessing


def _bare(data, prepared: list[tuple[np.ndarray, np.ndarray]], steps: int) -> Callable[[], float]:
    """The same network and head, stock AdamW, from arrays."""
    import keras
    import tensorflow as tf

    from recipes import linear_probe
    from toolkit.models import backbones, classifiers
    from toolkit.training import Settings

    backbone = linear_probe.build_backbone(data, Settings(backbone="lstm", weights="none"))
    model = classifiers.with_head(backbones.network(backbone), len(data.class_names))
    model.compile(optimizer=keras.optimizers.AdamW(1e-3),
                  loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    first, size = count(0, steps), len(prepared[0][1])
    signature = (tf.TensorSpec((size, None), tf.int32), tf.TensorSpec((size,), tf.int64))

    def work() -> float:
        start = next(first)
        some = prepared[start:start + steps]
        return _fit(model, tf.data.Dataset.from_generator(lambda: iter(some), output_signature=signature), steps)

    return work


def _fit(model, batches: Iterable, steps: int) -> float:
    """Seconds of ``steps`` steps."""
    start = time.monotonic()
    model.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
