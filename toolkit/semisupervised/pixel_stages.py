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
from toolkit.semisupervised import foreign
from toolkit.semisupervised.pools import Judgement, Pool
from toolkit.tables import Table
from toolkit.training import prediction

FOLDER = "features"
TITLE = "feature space"


@dataclass(frozen=True, eq=False)
class Stage:
    """A finished stage in feature space.

    Attributes:
        head: on raw features.
        labels: (p,) int, pseudo-labels of the pool that the stage learnt from.
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


def read(folder: Path, table: Table, pool: Pool, report: dict[str, Any]) -> tuple[Stage, Pool]:
    """Reads the run of a stage.

    Args:
        folder: of the run.
        table: that it learnt from.
        pool: of the table.
        report: of the run.

    Returns:
        The stage, and the pool without the rows that it set aside.
    """
    model, names = classifiers.load(folder / "model.keras")
    member = next(layer for layer in model.get_layer("prediction").layers if _has_head(layer))
    kernel, bias = member.get_layer("head").get_weights()
    found = _pseudo_labels(folder / "pseudo_labels.csv")
    sources = np.full(len(table), "", object) if table.origins is None else table.origins
    keys = [(str(sources[row]), int(table.rows[row])) for row in pool.rows]
    pool = foreign.set_aside(pool, np.array([key not in found for key in keys], bool))
    told = [found[key] for key in keys if key in found]
    labels = np.array([names.index(name) for name, _ in told], np.int32)
    weights = np.array([taken > 0 for _, taken in told], np.float32)
    own = report["unlabelled"]
    judgement = Judgement(own["gain"], own["judged_rows"], own["fall_back"], f"In feature space: {own['why']}")
    probabilities = prediction.predict(model, table, table.labelled("test"))
    return Stage(LinearClassifier("linear head", kernel, bias), labels, weights, judgement, own, probabilities), pool


def _has_head(layer: Any) -> bool:
    return any(inner.name == "head" for inner in getattr(layer, "layers", ()))


def _pseudo_labels(path: Path) -> dict[tuple[str, int], tuple[str, int]]:
    """(source, row) -> (class, round)."""
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {(line.get("source", ""), int(line["row"])): (line["label"], int(line["round"]))
                for line in csv.DictReader(file)}
