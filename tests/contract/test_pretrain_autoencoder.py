"""What an autoencoder run promises: the same bits again, resumed or not, on two devices; its files; its followers."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from recipes import fine_tune, linear_probe, pretrain_autoencoder, pseudo_label
from toolkit.autoencoders import choices, networks, runs
from toolkit.cli import main
from toolkit.models import backbones
from toolkit.tables import Table, image_files, read_table
from toolkit.training import Settings, loop

pytestmark = pytest.mark.contract

DENSE = dataclasses.replace(choices.DEFAULTS, image_size=16, epochs=3, batch_size=16, devices="cpu",
                            backbone_options={"hidden": [12]})
WHOLE = Settings(backbone="small_cnn", weights="none", image_size=16, epochs=2, batch_size=16, ema=0.0, devices="cpu",
                 backbone_options={"filters": (4, 8), "dropout": 0.2})
STACK = dataclasses.replace(DENSE, backbone_options={"hidden": [12, 6]})
RUNS: dict[str, tuple[str, Settings, dict[str, Any]]] = {
    "denoising": ("denoising", dataclasses.replace(STACK, optimizer="sgd"), {}),
    "k-sparse": ("k-sparse", dataclasses.replace(DENSE, optimizer="sgd"), {"kept": 3, "kept_factor": 2.0}),
    "variational": ("variational", STACK, {}), "masked": ("masked", WHOLE, {})}


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    return read_table(small_table)


def run(name: str, table: Table, output: Path, **changes: Any) -> Path:
    method, settings, own = RUNS[name]
    pretrain_autoencoder.run(table, output=output, settings=settings, method=method, **{**own, **changes})
    return output


@pytest.fixture(scope="module", params=list(RUNS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def finished(name: str, table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(name, table, tmp_path_factory.mktemp("autoencoders") / "run")


def weights(folder: Path) -> list[np.ndarray]:
    return [w.numpy() for w in keras.saving.load_model(folder / "model.keras", compile=False).weights]


def probabilities(folder: Path) -> np.ndarray:
    return pd.read_csv(folder / "predictions.csv").filter(like="probability_").to_numpy(float)


def assert_same(one: Path, other: Path) -> None:
    for ours, theirs in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(probabilities(one), probabilities(other))


def test_same_seed_same_bits_whatever_the_test_labels_and_the_order_of_rows(
        name: str, finished: Path, small_table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(small_table, dtype=str, keep_default_na=False).sample(frac=1, random_state=1)
    test = frame.index[frame["split"] == "test"]
    frame.loc[test, "label"] = frame.loc[test[::-1], "label"].to_numpy()
    other = small_table.with_name(f"{tmp_path.name}.csv")
    frame.to_csv(other, index=False)
    again = run(name, read_table(other), tmp_path / "again")
    for ours, theirs in zip(weights(again), weights(finished), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    lines = [pd.read_csv(folder / "predictions.csv").sort_values("input").filter(like="probability_")
             for folder in (again, finished)]
    np.testing.assert_array_equal(*lines)


def test_a_run_stopped_within_an_epoch_ends_in_the_same_bits(name: str, finished: Path, table: Table, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = loop._Keeper.on_train_batch_end, []

    def interrupted(keeper: loop._Keeper, batch: int, logs: dict | None = None) -> None:
        keeper._pause = 0.0  # a checkpoint after every step
        real(keeper, batch, logs)
        calls.append(batch)
        if len(calls) == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop._Keeper, "on_train_batch_end", interrupted)
        run(name, table, tmp_path / "run")
    assert_same(run(name, table, tmp_path / "run", resume=True), finished)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_report_has_its_controls_and_the_folder_its_files(name: str, finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    assert report["control"] == "logistic regression on codes before training" in report["baselines"]
    assert any("principal components" in baseline for baseline in report["baselines"])
    splits = report["reconstruction"]["splits"]
    assert [splits[split]["rows"] for split in ("train", "validation", "test")] == [60, 24, 30]
    assert splits["train"]["principal components"] <= splits["train"]["mean image"]
    assert report["training"]["rows"] == 60 and report["training"]["method"] == RUNS[name][0]  # unlabelled ones too
    names = {path.name for path in (finished / "pictures").iterdir()}
    assert names == {"reconstructions.png", "codes.png", "activity.png", "losses.png", "exciting.png", "filters.png"}


def test_the_errors_are_those_of_the_saved_model(finished: Path, table: Table) -> None:
    model = keras.saving.load_model(finished / "model.keras", compile=False)
    splits = json.loads((finished / "report.json").read_text())["reconstruction"]["splits"]
    errors = []
    for row in table.in_split("test"):
        image = image_files.read(table.inputs[row])
        errors.append(np.mean(((model(image[None])[0].numpy() - image) / 255) ** 2))
    assert splits["test"]["autoencoder"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_the_files_need_nothing_of_this_package(finished: Path, table: Table) -> None:
    code = f"""
