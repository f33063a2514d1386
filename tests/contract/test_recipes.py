"""The contract: what every recipe promises, checked on every recipe with 16-pixel networks."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from recipes import fine_tune, fix_match, linear_probe, mix_match, pseudo_label, spread_labels
from toolkit.tables import read_table
from toolkit.training import Settings

pytestmark = pytest.mark.contract

SETTINGS = Settings(backbone="small_cnn", weights="none", image_size=16, epochs=3, batch_size=16, dropout=0.2,
                    colour=0.2, reflect="no", devices="cpu", backbone_options={"filters": (4, 8)})
RECIPES: dict[str, Callable[..., dict[str, Any]]] = {
    "linear_probe": linear_probe.run, "fine_tune": fine_tune.run, "spread_labels": spread_labels.run,
    "pseudo_label": partial(pseudo_label.run, strong_copies=1, rounds=3),
    "fix_match": partial(fix_match.run, strong_copies=1, steps=50),
    "fix_match in pixels": partial(fix_match.run, space="pixels", steps=10, per_label=1),
    "mix_match": partial(mix_match.run, strong_copies=1, steps=20)}


@pytest.fixture(scope="module", params=list(RECIPES))
def recipe(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def finished(recipe: str, small_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one finished run."""
    return run(recipe, small_table, tmp_path_factory.mktemp(recipe) / "run")


def run(recipe: str, table: Path, output: Path, **changes: Any) -> Path:
    RECIPES[recipe](read_table(table), output=output, settings=dataclasses.replace(SETTINGS, **changes))
    return output


def predictions(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "predictions.csv", keep_default_na=False)


def probabilities(folder: Path) -> np.ndarray:
    return predictions(folder).filter(like="probability_").to_numpy(float)


def weights(folder: Path) -> list[np.ndarray]:
    return [w.numpy() for w in keras.models.load_model(folder / "model.keras", compile=False).weights]


