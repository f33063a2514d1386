"""What the stage in feature space hands over to the one in pixel space: its head, its pseudo-labels, its judgement.

The first stage is a run of its own, in a folder inside that of the second, which is read as anybody would read it.

References:
    Linear probe, then fine-tune: Kumar et al. 2022, https://arxiv.org/abs/2202.10054
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.evaluation.baselines import LinearClassifier
from toolkit.models import classifiers
from toolkit.semisupervised.pools import Judgement
from toolkit.tables import Table
from toolkit.training import prediction

FOLDER = "features"
TITLE = "feature space"


@dataclass(frozen=True, eq=False)
class Stage:
    """A finished stage in feature space.

    Attributes:
        head: on raw features.
        labels: (p,) int, pseudo-labels of the pool.
        weights: (p,) float32, 1 where the stage took a row, else 0.
        judgement: whether the unlabelled rows are used.
        audit: what its report says under ``unlabelled``.
        probabilities: (t, C) of the labelled test rows, in the order of the table.
    """

    head: LinearClassifier
    labels: np.ndarray
    weights: np.ndarray
    judgement: Judgement
    audit: dict[str, Any]
    probabilities: np.ndarray


def read(folder: Path, table: Table, pool: np.ndarray, report: dict[str, Any]) -> Stage:
    """Reads the run of a stage.

    Args:
        folder: of the run.
        table: that it learnt from.
        pool: (p,) the unlabelled rows in pixel space; those that the stage left out have the weight 0.
        report: of the run.
    """
    model, names = classifiers.load(folder / "model.keras")
    member = next(layer for layer in model.get_layer("prediction").layers if _has_head(layer))
    kernel, bias = member.get_layer("head").get_weights()
    found = _pseudo_labels(folder / "pseudo_labels.csv")
    labels, weights = np.zeros(len(pool), np.int32), np.zeros(len(pool), np.float32)
    for position, row in enumerate(pool):
        source = "" if table.origins is None else str(table.origins[row])
        name, taken = found.get((source, int(table.rows[row])), (names[0], 0))
        labels[position], weights[position] = names.index(name), taken > 0
    own = report["unlabelled"]
    judgement = Judgement(own["gain"], own["judged_rows"], own["fall_back"], f"In feature space: {own['why']}")
    probabilities = prediction.predict(model, table, table.labelled("test"))
    return Stage(LinearClassifier("linear head", kernel, bias), labels, weights, judgement, own, probabilities)


def _has_head(layer: Any) -> bool:
    return any(inner.name == "head" for inner in getattr(layer, "layers", ()))


def _pseudo_labels(path: Path) -> dict[tuple[str, int], tuple[str, int]]:
    """(source, row) -> (class, round)."""
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {(line.get("source", ""), int(line["row"])): (line["label"], int(line["round"]))
                for line in csv.DictReader(file)}
