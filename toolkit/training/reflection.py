"""May the images of a table be mirrored? Asked of the data, not of the user.

A linear probe is cross-fitted on frozen features of unmirrored images and then shown the held-out images both as they
are and mirrored. Photographs of ants are recognised either way; mirrored digits, letters and road signs are not, and
augmentation that mirrors them would teach the network something false. Mirroring is allowed if at most 5 points of
accuracy are lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.evaluation import baselines
from toolkit.models import backbones
from toolkit.tables import Table
from toolkit.training import features
from toolkit.training.progress import say

if TYPE_CHECKING:
    import keras

TOLERANCE = 0.05
MAX_ROWS = 300
FOLDS = 4


def may_reflect(table: Table, backbone: "keras.Model") -> dict[str, Any]:
    """Tests on labelled training rows whether mirrored images keep their class.

    Args:
        table: of images.
        backbone: a pretrained one, from ``backbones.build``.

    Returns:
        Dict with reflect (bool), rows, accuracy (of held-out images as they are) and accuracy_reflected.
    """
    rows = _sample(table)
    labels = table.labels[rows]
    plain = features.extract(backbone, table, rows)
    mirrored = features.extract(backbone, table, rows, reflect=True)
    right, right_mirrored = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    fold = _folds(labels)
    for k in range(FOLDS):
        held_out = fold == k
        if not held_out.any() or len(np.unique(labels[~held_out])) < 2:
            continue
        probe = baselines.logistic_regression(plain[~held_out], labels[~held_out], len(table.class_names))
        right[held_out] = probe.probabilities(plain[held_out]).argmax(axis=1) == labels[held_out]
        right_mirrored[held_out] = probe.probabilities(mirrored[held_out]).argmax(axis=1) == labels[held_out]
    accuracy, accuracy_reflected = float(right.mean()), float(right_mirrored.mean())
    return {"reflect": accuracy_reflected >= accuracy - TOLERANCE, "rows": len(rows), "accuracy": accuracy,
            "accuracy_reflected": accuracy_reflected}


def decide(table: Table, backbone: "keras.Model | None", asked: str) -> dict[str, Any]:
    """Whether training mirrors images: as asked, or as the data say.

    Args:
        table: of images.
        backbone: pretrained; None: the embedded one judges.
        asked: ``"yes"``, ``"no"`` or ``"auto"``.
    """
    if asked != "auto":
        return {"reflect": asked == "yes", "asked": True}
    judge = backbone if backbone is not None else backbones.build("efficientnet_lite0")
    decision = may_reflect(table, judge)
    say(f"mirroring {'allowed' if decision['reflect'] else 'not allowed'}: a linear probe recognises "
        f"{decision['accuracy']:.0%} of held-out training images and {decision['accuracy_reflected']:.0%} of their "
        f"mirror images")
    return decision


def _sample(table: Table) -> np.ndarray:
    """At most MAX_ROWS labelled training rows, the classes as even as they can be."""
    rows = table.labelled("train")
    return np.sort(rows[np.argsort(_rank_in_class(table.labels[rows]), kind="stable")][:MAX_ROWS])


def _folds(labels: np.ndarray) -> np.ndarray:
    """A fold for every row, stratified by class."""
    return _rank_in_class(labels) % FOLDS


def _rank_in_class(labels: np.ndarray) -> np.ndarray:
    """0 for the first row of its class, 1 for the second, and so on."""
    rank = np.zeros(len(labels), np.int64)
    for value in np.unique(labels):
        members = np.flatnonzero(labels == value)
        rank[members] = np.arange(len(members))
    return rank