def rewritten(table: Path, to: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """A changed copy of a CSV beside the original, so that its relative paths hold."""
    frame = change(pd.read_csv(table, dtype=str, keep_default_na=False))
    path = table.with_name(f"{to.name}.csv")
    frame.to_csv(path, index=False)
    return path


def test_same_seed_same_predictions(recipe: str, finished: Path, small_table: Path, tmp_path: Path) -> None:
    again = run(recipe, small_table, tmp_path / "again")
    assert (again / "predictions.csv").read_bytes() == (finished / "predictions.csv").read_bytes()


def test_test_labels_change_nothing(recipe: str, finished: Path, small_table: Path, tmp_path: Path) -> None:
    def permute(frame: pd.DataFrame) -> pd.DataFrame:
        test = frame.index[frame["split"] == "test"]
        frame.loc[test, "label"] = frame.loc[test[::-1], "label"].to_numpy()
        return frame

    other = run(recipe, rewritten(small_table, tmp_path, permute), tmp_path / "run")
    np.testing.assert_array_equal(probabilities(other), probabilities(finished))
    for ours, theirs in zip(weights(other), weights(finished), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_order_of_rows_does_not_matter(recipe: str, finished: Path, small_table: Path, tmp_path: Path) -> None:
    shuffled = rewritten(small_table, tmp_path, lambda frame: frame.sample(frac=1, random_state=1))
    other = run(recipe, shuffled, tmp_path / "run")
    expected = predictions(finished).drop(columns="row").sort_values("input", ignore_index=True)
    found = predictions(other).drop(columns="row").sort_values("input", ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)


def test_every_row_has_its_line_and_the_last_partial_batch_is_counted(finished: Path, small_table: Path) -> None:
    table, found = pd.read_csv(small_table, keep_default_na=False), predictions(finished)
    assert list(found["row"]) == list(range(1, len(table) + 1))
    assert list(found["input"]) == list(table["path"]) and list(found["label"]) == list(table["label"])
    report = json.loads((finished / "report.json").read_text())
    assert report["test"]["count"] == 30 and report["validation"]["count"] == 24  # neither divides by 16


def test_the_report_equals_scikit_learn_on_predictions(finished: Path) -> None:
    report, rows = json.loads((finished / "report.json").read_text()), predictions(finished)
    names = json.loads((finished / "classes.json").read_text())
    for split in ("validation", "test"):
        part = rows[rows["split"] == split]
        values = part[[f"probability_{name}" for name in names]].to_numpy(float)
        labels = part["label"].map(names.index).to_numpy()
        values = values / values.sum(axis=1, keepdims=True)
        scores = report[split]
        assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(labels, values.argmax(axis=1)))
        assert scores["macro_f1"] == pytest.approx(metrics.f1_score(labels, values.argmax(axis=1), average="macro"))
        assert scores["log_loss"] == pytest.approx(metrics.log_loss(labels, values), rel=1e-4)
        assert scores["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, values, multi_class="ovr"), rel=1e-4)
        assert list(part["prediction"]) == [names[i] for i in values.argmax(axis=1)]


def test_the_model_predicts_the_same_without_this_package(finished: Path, small_table: Path) -> None:
    code = f"""
import sys, json, zipfile
class Refuse:
    def find_spec(self, name, *_):
        assert name.split(".")[0] not in ("toolkit", "recipes"), name
sys.meta_path.insert(0, Refuse())
import keras, numpy as np
from PIL import Image
model = keras.models.load_model({str(finished / 'model.keras')!r}, compile=False)
names = json.loads(zipfile.ZipFile({str(finished / 'model.keras')!r}).read("classes.json"))
images = [np.asarray(Image.open(f"{small_table.parent}/digit {{i:03d}}.png").convert("RGB")) for i in (0, 50, 113)]
big = np.asarray(Image.open("{small_table.parent}/digit 000.png").convert("RGB").resize((61, 43)))
print(json.dumps([names, [model.predict(image[None], verbose=0)[0].tolist() for image in images],
                  model.predict(big[None], verbose=0)[0].tolist(),
                  [model(image[None]).numpy()[0].tolist() for image in images]]))
"""
    output = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd="/").stdout
    names, values, of_big, called = json.loads(output.splitlines()[-1])
    rows = predictions(finished)
    expected = rows.set_index("row").loc[[1, 51, 114], [f"probability_{name}" for name in names]].to_numpy(float)
    np.testing.assert_allclose(values, expected, atol=1e-5)
    np.testing.assert_allclose(called, expected, atol=1e-5)  # called without training=False: no dropout all the same
    assert sum(of_big) == pytest.approx(1, abs=1e-5)


def test_a_missing_image_keeps_its_row(recipe: str, small_table: Path, tmp_path: Path) -> None:
    def remove(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[[5, 100], "path"] = ["gone.png", "gone too.png"]
        return frame

    output = run(recipe, rewritten(small_table, tmp_path, remove), tmp_path / "run")
    rows = predictions(output)
    assert len(rows) == 114 and list(rows.loc[[5, 100], "status"]) == ["rejected"] * 2
    assert list(rows.loc[[5, 100], "prediction"]) == ["", ""]
    assert list(pd.read_csv(output / "rejected.csv")["row"]) == [6, 101]


def test_nothing_is_overwritten(recipe: str, finished: Path, small_table: Path) -> None:
    before = (finished / "report.json").read_bytes()
    with pytest.raises(ValueError, match="nothing is overwritten"):
        run(recipe, small_table, finished)
    assert (finished / "report.json").read_bytes() == before


TWO_REPLICAS = """
import sys, json
import numpy as np
from recipes import fine_tune
from toolkit.models import backbones, classifiers
from toolkit.tables import read_table
from toolkit.training import Settings, checkpoints, devices, loop, plans, streams
settings = Settings(backbone="small_cnn", weights="none", image_size=16, batch_size=16, optimizer="sgd", colour=0.5,
                    learning_rate=0.01, devices=sys.argv[2], backbone_options={"filters": (4, 8), "dropout": 0.0})
table = read_table(sys.argv[1])
import keras
with devices.strategy(settings.devices).scope():
    keras.utils.set_random_seed(0)
    backbone = backbones.build("small_cnn", "none", 16, **settings.backbone_options)
    model = classifiers.with_head(backbones.network(backbone), 3)
    plan = plans.Plan(5, 1)
    fine_tune.compile_member(model, settings, plan, unfreeze="all", probe=None)
loop.fit(model, streams.labelled(table, backbones.preprocessing(backbone), settings, reflect=False, seed=0), plan)
np.savez(sys.argv[3], *checkpoints.get_weights(model))
"""


def test_one_replica_and_two_agree(small_table: Path, tmp_path: Path) -> None:
    """After five steps of SGD. A rate ten times as high turns rounding (3e-7 a step) into other pooling winners."""
    found = {}
    for devices in ("cpu", "cpu:2"):
        path = tmp_path / f"{devices.replace(':', '-')}.npz"
        subprocess.run([sys.executable, "-c", TWO_REPLICAS, small_table, devices, path], check=True)
        with np.load(path) as archive:
            found[devices] = [archive[name] for name in archive.files]
    for one, two in zip(found["cpu"], found["cpu:2"], strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5)
