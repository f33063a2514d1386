"""spread-labels from a table to a run: it equals its control without a pool, and looks at no test label."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recipes import linear_probe, spread_labels
from toolkit import ToolkitError
from toolkit.models import backbones, classifiers
from toolkit.semisupervised import hidden_layer, pools
from toolkit.tables import Table, read_table
from toolkit.training import Settings, features, prediction

pytestmark = pytest.mark.contract

SETTINGS = Settings(backbone="small_cnn", weights="none", image_size=16, devices="cpu",
                    backbone_options={"filters": (4, 8)})


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    """Of the 48 labels, four a class are kept."""
    return read_table(small_table, labels_per_class=4)


@pytest.fixture(scope="module")
def finished(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spread") / "run"
    spread_labels.run(table, output=folder, settings=SETTINGS)
    return folder


def probabilities(folder: Path) -> np.ndarray:
    return pd.read_csv(folder / "predictions.csv").filter(like="probability_").to_numpy(float)


def test_the_report_says_what_the_pool_was_worth(finished: Path, table: Table) -> None:
    report = json.loads((finished / "report.json").read_text())
    assert report["control"] == linear_probe.ON_FEATURES and report["verdict"]["code"] in pools.VERDICTS
    own = report["unlabelled"]
    assert own["rows"] == report["training"]["pool"] == len(table.unlabelled()) - own["set_aside"] > 40
    assert 0 <= own["coverage"] <= 1 and own["precision"]["count"] <= 12
    assert own["judged_rows"] == 12 + 24 and own["why"] in report["notes"]  # hidden and validation rows
    assert report["training"]["chosen_by"] == "cross-fitting on 12 labelled rows"
    with open(finished / "pseudo_labels.csv") as file:
        lines = list(csv.DictReader(file))
    rows = [int(line["row"]) for line in lines]
    assert rows == sorted(rows) and set(rows) <= set(table.rows[table.unlabelled()]) and len(rows) == own["rows"]
    assert all(0 < float(line["confidence"]) <= 1 and line["label"] in table.class_names for line in lines)


def test_without_unlabelled_rows_it_is_its_control(small_table: Path, tmp_path: Path) -> None:
    table = read_table(small_table)
    table = table.select(np.flatnonzero(table.labels >= 0))
    report = spread_labels.run(table, output=tmp_path / "spread", settings=SETTINGS)
    linear_probe.run(table, output=tmp_path / "probe", settings=SETTINGS)
    np.testing.assert_array_equal(probabilities(tmp_path / "spread"), probabilities(tmp_path / "probe"))
    assert any(note.startswith("No training row is unlabelled") for note in report["notes"])
    assert report["unlabelled"]["fall_back"] and report["verdict"]["code"] == "not_distinguishable"
    assert (tmp_path / "spread" / "pseudo_labels.csv").read_text() == "row,input,label,confidence,round\n"


def test_a_fall_back_gives_the_control(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "judge", lambda *_: pools.Judgement(-0.5, 9, True, "It lost."))
    report = spread_labels.run(table, output=tmp_path / "run", settings=SETTINGS, method="laplace")
    compared = report["comparisons"][linear_probe.ON_FEATURES]
    assert compared["only_first_right"] == compared["only_second_right"] == 0
    assert report["verdict"]["sentence"].startswith("The unlabelled rows were not used:")
    rounds = pd.read_csv(tmp_path / "run" / "pseudo_labels.csv")["round"]
    assert set(rounds) == {0}


def test_a_hidden_layer_is_in_the_model(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "judge", lambda *_: pools.Judgement(0.5, 9, False, "It won."))
    report = spread_labels.run(table, output=tmp_path / "run", settings=SETTINGS, classifier="mlp")
    assert report["training"]["spread_to"] == "mlp" and report["training"]["penalty"] is None
    model, _ = classifiers.load(tmp_path / "run" / "model.keras")
    member = next(layer for layer in model.get_layer("prediction").layers if layer.name == "classifier")
    assert member.get_layer("hidden_0").units == hidden_layer.UNITS
    found = prediction.predict(model, table)
    np.testing.assert_allclose(found[np.argsort(table.rows)], probabilities(tmp_path / "run"), atol=1e-5)
    again = backbones.build(str(tmp_path / "run"))  # as a backbone, it is the network below the hidden layer
    assert backbones.network(again).output_shape == (None, 8)


def test_test_labels_have_no_say(finished: Path, table: Table, tmp_path: Path) -> None:
    labels, test = table.labels.copy(), table.labelled("test")
    labels[test] = labels[test][::-1]
    spread_labels.run(dataclasses.replace(table, labels=labels), output=tmp_path / "run", settings=SETTINGS)
    np.testing.assert_array_equal(probabilities(tmp_path / "run"), probabilities(finished))


def test_one_label_a_class_is_used_unjudged(small_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                            ) -> None:
    table = read_table(small_table, labels_per_class=1)
    table = table.select(np.flatnonzero(table.splits != "validation"))
    report = spread_labels.run(table, output=tmp_path / "run", settings=SETTINGS)
    own = report["unlabelled"]
    assert (own["judged_rows"], own["fall_back"], own["precision"]["estimate"]) == (0, False, None)
    assert "could be hidden" in own["why"] and report["training"]["method"] == "poisson"
    assert report["training"]["spread_to"] == "linear"
    monkeypatch.setattr(Settings, "from_autoencoder", True)
    on_codes = spread_labels.run(table, output=tmp_path / "codes", settings=SETTINGS)
    assert on_codes["training"]["spread_to"] == "mlp"


def test_labels_of_a_class_in_sight_are_spread(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that show the class through noise, at two labels a class."""
    true = read_table(str(table.arguments["source"]))
    classes = np.array([row % 3 for row in true.rows])  # of all rows, the unlabelled ones too
    random = np.random.default_rng(0)
    values = (4 * random.normal(size=(3, 8))[classes] + random.normal(size=(len(true), 8))).astype(np.float32)
    few = np.full(len(true), -1)
    for number in range(3):
        few[[i for i in true.in_split("train") if classes[i] == number][:2]] = number
    labels = np.where(true.splits == "train", few, classes)
    monkeypatch.setattr(features, "extract", lambda backbone, own, rows=None, **_: values if rows is None
                        else values[rows])
    made = dataclasses.replace(true, labels=labels)
    made = made.select(np.arange(len(made)))
    for method in ("auto", "label-propagation"):
        report = spread_labels.run(made, output=tmp_path / method, settings=SETTINGS, method=method)
        assert report["unlabelled"]["alarms"] == []
        assert report["test"]["accuracy"] > 0.95


