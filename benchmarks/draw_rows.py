"""Draws few training rows of a set, so that something can be measured or chosen without its test rows.

    python benchmarks/draw_rows.py $TOOLKIT_DATA/mnist.npz --per-class 100 --seeds 5 --output runs/mnist-1000

writes runs/mnist-1000-0.npz ... -4.npz with so many training rows and the whole test set. `--labels-per-class` of the
toolkit does the same to the labels but keeps the other rows as unlabelled ones, and predicts them too.

    python benchmarks/draw_rows.py $TOOLKIT_DATA/cifar10_small/images.csv --train 1000 --test 1000 --output runs/choice

writes runs/choice-0.csv ... of a CSV `path,label,split`: rows to train on and others to score, all of them training
rows of the source, whose test rows are left out: for choosing defaults. Of an .npz, with all other training rows:

    python benchmarks/draw_rows.py $TOOLKIT_DATA/mnist.npz --held-out 10000 --output runs/kept      # runs/kept.npz
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pandas as pd


@click.command(context_settings={"show_default": True})
@click.argument("source")
@click.option("--per-class", default=100, help="Of an .npz: training rows of each class.")
@click.option("--train", default=1000, help="Of a CSV: rows to train on.")
@click.option("--test", default=1000, help="Of a CSV: other training rows to score.")
@click.option("--held-out", default=0, help="Of an .npz: its last training rows, which become the test rows.")
@click.option("--seeds", default=5)
@click.option("--first-seed", default=0)
@click.option("--output", required=True, help="Beginning of the names of the files.")
def main(source: str, per_class: int, train: int, test: int, held_out: int, seeds: int, first_seed: int,
         output: str) -> None:
    if held_out:
        if not source.endswith(".npz"):
            raise click.UsageError("--held-out is for an .npz; of a CSV --train and --test do as much.")
        return hold_out(source, held_out, f"{output}.npz")
    for seed in range(first_seed, first_seed + seeds):
        rng = np.random.default_rng(seed)
        if source.endswith(".npz"):
            draw_arrays(source, rng, per_class, f"{output}-{seed}.npz")
        else:
            draw_csv(Path(source), rng, train, test, f"{output}-{seed}.csv")


def draw_arrays(source: str, rng: np.random.Generator, per_class: int, output: str) -> None:
    with np.load(source) as data:
        images, labels, test = data["x_train"], data["y_train"], {"x_test": data["x_test"], "y_test": data["y_test"]}
    rows = np.sort(np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:per_class]
                                   for label in np.unique(labels)]))
    np.savez_compressed(output, x_train=images[rows], y_train=labels[rows], **test)


def hold_out(source: str, count: int, output: str) -> None:
    with np.load(source) as data:
        images, labels = data["x_train"], data["y_train"]
    np.savez(output, x_train=images[:-count], y_train=labels[:-count], x_test=images[-count:], y_test=labels[-count:])


def draw_csv(source: Path, rng: np.random.Generator, train: int, test: int, output: str) -> None:
    rows = pd.read_csv(source)
    rows = rows[rows["split"] == "train"].reset_index(drop=True)
    drawn = rows.iloc[rng.permutation(len(rows))[:train + test]].copy()
    drawn["path"] = [str((source.parent / path).absolute()) for path in drawn["path"]]
    drawn["split"] = ["train"] * train + ["test"] * (len(drawn) - train)
    drawn.to_csv(output, index=False)


if __name__ == "__main__":
    main()
