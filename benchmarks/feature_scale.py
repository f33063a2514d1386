"""Logistic regression with each feature at its own scale, or all at about one, and few labels: right on how many rows.

    python benchmarks/feature_scale.py ants_bees/images.csv --per-class 2,5,10,25,50
    python benchmarks/feature_scale.py cifar10_small/images.csv --image-size 96 --per-class 4,10,25,50,100

Looks at training rows alone: some of each class are drawn to fit on, and at most 1,500 of the others are predicted. The
features are those of the frozen default backbone.
"""

from __future__ import annotations

import click
import numpy as np
from sklearn.metrics import log_loss

FLOORS = (0.1, 3.0, 10.0, 30.0)
MAX_ROWS = 1500


@click.command(context_settings={"show_default": True})
@click.argument("table")
@click.option("--image-size", type=int, help="In pixels; the backbone's own if left out.")
@click.option("--per-class", default="2,5,10,25,50", help="Rows of each class to fit on.")
@click.option("--draws", default=8)
def main(table: str, image_size: int | None, per_class: str, draws: int) -> None:
    """Accuracy in % and log loss, means over the draws, for each floor of the variances."""
    from toolkit.evaluation.baselines import logistic
    from toolkit.models import backbones
    from toolkit.tables import read_table
    from toolkit.training import Settings, features

    rows = read_table(table)
    train, usual = rows.labelled("train"), Settings()
    values = features.extract(backbones.build(usual.backbone, usual.weights, image_size), rows, train)
    labels, num_classes = rows.labels[train], len(rows.class_names)
    for count in map(int, per_class.split(",")):
        found = np.zeros((len(FLOORS), draws, 2))
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(len(labels))
            fitted = np.concatenate([order[labels[order] == number][:count] for number in range(num_classes)])
            others = order[~np.isin(order, fitted)][:MAX_ROWS]
            for result, floor in zip(found, FLOORS, strict=True):
                logistic.FLOOR = floor
                model = logistic.logistic_regression(values[fitted], labels[fitted], num_classes)
                probabilities = model.probabilities(values[others])
                result[draw] = (100 * np.mean(probabilities.argmax(axis=1) == labels[others]),
                                log_loss(labels[others], probabilities, labels=np.arange(num_classes)))
        words = (f"floor {floor:g}: {mean[0]:.1f} % ({mean[1]:.3f})"
                 for floor, mean in zip(FLOORS, found.mean(axis=1), strict=True))
        print(f"{count} of each class: {', '.join(words)}", flush=True)


if __name__ == "__main__":
    main()
