"""Autoencoders: an epoch beside a bare Keras `fit`, the lecture's patches, graphs of codes, second stages side by side.

    python benchmarks/autoencoders.py speed mnist.npz --pairs 10          # seconds of an epoch of 784-1000-784
    python benchmarks/autoencoders.py patches images.csv patches.npz      # 10,000 patches of 10 x 10 pixels to train on
    python benchmarks/autoencoders.py graph mnist.npz RUN --splits 20     # Poisson learning on the codes of a run

The second makes a table for the lecture's example of 100 sparse units on patches of photographs:

    toolkit pretrain-autoencoder patches.npz --method sparse --hidden 100 --image-size 10 --output runs/patches
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from functools import partial

import click
import numpy as np

PUBLISHED = {1: 9.8, 5: 4.7}  # labels a class: error in %, Calder 2020 on codes of a variational autoencoder
GREY = (0.299, 0.587, 0.114)


@click.group(context_settings={"show_default": True})
def main() -> None:
    """Measurements on autoencoders."""


@main.command()
@click.argument("mnist")
@click.option("--pairs", default=10, help="Interleaved repetitions.")
@click.option("--batch-size", default=100)
def speed(mnist: str, pairs: int, batch_size: int) -> None:
    """An epoch of 784-1000-784 as the recipe trains it, and the same network in a bare Keras `fit`."""
    with np.load(mnist) as archive:
        images = archive["x_train"][..., None]
    ways = {"pretrain-autoencoder": _ours(images, batch_size), "bare Keras fit": _bare(images, batch_size)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(pairs + 1):  # the first one traces and is not counted
        for name, epoch in ways.items():
            start = time.monotonic()
            epoch()
            if repetition:
                seconds[name].append(time.monotonic() - start)
    ours, bare = seconds.values()
    for name, values in seconds.items():
        print(f"{name}: {statistics.median(values):.2f} s an epoch (from {min(values):.2f} to {max(values):.2f})")
    ratios = [theirs / own for own, theirs in zip(ours, bare, strict=True)]
    print(f"speed relative to the bare fit: median of {pairs} interleaved pairs {statistics.median(ratios):.3f}")


def _ours(images: np.ndarray, batch_size: int):
    import keras
    import tensorflow as tf

    from recipes import pretrain_autoencoder as recipe
    from toolkit.autoencoders import batches, choices, networks
    from toolkit.training import loop, optimizers, plans

    settings = dataclasses.replace(choices.DEFAULTS, epochs=1, learning_rate=0.001, batch_size=batch_size)
    chosen = choices.chosen("plain", tied=False, sparsity_target=0.03, kept=25, kept_factor=3.0, patch_size=4)
    keras.utils.set_random_seed(0)
    pair = networks.dense_pair(784, [1000], activation="relu", tied=False)
    model = recipe.objective(chosen).model(*pair, "relu", True)
    steps = -(-len(images) // batch_size)
    model.compile(optimizer=optimizers.build(settings, total_steps=100 * steps))
    draw = recipe.objective(chosen).draw(1000, steps, images.shape[1:])
    stream = batches.stream(images.reshape(len(images), -1), draw, batch_size=batch_size, seed=0)
    tf.config.experimental.enable_op_determinism()
    return lambda: loop.fit(model, stream, plans.Plan(steps, 1, from_start=False))


def _bare(images: np.ndarray, batch_size: int):
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(1000, "relu"), keras.layers.Dense(784)])
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    values = images.reshape(len(images), -1).astype(np.float32) / 255
    return partial(model.fit, values, values, batch_size=batch_size, verbose=0)


@main.command()
@click.argument("table")
@click.argument("output")
@click.option("--count", default=10_000)
@click.option("--side", default=10)
@click.option("--seed", default=0)
def patches(table: str, output: str, count: int, side: int, seed: int) -> None:
    """Grey patches of the training images of TABLE, three deviations about their means stretched as by Ng 2011."""
    from toolkit.tables import image_files, read_table

    found = read_table(table)
    rows, random = found.in_split("train"), np.random.default_rng(seed)
    cut = []
    for number in np.sort(random.integers(len(rows), size=count)):
        if not cut or number != last:
            image, last = image_files.read(found.inputs[rows[number]]) @ np.array(GREY), number
        top, left = (random.integers(length - side + 1) for length in image.shape)
        cut.append(image[top:top + side, left:left + side])
    values = np.stack(cut) - np.mean(cut, axis=(1, 2), keepdims=True)
    limit = 3 * values.std()
    grey = np.rint(255 * (0.1 + 0.8 * (np.clip(values, -limit, limit) / limit + 1) / 2)).astype(np.uint8)
    np.savez(output, x_train=grey[: -count // 10], x_test=grey[-count // 10:])
    print(f"{output}: {count:,} patches of {side} x {side} pixels")


@main.command()
@click.argument("mnist")
@click.argument("run")
@click.option("--splits", default=20)
@click.option("--neighbours", default=10)
def graph(mnist: str, run: str, splits: int, neighbours: int) -> None:
    """Poisson learning on the graph of the codes of the training rows; the error is on its unlabelled rows."""
    from toolkit.models import backbones
    from toolkit.semisupervised import graph as graphs
    from toolkit.tables import read_table
    from toolkit.training import features

    table = read_table(mnist, labels_per_class=None)
    rows = np.concatenate([table.in_split("train"), table.in_split("validation")])
    codes, labels = features.extract(backbones.build(run), table, rows), table.labels[rows]
    started = time.monotonic()
    weights = graphs.weights(*graphs.nearest(codes, neighbours))
    print(f"graph of {len(rows):,} codes, {neighbours} neighbours: {time.monotonic() - started:.0f} s", flush=True)
    for per_class in (1, 5):
        errors, seconds = [], []
        for seed in range(splits):
            random = np.random.default_rng(seed)
            known = np.concatenate([random.permutation(np.flatnonzero(labels == number))[:per_class]
                                    for number in range(10)])
            given = np.full(len(labels), -1)
            given[known] = labels[known]
            started = time.monotonic()
            wrong = graphs.poisson(weights, given, 10).argmax(axis=1) != labels
            seconds.append(time.monotonic() - started)
            errors.append(100 * float(wrong[given < 0].mean()))
        print(f"{10 * per_class} labels, {splits} splits: error {np.mean(errors):.1f} +- {np.std(errors):.1f} % (worst "
              f"{max(errors):.1f}), at most {max(seconds):.0f} s a split; published {PUBLISHED[per_class]}", flush=True)


if __name__ == "__main__":
    main()
