"""Published test errors of well-known sets, to be printed beside a row that is trained and tested on the same rows.

A figure is only given where the test rows are those of the published set, by the checksum of their images and labels
in any order, and where about as many rows are labelled as the published method had.

References:
    LeCun et al. (1998), Gradient-based learning applied to document recognition. https://doi.org/10.1109/5.726791
    James, Witten, Hastie, Tibshirani (2021), An introduction to statistical learning, table 10.1.
    https://www.statlearning.com
    Kegl, Busa-Fekete (2009), Boosting products of base classifiers. https://doi.org/10.1145/1553374.1553439
    Simard, Steinkraus, Platt (2003), Best practices for convolutional neural networks.
    https://doi.org/10.1109/ICDAR.2003.1227801
    Srivastava (2013), Improving neural networks with dropout. https://www.cs.toronto.edu/~nitish/msc_thesis.pdf
    Goodfellow et al. (2013), Maxout networks. https://arxiv.org/abs/1302.4389
    Wan et al. (2013), Regularization of neural networks using DropConnect.
    https://proceedings.mlr.press/v28/wan13.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class PublishedSet:
    """A public set and what has been reached on it.

    Attributes:
        name: in words.
        checksum: of its test rows, from ``checksum``.
        least_labelled: labelled training and validation rows from which on the figures are comparable.
        figures: ``(error, source)`` by key: a method of the baselines on pixels, or a name that ``_network`` gives.
    """

    name: str
    checksum: str
    least_labelled: int
    figures: dict[str, tuple[float, str]]


SETS = (PublishedSet(
    "MNIST", "23969014fbaa5da9110e0a0d9580d607ec450841855dd8fe0778b0f54f139d94", 48_000, {
        "logistic regression": (0.072, "James et al. 2021, 48,000 rows"),
        "LDA": (0.127, "James et al. 2021"),
        "nearest neighbours": (0.050, "LeCun et al. 1998"),
        "radial basis functions": (0.036, "LeCun et al. 1998, 1,000 centres"),
        "Gaussian SVM": (0.014, "LeCun et al. 1998"),
        "boosted stumps": (0.077, "Kegl and Busa-Fekete 2009"),
        "boosted trees": (0.0153, "Kegl and Busa-Fekete 2009, 17 leaves"),
        "one hidden layer": (0.016, "Simard et al. 2003, 800 units"),
        "two hidden layers, ridge": (0.023, "James et al. 2021"),
        "two hidden layers, dropout": (0.018, "James et al. 2021"),
        "deep, dropout": (0.0079, "Srivastava 2013, pre-trained"),
        "convolutional": (0.0045, "Goodfellow et al. 2013, no augmentation"),
        "convolutional, vote": (0.0021, "Wan et al. 2013, five nets, augmentation"),
    }),)


def checksum(checksums: Iterable[str], labels: Iterable[str]) -> str:
    """SHA-256 of rows in any order.

    Args:
        checksums: of the image of each row, as ``Table.checksums``.
        labels: the class name of each row.

    Example:
        >>> checksum(["a", "b"], ["cat", "dog"]) == checksum(["b", "a"], ["dog", "cat"])
        True
    """
    lines = sorted(f"{image} {label}" for image, label in zip(checksums, labels, strict=True))
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def of_table(checksums: np.ndarray, labels: Iterable[str], num_labelled: int) -> PublishedSet | None:
    """The public set that a table is, or None.

    Args:
        checksums: of the images of the labelled test rows.
        labels: their class names.
        num_labelled: number of labelled training and validation rows.
    """
    found = checksum(checksums, labels)
    return next((own for own in SETS if own.checksum == found and num_labelled >= own.least_labelled), None)


def figure(published: PublishedSet | None, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The published figure of a row of a benchmark.

    Args:
        published: from ``of_table``.
        row: what the row is: method and space, or recipe and settings (of ``Settings.describe``).

    Returns:
        JSON-ready dict: error, source (it says so where this row sees augmented images), set; None where nothing
        comparable was published.

    Example:
        >>> figure(SETS[0], {"method": "LDA", "space": "pixels"})["error"]
        0.127
        >>> figure(SETS[0], {"method": "LDA", "space": "features"}) is None
        True
    """
    if published is None:
        return None
    if row.get("method"):
        key = row["method"] if row["space"] == "pixels" else ""
    else:
        key = _network(row["settings"]) if row["recipe"] == "fine_tune" else ""
    if key not in published.figures:
        return None
    error, source = published.figures[key]
    if not row.get("method") and _augmented(row["settings"]):
        source += "; augmented here"
    return {"error": error, "source": source, "set": published.name}


def _network(settings: Mapping[str, Any]) -> str:
    """What the literature calls a network from scratch; "" for a pretrained one."""
    if settings["weights"] != "none":
        return ""
    if settings["backbone"] != "mlp":
        return "convolutional, vote" if settings["members"] > 1 else "convolutional"
    hidden = settings["backbone_options"].get("hidden", (256, 128))
    if len(hidden) != 2:
        return "one hidden layer" if len(hidden) == 1 else "deep, dropout"
    ridge = settings["l2"] > 0 and not settings["backbone_options"].get("dropout", 0.2)
    return "two hidden layers, ridge" if ridge else "two hidden layers, dropout"


def _augmented(settings: Mapping[str, Any]) -> bool:
    return settings["crop"] != "none" or any(settings[name] for name in ("mixup", "colour", "rand_augment"))