import sys, json
class Refuse:
    def find_spec(self, name, *_):
        assert name.split(".")[0] not in ("toolkit", "recipes"), name
sys.meta_path.insert(0, Refuse())
import keras, numpy as np
from PIL import Image
image = np.asarray(Image.open({str(table.inputs[0])!r}).convert("RGB"))
classifier, autoencoder = (keras.models.load_model({str(finished)!r} + "/" + name, compile=False)
                           for name in ("classifier.keras", "model.keras"))
print(json.dumps([classifier.predict(image[None], verbose=0)[0].tolist(), list(autoencoder(image[None]).shape)]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd="/").stdout
    values, shape = json.loads(done.splitlines()[-1])
    lines = pd.read_csv(finished / "predictions.csv").set_index("row")
    expected = lines.loc[table.rows[0]].filter(like="probability_").to_numpy(float)
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert shape == [1, 16, 16, 3]


def test_a_linear_probe_takes_it_as_backbone(finished: Path, table: Table, tmp_path: Path) -> None:
    settings = Settings(backbone=str(finished), devices="cpu")
    report = linear_probe.run(table, output=tmp_path / "probe", settings=settings)
    assert report["control"] == linear_probe.WITHOUT_PRETRAINING in report["baselines"]
    assert report["baselines"][report["control"]]["log_loss"] != report["test"]["log_loss"]
    np.testing.assert_allclose(probabilities(tmp_path / "probe"), probabilities(finished), atol=1e-6)


@pytest.mark.parametrize("chosen", ["k-sparse", "denoising", "masked"])
def test_it_is_fine_tuned_beside_the_same_network_without_pretraining(chosen: str, table: Table, tmp_path: Path
                                                                      ) -> None:
    folder = run(chosen, table, tmp_path / "run")
    settings = Settings(backbone=str(folder), epochs=2, batch_size=16, reflect="no", devices="cpu")
    report = fine_tune.run(table, output=tmp_path / "tuned", settings=settings)
    assert report["control"] == fine_tune.WITHOUT_PRETRAINING and report["verdict"]["code"]
    assert report["baselines"][report["control"]]["count"] == report["test"]["count"] == 30
    assert report["training"]["without_pretraining"]["epochs"] == report["training"]["epochs"] == 2
    assert report["training"]["label_smoothing"] == 0 and report["training"]["learning_rate"] == 0.001
    pretrained = backbones.network(backbones.build(str(folder)))
    fresh, again = (networks.redrawn(pretrained, 5) for _ in range(2))
    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype(np.float32)
    kernels = [[w.numpy() for w in one.weights if w.name == "kernel"] for one in (pretrained, fresh, again)]
    assert all((a != b).any() and (b == c).all() for a, b, c in zip(*kernels, strict=True))
    if chosen == "k-sparse":
        assert ((fresh(images).numpy() != 0).sum(axis=1) == 6).all()
    pseudo_label.run(table, output=tmp_path / "pseudo", settings=settings, strong_copies=1, rounds=2)


def test_a_fine_tuning_stopped_in_its_control_ends_in_the_same_bits(table: Table, tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(backbone=str(run("denoising", table, tmp_path / "run")), epochs=2, batch_size=16, reflect="no",
                        devices="cpu", time_limit=60)
    whole = fine_tune.run(table, output=tmp_path / "whole", settings=settings)
    real, titles = loop._Keeper.on_train_batch_end, []

    def interrupted(keeper: loop._Keeper, batch: int, logs: dict | None = None) -> None:
        keeper._pause = 0.0
        real(keeper, batch, logs)
        titles.append(keeper.plan.title)
        if titles.count("fine-tuning, without pretraining") == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop._Keeper, "on_train_batch_end", interrupted)
        fine_tune.run(table, output=tmp_path / "tuned", settings=settings)
    assert titles.count("fine-tuning") == 6 and (tmp_path / "tuned" / "model.keras").is_file()
    report = fine_tune.run(table, output=tmp_path / "tuned", settings=settings, resume=True)
    assert_same(tmp_path / "tuned", tmp_path / "whole")
    assert report["baselines"] == json.loads(json.dumps(whole["baselines"]))


def test_validation_loss_and_time_limit(table: Table, tmp_path: Path) -> None:
    settings = dataclasses.replace(STACK, epochs=100_000, time_limit=0.1)
    pretrain_autoencoder.run(table, output=tmp_path / "run", settings=settings)
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["layer"].unique().tolist() == [1, 2] and len(history) < 20_000
    assert np.isfinite(history["validation_loss"]).all()
    for _, rows in history.groupby("layer"):
        assert rows["chosen"].to_numpy().nonzero()[0].tolist() == [len(rows) - 1]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["training"]["epochs"] == history["epoch"].iloc[-1]


def test_a_table_without_labels_is_enough(table: Table, tmp_path: Path) -> None:
    blank = dataclasses.replace(table, labels=np.full(len(table), -1), names_splits=False,
                                splits=np.full(len(table), "test", object))
    folder = run("denoising", blank, tmp_path / "run")
    report = json.loads((folder / "report.json").read_text())
    assert "verdict" not in report and report["reconstruction"]["splits"]["train"]["rows"] == 91
    lines = pd.read_csv(folder / "reconstructions.csv")
    assert list(lines["row"]) == list(range(1, 115))
    test = lines[lines["split"] == "test"]["squared_error"].mean()
    assert report["reconstruction"]["splits"]["test"]["autoencoder"] == pytest.approx(test)
    assert not (folder / "classifier.keras").exists()


TWO_REPLICAS = """
import sys, dataclasses
import numpy as np
from functools import partial
from recipes import linear_probe, pretrain_autoencoder as recipe
from toolkit.autoencoders import batches, choices, training
from toolkit.models import backbones
from toolkit.tables import read_table
from toolkit.training import Settings, devices
method, backbone = sys.argv[4].split(":")
options = {"hidden": [8]} if backbone == "mlp" else {"filters": (4, 8), "dropout": 0.0}
settings = Settings(backbone=backbone, weights="none", image_size=16, batch_size=12, optimizer="sgd", ema=0.0,
                    learning_rate=0.001, epochs=1, devices=sys.argv[2], backbone_options=options)
devices.strategy(settings.devices)
table = read_table(sys.argv[1])
build = partial(linear_probe.build_backbone, table, settings)
images = batches.images(table, backbones.preprocessing(build()), 1)
chosen = choices.chosen(method, tied=True, sparsity_target=0.05, kept=2, kept_factor=1.0, patch_size=4)
found = training.train(images[table.in_split("train")], build, recipe.objective(chosen), settings, None,
                       hidden=options.get("hidden"), activation=choices.METHODS[method].activation,
                       held_out=images[table.in_split("validation")])
losses = [row["validation_loss"] / 1000 for row in found.history]
np.savez(sys.argv[3], losses, *found.network.get_weights(), *found.decoder.get_weights())
"""


@pytest.mark.parametrize("case", [
    "k-sparse:mlp", "denoising:mlp",
    *(pytest.param(case, marks=pytest.mark.slow) for case in ("sparse:mlp", "variational:mlp", "masked:small_cnn"))])
def test_one_replica_and_two_agree(small_table: Path, tmp_path: Path, case: str) -> None:
    """After five steps of SGD."""
    found = {}
    for devices in ("cpu", "cpu:2"):
        path = tmp_path / f"{devices.replace(':', '-')}.npz"
        subprocess.run([sys.executable, "-c", TWO_REPLICAS, small_table, devices, path, case], check=True)
        with np.load(path) as archive:
            found[devices] = [archive[name] for name in archive.files]
    for one, two in zip(found["cpu"], found["cpu:2"], strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5)


@pytest.mark.parametrize(("asked", "expected"), [
    ("--hidden 8,4", ("sgd", 50, "gaussian")), ("--hidden 8,4 --jointly", ("adam", 100, "glorot")),
    ("--backbone small_cnn", ("adam", 100, None)),
    ("--backbone MLP --hidden 8 --optimizer adamw", ("adamw", 50, "glorot"))])
def test_what_is_usual_is_meant_for_layers_one_by_one(small_table: Path, tmp_path: Path, asked: str,
                                                      expected: tuple[str, int, str | None]) -> None:
    made = CliRunner().invoke(main, ["pretrain-autoencoder", str(small_table), "--image-size", "16", "--epochs", "1",
                                     *asked.split(), "--output", str(tmp_path / "run")])
    assert made.exit_code == 0, made.output
    params = json.loads((tmp_path / "run/params.json").read_text(encoding="utf-8"))["options"]
    assert (params["optimizer"], params["batch_size"], params["backbone_options"].get("initialiser")) == expected
    rates = json.loads((tmp_path / "run/report.json").read_text(encoding="utf-8"))["training"]["learning_rates"]
    assert len(rates) == (2 if asked == "--hidden 8,4" else 1) and (expected[0] == "sgd" or rates == [0.001])


def test_pictures_called_alike_are_all_written(table: Table, tmp_path: Path) -> None:
    some = table.select(np.arange(3))
    some = dataclasses.replace(some, names=np.array(["x/a.png", "y/a.png", "z/a-1.png"], object),
                               rows=np.array([1, 2, 3]))
    runs.write_pictures(tmp_path, some, np.zeros((3, 4, 4, 3), np.float32))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-a.png", "2-a.png", "3-a-1.png"]


def test_a_run_without_labels_is_not_run_again_in_vain(table: Table, tmp_path: Path) -> None:
    bare = table.select(table.unlabelled())
    made = run("k-sparse", bare, tmp_path / "run")
    assert not (made / "predictions.csv").exists()
    refused = CliRunner().invoke(main, ["rerun", str(made)])
    assert refused.exit_code == 1 and "no predictions.csv" in refused.output
    assert not (tmp_path / "run-rerun").exists()
