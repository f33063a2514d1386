"""What training on texts and series promises: the same bits again, row order, resume, files, pretraining."""

import csv
import dataclasses
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recipes import fine_tune, train_lstm, train_transformer
from toolkit.tables import Table, read_table
from toolkit.training import Settings, loop

pytestmark = pytest.mark.contract

WORDS = {"no": "bad awful poor dull".split(), "yes": "good great fine lovely".split(),
         "": "the a film plot acting was is very scene of and it".split()}
LSTM = Settings(backbone="lstm", weights="none", epochs=12, batch_size=16, devices="cpu", learning_rate=0.02,
                backbone_options={"units": 4, "embedding": "8", "dropout": 0.2}, word_dropout=0.1)


def write(path: Path, *, shuffled: bool = False, test_labels: bool = True) -> Path:
    drawn, rows = random.Random(0), []
    for number in range(90):
        label = ("no", "yes")[number % 2]
        words = drawn.choices(WORDS[""], k=drawn.randint(1, 15)) + drawn.choices(WORDS[label], k=2)
        drawn.shuffle(words)
        split = "train" if number < 60 else "test"
        shown = label if split == "train" or test_labels else ("yes", "no")[number % 2]
        rows.append([" ".join(words), "" if 40 <= number < 60 else shown, split])
    if shuffled:
        drawn.shuffle(rows)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "label", "split"], *rows])
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return read_table(write(tmp_path_factory.mktemp("texts") / "texts.csv"))


@pytest.fixture(scope="module")
def first(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "run"
    train_lstm.run(table, output=folder, settings=LSTM)
    return folder


def probabilities(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "predictions.csv").set_index("input").filter(like="probability_").sort_index()


def test_an_lstm_learns_and_stands_beside_its_controls(first: Path) -> None:
    report = json.loads((first / "report.json").read_text())
    assert report["test"]["accuracy"] > 0.8
    assert {"majority class", "logistic regression on n-grams"} <= set(report["baselines"])
    assert report["training"]["preprocessing"]["max_length"] == 256


def test_neither_row_order_nor_test_labels_change_a_prediction(first: Path, tmp_path: Path) -> None:
    other = read_table(write(tmp_path / "texts.csv", shuffled=True, test_labels=False))
    train_lstm.run(other, output=tmp_path / "run", settings=LSTM)
    pd.testing.assert_frame_equal(probabilities(tmp_path / "run"), probabilities(first), rtol=0, atol=0)


def test_a_pretrained_run_that_was_stopped_ends_as_one_that_was_not(table: Table, tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.replace(LSTM, epochs=3, backbone_options={"units": 4, "embedding": "8"})
    whole = train_lstm.run(table, output=tmp_path / "whole", settings=settings, pretrain_epochs=2)
    assert whole["training"]["pretraining"]["objective"] == "hidden tokens"
    real, calls = loop._Keeper.on_epoch_end, []

    def stop(self: Any, epoch: int, logs: Any = None) -> None:
        calls.append(1)
        real(self, epoch, logs)
        if len(calls) in (1, 3):  # within pretraining, then within fine-tuning
            raise KeyboardInterrupt

    monkeypatch.setattr(loop._Keeper, "on_epoch_end", stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_lstm.run(table, output=tmp_path / "stopped", settings=settings, pretrain_epochs=2, resume=True)
    train_lstm.run(table, output=tmp_path / "stopped", settings=settings, pretrain_epochs=2, resume=True)
    stopped, never = probabilities(tmp_path / "stopped"), probabilities(tmp_path / "whole")
    pd.testing.assert_frame_equal(stopped, never, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [fine_tune, train_transformer])
def test_transformers_and_convolutions_learn(table: Table, tmp_path: Path, recipe: Any) -> None:
    settings = Settings(backbone="text_cnn", weights="none", epochs=20, learning_rate=0.02,
                        backbone_options={"filters": (8,), "embedding": "8"})
    if recipe is train_transformer:
        options = {"units": 8, "heads": 2, "num_layers": 1, "embedding": "8"}
        settings = dataclasses.replace(settings, backbone="transformer", backbone_options=options)
    assert recipe.run(table, output=tmp_path / "run", settings=settings)["test"]["accuracy"] > 0.8


def test_series_of_unequal_length_with_missing_values(tmp_path: Path) -> None:
    import keras

    random_numbers, lines = np.random.default_rng(0), ["values,label,split"]
    for number in range(60):
        steps = np.arange(random_numbers.integers(20, 60))
        values = np.sin(steps / (2 + 3 * (number % 2))) + 0.1 * random_numbers.normal(size=len(steps))
        words = ["NA" if random_numbers.random() < 0.05 else f"{value:.4f}" for value in values]
        lines.append(f"{' '.join(words)},{'ab'[number % 2]},{'train' if number < 36 else 'test'}")
    (tmp_path / "series.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = read_table(tmp_path / "series.csv")
    settings = Settings(backbone="series_fcn", weights="none", epochs=40, batch_size=16, devices="cpu",
                        learning_rate=0.02, backbone_options={"filters": (8, 8)})
    report = fine_tune.run(table, output=tmp_path / "run", settings=settings)
    assert report["test"]["accuracy"] > 0.8
    model = keras.models.load_model(tmp_path / "run" / "model.keras", compile=False)
    found = pd.read_csv(tmp_path / "run" / "predictions.csv")["probability_b"].to_numpy()
    for place in (0, 7, 41):
        np.testing.assert_allclose(model(table.array[table.inputs[place]][None])[0, 1],
                                   found[table.rows[place] - 1], atol=1e-5)


def trained(rows: Path, output: Path, *options: str) -> np.ndarray:
    subprocess.run([sys.executable, "-m", "toolkit", *options, str(rows), "--optimizer", "sgd", "--learning-rate", "0.01",
                    "--epochs", "2", "--output", str(output)], check=True, capture_output=True)
    return pd.read_csv(output / "predictions.csv").filter(like="probability_").to_numpy()


def test_two_replicas_normalise_series_of_unequal_length_as_one_does(tmp_path: Path) -> None:
    drawn, lines = random.Random(0), ["values,label,split"]
    for number in range(48):
        values = [drawn.gauss(number % 2, 1) for _ in range(drawn.randint(5, 20))]
        lines.append(f"{' '.join(map(str, values))},{'ab'[number % 2]},{'train' if number < 32 else 'test'}")
    (tmp_path / "series.csv").write_text("\n".join(lines) + "\n")
    options = "fine-tune --backbone series_resnet --weights none --filters 4,6,6 --batch-size 8 --devices".split()
    one, two = (trained(tmp_path / "series.csv", tmp_path / devices, *options, devices) for devices in ("cpu", "cpu:2"))
    np.testing.assert_allclose(two, one, atol=1e-5)


def test_a_batch_of_texts_in_parts_trains_as_the_batch(tmp_path: Path) -> None:
    rows = write(tmp_path / "texts.csv")
    options = "train-lstm --units 4 --embedding 8 --network-dropout 0 --batch-size 8 --accumulation".split()
    whole, parts = (trained(rows, tmp_path / parts, *options, parts) for parts in ("1", "4"))
    np.testing.assert_allclose(parts, whole, atol=1e-5)
