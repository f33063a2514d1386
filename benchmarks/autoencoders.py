"""Autoencoders: an epoch beside a bare Keras `fit`, the lecture's patches, graphs of codes, how many codes are kept.

    python benchmarks/autoencoders.py speed mnist.npz --pairs 10          # seconds of an epoch of 784-1000-784
    python benchmarks/autoencoders.py patches images.csv patches.npz      # 10,000 patches of 10 x 10 pixels to train on
    python benchmarks/autoencoders.py graph mnist.npz RUN --splits 20     # Poisson learning on the codes of a run
    python benchmarks/autoencoders.py factors RUN --factors 1,2,3,4       # alpha of a k-sparse run, on validation rows
    python benchmarks/autoencoders.py kept mnist.npz --kept 10,25,40,70 --output DIR     # the curve over k

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
from scipy import sparse
from scipy.special import softmax

PUBLISHED = {1: 9.8, 5: 4.7}  # labels a class: error in %, Calder 2020 on codes of a variational autoencoder
TOLERANCE = 1e-6  # of the conjugate gradients; that of the library is finer than any error here shows
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
    draw = recipe.objective(chosen).draw(1000, steps, images.shape[1:], True)
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
@click.option("--rows", default=0, help="Training rows that are joined; 0: all.")
def graph(mnist: str, run: str, splits: int, neighbours: int, rows: int) -> None:
    """Poisson learning on the graph of the codes of the training rows; then test rows, which are no part of the graph.

    The error of the graph is on its unlabelled rows. Test rows are given the mean probabilities of their nearest
    neighbours in it, or those of the classifier of spread-labels. Nothing is chosen.
    """
    from toolkit.autoencoders import similar
    from toolkit.models import backbones
    from toolkit.semisupervised import graph as graphs
    from toolkit.semisupervised.neighbours import remembered
    from toolkit.tables import read_table
    from toolkit.training import features

    graphs.TOLERANCE = TOLERANCE
    table, backbone = read_table(mnist), backbones.build(run)
    own = np.concatenate([table.labelled("train"), table.labelled("validation")])[:rows or None]
    test = table.labelled("test")
    codes, of_test = (features.extract(backbone, table, some) for some in (own, test))
    labels, answers = table.labels[own], table.labels[test]
    started = time.monotonic()
    weights = graphs.weights(*remembered(codes, neighbours))
    nearest, _ = similar.nearest(of_test, codes, neighbours, metric="euclidean")
    print(f"graph of {len(own):,} codes, {neighbours} neighbours: {time.monotonic() - started:.0f} s", flush=True)
    for per_class in PUBLISHED:
        errors: dict[str, list[float]] = {name: [] for name in (
            "unlabelled training rows", "test rows by their neighbours", "test rows by logistic regression",
            "test rows by a hidden layer")}
        seconds = []
        for seed in range(splits):
            random = np.random.default_rng(seed)
            known = np.concatenate([random.permutation(np.flatnonzero(labels == number))[:per_class]
                                    for number in range(10)])
            given = np.full(len(labels), -1)
            given[known] = labels[known]
            started = time.monotonic()
            wrong = graphs.poisson(weights, given, 10).argmax(axis=1) != labels
            seconds.append(time.monotonic() - started)
            soft, classifiers = _classifiers(codes, weights, given)
            found = soft[nearest].mean(axis=1), *(one.probabilities(of_test) for one in classifiers)
            of_all = (wrong[given < 0], *(values.argmax(axis=1) != answers for values in found))
            for values, some in zip(errors.values(), of_all, strict=True):
                values.append(100 * float(some.mean()))
        words = "; ".join(f"{name} {np.mean(values):.2f} +- {np.std(values):.2f} % (worst {max(values):.1f})"
                          for name, values in errors.items())
        print(f"{10 * per_class} labels, {splits} splits, error on {words}; at most {max(seconds):.0f} s a split; "
              f"published {PUBLISHED[per_class]}", flush=True)


def _classifiers(codes: np.ndarray, weights: sparse.csr_array, given: np.ndarray):
    """Soft pseudo-labels (n, 10), and the two classifiers of which spread-labels fits one to them."""
    from toolkit.evaluation.baselines.reduction import reduction
    from toolkit.semisupervised import class_shares, spreading

    reduced, shares = reduction(codes), class_shares.of_labels(given[given >= 0], 10)
    rows = spreading.Rows(given, weights, reduced, reduced.features, shares, align=True,
                          nodes=np.arange(len(given)))
    spread = softmax(spreading.spread(rows, given, "poisson"), axis=1)
    return spread, [spreading.fit(rows, given, spread, spreading.Choice(classifier=name))
                    for name in spreading.CLASSIFIERS]


@main.command()
@click.argument("run")
@click.option("--factors", default="1,2,3,4", help="Times k codes are kept as features.")
def factors(run: str, factors: str) -> None:
    """Logistic regression on the codes of a k-sparse run, trained once, for several factors alpha: validation error."""
    import json
    from pathlib import Path

    import keras
    import tensorflow as tf

    from toolkit.autoencoders import batches, networks, reports, runs, training
    from toolkit.tables import read_table

    params = json.loads((Path(run) / "params.json").read_text())
    table, autoencoder, kept = read_table(**params["table"]), runs.load(run), params["options"]["kept"]
    images = batches.images(table, autoencoder.preprocessing, table.channels)
    dense = [layer for layer in autoencoder.network.layers if isinstance(layer, keras.layers.Dense)][-1]
    linear = keras.Model(autoencoder.network.inputs[0], dense.output)
    rows, validation = table.labelled("train"), table.labelled("validation")
    for factor in map(float, factors.split(",")):
        codes = np.zeros((len(table), linear.output_shape[1]), np.float32)
        for some in (rows, validation):
            every = training.in_parts(partial(reports.codes_of, linear), images[some])
            codes[some] = networks.largest(tf.constant(every), round(factor * kept))
        found = reports.on_features(table, codes, f"{round(factor * kept)} codes", params["options"]["seed"])
        wrong = found.probabilities(codes[validation]).argmax(axis=1) != table.labels[validation]
        print(f"alpha {factor:g}, {round(factor * kept)} codes kept: error on {len(validation):,} validation rows "
              f"{100 * wrong.mean():.2f} %", flush=True)


@main.command()
@click.argument("mnist")
@click.option("--output", required=True, help="Folder for the runs, one for each k; runs that are there go on.")
@click.option("--kept", default="10,25,40,70")
@click.option("--factor", default=3.0)
@click.option("--epochs", type=int, help="As many as the command has if left out.")
@click.option("--seed", default=0)
def kept(mnist: str, output: str, kept: str, factor: float, epochs: int | None, seed: int) -> None:
    """Logistic regression on the codes of k-sparse autoencoders, for several k."""
    from pathlib import Path

    from recipes import pretrain_autoencoder as recipe
    from toolkit.autoencoders import choices
    from toolkit.tables import read_table

    table = read_table(mnist)
    settings = dataclasses.replace(choices.defaults("k-sparse"), epochs=epochs, seed=seed)
    for count in map(int, kept.split(",")):
        found = recipe.run(table, output=Path(output) / f"kept-{count}-seed-{seed}", settings=settings,
                           method="k-sparse", kept=count, kept_factor=factor, resume=True)
        words = ", ".join(f"{split} {100 * (1 - found[split]['accuracy']):.2f} %" for split in ("validation", "test")
                          if found[split])
        print(f"k = {count}: error {words}, dead codes {found['training']['dead_codes']}, "
              f"{found['training']['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
