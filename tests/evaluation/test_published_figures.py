"""Published figures: whose they are, and that they appear only beside the published rows."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.evaluation import published_figures
from toolkit.tables import read_table
from toolkit.training import Settings

MNIST = published_figures.SETS[0]


def net(**settings: Any) -> dict[str, Any]:
    return {"recipe": "fine_tune", "settings": Settings(**{"weights": "none", "crop": "none", **settings}).describe()}


@pytest.mark.parametrize(("row", "error"), [
    ({"method": "logistic regression", "space": "pixels"}, 0.072),
    ({"method": "Gaussian SVM", "space": "pixels"}, 0.014),
    ({"method": "Gaussian SVM", "space": "hog"}, None),
    ({"method": "linear SVM", "space": "pixels"}, None),
    (net(backbone="mlp", backbone_options={"hidden": [800]}), 0.016),
    (net(backbone="mlp", backbone_options={"hidden": [256, 128]}), 0.018),
    (net(backbone="mlp", l2=1e-4), 0.018),
    (net(backbone="mlp", l2=1e-4, backbone_options={"dropout": 0.0}), 0.023),
    (net(backbone="mlp", backbone_options={"hidden": [800, 800, 800]}), 0.0079),
    (net(backbone="small_cnn"), 0.0045),
    (net(backbone="small_cnn", members=5, crop="shift"), 0.0021),
    (net(backbone="small_cnn", weights="imagenet"), None),
    ({**net(backbone="mlp"), "recipe": "linear_probe"}, None)])
def test_which_figure_belongs_to_which_row(row: dict[str, Any], error: float | None) -> None:
    found = published_figures.figure(MNIST, row)
    assert (found and found["error"]) == error
    assert published_figures.figure(None, row) is None


def test_an_augmented_row_says_so() -> None:
    plain, augmented = (published_figures.figure(MNIST, net(backbone="small_cnn", crop=crop)) for crop in
                        ("none", "shift"))
    assert "augmented here" not in plain["source"] and augmented["source"].endswith("; augmented here")


def test_one_other_label_or_few_training_labels_are_another_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    checksums, labels = np.array(["b", "a"], object), ["1", "0"]
    own = published_figures.PublishedSet("tiny", published_figures.checksum(checksums, labels), 10, {})
    monkeypatch.setattr(published_figures, "SETS", (own,))
    assert published_figures.of_table(checksums[::-1], labels[::-1], 10) is own
    assert published_figures.of_table(checksums, ["0", "0"], 10) is None
    assert published_figures.of_table(checksums[:1], labels[:1], 10) is None
    assert published_figures.of_table(checksums, labels, 9) is None


@pytest.mark.skipif("TOOLKIT_DATA" not in os.environ, reason="needs MNIST in $TOOLKIT_DATA")
def test_mnist_is_recognised() -> None:
    table = read_table(Path(os.environ["TOOLKIT_DATA"]) / "mnist.npz")
    test = table.labelled("test")
    names = [table.class_names[label] for label in table.labels[test]]
    assert published_figures.of_table(table.checksums[test], names, 60_000) is MNIST
