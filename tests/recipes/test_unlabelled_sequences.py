"""Unlabelled texts and series: the commands of feature space learn from them as from images, in one sentence or a run."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recipes import fine_tune, fix_match, linear_probe, pseudo_label, spread_labels
from toolkit import ToolkitError
from toolkit.models import classifiers
from toolkit.semisupervised import feature_runs
from toolkit.tables import Table, read_table
from toolkit.training import Settings, prediction

GOOD, BAD = ("good", "fine", "lovely", "great"), ("bad", "dull", "awful", "poor")
SETTINGS = {
    "text": Settings(backbone="lstm", weights="none", devices="cpu", backbone_options={"units": 8, "embedding": "8"}),
    "series": Settings(backbone="series_fcn", weights="none", devices="cpu",
                       backbone_options={"filters": (4, 8, 4)}),
}


def cells(kind: str, label: int, random: np.random.Generator) -> str:
    length = int(random.integers(3, 12))
    if kind == "text":
        words = random.choice([*(GOOD, BAD)[label], "the", "film", "plot", "and"], length)
        return " ".join(words) + f" number {random.integers(10**6)}"
    return " ".join(f"{value:.3f}" for value in random.normal(3 * label, 1, length + 5))


def table_of(kind: str, folder: Path) -> Table:
    """84 rows of two classes: 12 labelled and 40 unlabelled training rows, 12 validation and 20 test rows."""
    random = np.random.default_rng(0)
    splits = ["train"] * 52 + ["validation"] * 12 + ["test"] * 20
    lines = ["text,label,split" if kind == "text" else "values,label,split"]
    for number, split in enumerate(splits):
        label = number % 2
        shown = "" if 12 <= number < 52 else ("no", "yes")[label]
        lines.append(f"{cells(kind, label, random)},{shown},{split}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_table(folder / "table.csv")


@pytest.mark.parametrize("space", ["pixels", "both"])
def test_there_are_no_pixels_to_train_on(space: str, tmp_path: Path) -> None:
    table = table_of("text", tmp_path)
    with pytest.raises(ToolkitError, match=f"--space {space} trains on the pixels of images, and the rows are texts"):
        fix_match.run(table, output=tmp_path / "run", settings=SETTINGS["text"], space=space)
    assert not (tmp_path / "run").exists()


@pytest.mark.contract
@pytest.mark.parametrize("kind", ["text", "series"])
def test_a_run_in_feature_space(kind: str, tmp_path: Path) -> None:
    table = table_of(kind, tmp_path)
    report = pseudo_label.run(table, output=tmp_path / "run", settings=SETTINGS[kind], rounds=3)
    assert report["control"] == feature_runs.LABELS_ONLY
    assert report["unlabelled"]["rows"] + report["unlabelled"]["set_aside"] == 40
    assert linear_probe.on_plain(kind) in report["baselines"]
    with open(tmp_path / "run" / "pseudo_labels.csv") as file:
        assert len(list(csv.DictReader(file))) == report["unlabelled"]["rows"]
    written = pd.read_csv(tmp_path / "run" / "predictions.csv").filter(like="probability_").to_numpy(float)
    model, names = classifiers.load(tmp_path / "run" / "model.keras")
    assert names == ("no", "yes")
    again = prediction.predict(model, table)[np.argsort(table.rows)]
    np.testing.assert_allclose(again, written, atol=1e-5)


@pytest.mark.contract
def test_spreading_and_matching_take_a_finished_run_as_their_backbone(tmp_path: Path) -> None:
    table = table_of("text", tmp_path)
    fine_tune.run(table, output=tmp_path / "tuned", settings=Settings(
        **{**SETTINGS["text"].describe(), "epochs": 2}))
    settings = Settings(backbone=str(tmp_path / "tuned"), devices="cpu")
    spread = spread_labels.run(table, output=tmp_path / "spread", settings=settings, neighbours=5)
    assert spread["control"] == linear_probe.ON_FEATURES and "logistic regression on n-grams" in spread["baselines"]
    first = fix_match.run(table, output=tmp_path / "first", settings=settings, steps=20)
    fix_match.run(table, output=tmp_path / "second", settings=settings, steps=20)
    assert first["training"]["backbone"] == "lstm"
    assert (tmp_path / "first" / "predictions.csv").read_bytes() == (tmp_path / "second" / "predictions.csv").read_bytes()
    assert json.loads((tmp_path / "first" / "report.json").read_text())["unlabelled"]["judged_rows"] > 0
