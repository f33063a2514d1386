"""Draws a few labelled training rows of an .npz set and keeps its whole test set: a small problem without a pool.

    python benchmarks/draw_rows.py $TOOLKIT_DATA/mnist.npz --per-class 100 --seeds 5 --output runs/mnist-1000

writes runs/mnist-1000-0.npz ... -4.npz. `--labels-per-class` of the toolkit does the same to the labels but keeps the
other rows as unlabelled ones, and predicts them too.
"""

from __future__ import annotations

import click
import numpy as np


@click.command(context_settings={"show_default": True})
@click.argument("source")
@click.option("--per-class", default=100)
@click.option("--seeds", default=5)
@click.option("--output", required=True, help="Beginning of the names of the files.")
def main(source: str, per_class: int, seeds: int, output: str) -> None:
    with np.load(source) as data:
        images, labels, test = data["x_train"], data["y_train"], {"x_test": data["x_test"], "y_test": data["y_test"]}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        rows = np.sort(np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:per_class]
                                       for label in np.unique(labels)]))
        np.savez_compressed(f"{output}-{seed}.npz", x_train=images[rows], y_train=labels[rows], **test)


if __name__ == "__main__":
    main()