def test_a_hidden_layer_is_held_against_one_on_labels_alone(small_table: Path, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """On rings, no line is a control worth beating."""
    table = read_table(small_table)
    classes = np.array([row % 3 for row in table.rows])
    random = np.random.default_rng(0)
    angles = random.uniform(0, 2 * np.pi, len(table))
    values = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (1 + 3 * classes[:, None])
    values = np.pad(values + 0.1 * random.normal(size=values.shape), ((0, 0), (0, 6))).astype(np.float32)
    monkeypatch.setattr(features, "extract", lambda backbone, own, rows=None, **_: values if rows is None
                        else values[rows])
    made = dataclasses.replace(table, labels=np.where(table.labels < 0, -1, classes)).select(np.arange(len(table)))
    report = spread_labels.run(made, output=tmp_path / "run", settings=SETTINGS, classifier="mlp")
    assert report["control"] == spread_labels.NETWORK_ON_LABELS
    own, linear = (report["baselines"][name]["accuracy"] for name in (report["control"], linear_probe.ON_FEATURES))
    assert own > 0.9 > 0.7 > linear
    control = pd.read_csv(tmp_path / "run" / "control.csv", dtype=str)
    assert (control["label"] == control["prediction"]).mean() == own


def test_many_labels_and_many_rows(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_labels, "MANY_LABELS", 5)
    monkeypatch.setattr(spread_labels, "MANY_ROWS", 20)
    report = spread_labels.run(table, output=tmp_path / "run", settings=SETTINGS, neighbours=5)
    assert report["training"]["chosen_by"] == "cross-fitting on 3 labelled rows"
    own = report["unlabelled"]
    assert own["rows"] + own["set_aside"] == 48
    assert len(pd.read_csv(tmp_path / "run" / "pseudo_labels.csv")) == own["rows"]


@pytest.mark.parametrize(("options", "words"), [({"method": "magic"}, "poisson"), ({"shares": "equal"}, "unknown"),
                                                ({"neighbours": 0}, "1 or more"), ({"classifier": "tree"}, "mlp")])
def test_options_without_meaning_leave_nothing_behind(options: dict, words: str, table: Table, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match=words):
        spread_labels.run(table, output=tmp_path / "run", settings=SETTINGS, **options)
    assert not (tmp_path / "run").exists()
