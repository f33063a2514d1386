"""What runs of tag, forecast and language-model must keep: files, scores, resume to the bit, models alone."""

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn import metrics

from recipes import train_lstm, train_transformer
from toolkit import ToolkitError
from toolkit.cli import main
from toolkit.sequences import generation, step_networks, tasks
from toolkit.training import Settings, loop

OPTIONS = {"units": 8, "embedding": "8", "dropout": 0.2}
SETTINGS = Settings(backbone="lstm", weights="none", backbone_options=OPTIONS, epochs=2, batch_size=16,
                    learning_rate=0.01)


def lines(task: str) -> list[list[str]]:
    """A table with its header: tags that depend on the word before, a wave, sentences of four words."""
    random = np.random.default_rng(0)
    if task == "forecast":
        wave = 5 + np.sin(2 * np.pi * np.arange(120) / 12) + 0.1 * random.normal(size=120)
        return [["time", "value"], *([str(i), f"{value:.4f}"] for i, value in enumerate(wave))]
    splits = ["train"] * 50 + ["validation"] * 10 + ["test"] * 15
    rows = []
    for number, split in enumerate(splits):
        river = random.random() < 0.5
        words = ["the", "river" if river else "money", "bank", f"number{number}"]
        rows.append([" ".join(words), f"O O {'B-place' if river else 'B-firm'} O", split])
    if task == "tag":
        return [["tokens", "tags", "split"], *rows, ["", "", "train"]]
    return [["text", "split"], *([text, split] for text, _, split in rows), ["", "train"]]


def write(path: Path, rows: list[list[str]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def run(task: str, source: str, output: Path, recipe: Any = train_lstm, **more: Any) -> dict[str, Any]:
    own = {"horizon": 2, "season": 12} if task == "forecast" else {}
    return recipe.run(tasks.read(task, source, {}), output=output, settings=SETTINGS, task=task, **own, **more)


def predictions(output: Path) -> list[dict[str, str]]:
    with (output / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each task."""
    folder = tmp_path_factory.mktemp("tasks")
    for task in tasks.TASKS:
        json.dumps(run(task, write(folder / f"{task}.csv", lines(task)), folder / task))  # as --json prints it
    return {task: folder / task for task in tasks.TASKS}


@pytest.mark.contract
@pytest.mark.parametrize("task", tasks.TASKS)
def test_a_run_leaves_every_file_and_one_line_a_row(runs: dict[str, Path], task: str) -> None:
    for name in ("model.keras", "predictions.csv", "rejected.csv", "report.json", "history.csv", "splits.csv",
                 "params.json"):
        assert (runs[task] / name).is_file(), name
    found = predictions(runs[task])
    assert [int(line["row"]) for line in found] == list(range(1, len(lines(task))))
    assert [line["row"] for line in found if line["status"] == "rejected"] == ([] if task == "forecast" else ["76"])
    report = json.loads((runs[task] / "report.json").read_text())
    assert report["verdict"]["code"] in ("better", "worse", "not_distinguishable")
    assert not (runs[task] / "checkpoints").exists()


@pytest.mark.contract
def test_scores_are_those_of_the_files(runs: dict[str, Path]) -> None:
    tagged = [line for line in predictions(runs["tag"]) if line["split"] == "test"]
    true, guess = (" ".join(line[name] for line in tagged).split() for name in ("label", "prediction"))
    report = json.loads((runs["tag"] / "report.json").read_text())
    assert report["test"]["accuracy"] == pytest.approx(metrics.accuracy_score(true, guess))
    with (runs["forecast"] / "forecasts.csv").open(newline="") as file:
        steps = [line for line in csv.DictReader(file) if line["value"]]
    report = json.loads((runs["forecast"] / "report.json").read_text())
    for column, scores in {"forecast": report["test"], **report["baselines"]}.items():
        values, found = ([float(line[name]) for line in steps] for name in ("value", column))
        assert scores["r2"] == pytest.approx(metrics.r2_score(values, found), abs=1e-6)
        assert scores["mean_absolute_error"] == pytest.approx(metrics.mean_absolute_error(values, found), abs=1e-6)
    texts = [line for line in predictions(runs["language-model"]) if line["split"] == "test"]
    report = json.loads((runs["language-model"] / "report.json").read_text())
    assert report["test"]["bits_per_character"] == pytest.approx(
        sum(float(line["prediction"]) for line in texts) / sum(len(line["input"]) + 1 for line in texts))


@pytest.mark.contract
def test_models_stand_alone(runs: dict[str, Path]) -> None:
    """Without this package: tags of a sentence, forecasts of raw values, probabilities of the next character."""
    line = next(line for line in predictions(runs["tag"]) if line["split"] == "test")
    with (runs["forecast"] / "forecasts.csv").open(newline="") as file:
        ahead = [float(row["forecast"]) for row in csv.DictReader(file) if not row["value"]]
    values = [float(value) for _, value in lines("forecast")[1:]][-24:]
    code = f"""
import json, zipfile, keras, numpy as np, tensorflow as tf
tagger = keras.models.load_model({str(runs['tag'] / 'model.keras')!r})
names = json.loads(zipfile.ZipFile({str(runs['tag'] / 'model.keras')!r}).read("classes.json"))
found = tagger(tf.constant([{line['input']!r}, "the longer row of five words"])).numpy()[0]
assert [names[i] for i in found.argmax(-1)[:4]] == {line['prediction'].split()!r}
assert abs(found[:4].max(-1).mean() - {line['confidence']}) < 1e-5
forecaster = keras.models.load_model({str(runs['forecast'] / 'model.keras')!r})
found = forecaster([tf.constant([["series"]]), tf.constant([{values!r}])]).numpy()[0]
assert np.abs(found - {ahead!r}).max() < 1e-3, found
model = keras.models.load_model({str(runs['language-model'] / 'model.keras')!r})
found = model(tf.constant(["\\x03the"])).numpy()
assert found.shape[:2] == (1, 4) and np.abs(found.sum(-1) - 1).max() < 1e-5
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=runs["tag"])


@pytest.mark.contract
def test_a_language_model_writes_text(runs: dict[str, Path]) -> None:
    found = generation.load(runs["language-model"])
    text = generation.generate(found, prompt="the ", length=12, seed=1)
    assert text.startswith("the ") and len(text) == 16
    assert text == generation.generate(found, prompt="the ", length=12, seed=1)


REPLICAS = "--units 8 --network-dropout 0 --epochs 2 --batch-size 16 --optimizer sgd --learning-rate 0.05"
OWN = {"forecast": "--horizon 2 --season 12", "tag": "--embedding 8", "language-model": "--embedding 8",
       "classify": "--embedding 8 --pretrain-epochs 2"}


def command(task: str, folder: Path, output: Path, devices: str) -> list[str]:
    """`toolkit train-lstm` for a task, without what is random in each replica."""
    return ["train-lstm", str(folder / f"{task}.csv"), "--task", task, *REPLICAS.split(), *OWN[task].split(),
            "--devices", devices, "--output", str(output)]


@pytest.fixture(scope="module")
def tables(runs: dict[str, Path]) -> Path:
    """The folder with a table of each task; classes are those of the tagged sentences."""
    rows = [[text, "ab"["firm" in tags], split] for text, tags, split in lines("tag")[1:-1]]
    return Path(write(runs["tag"].parent / "classify.csv", [["text", "label", "split"], *rows])).parent


@pytest.fixture(scope="module")
def on_two_replicas(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each task on two devices, made in a process of its own."""
    folder = tmp_path_factory.mktemp("replicas")
    commands = [command(task, tables, folder / task, "cpu:2") for task in OWN]
    code = f"from toolkit.cli import main\nfor words in {commands!r}: main(words, standalone_mode=False)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def on_one_device(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each task on one device."""
    folder = tmp_path_factory.mktemp("alone")
    for task in OWN:
        done = CliRunner().invoke(main, command(task, tables, folder / task, "cpu"))
        assert done.exit_code == 0, done.output
    return folder


def same_training(first: Path, second: Path) -> None:
    models = [keras.models.load_model(path / "model.keras", compile=False) for path in (first, second)]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)
    losses = [[float(row["loss"] or 0) for row in csv.DictReader((path / "history.csv").read_text().splitlines())]
              for path in (first, second)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.contract
@pytest.mark.parametrize("task", OWN)
def test_two_replicas_take_the_steps_of_one(on_two_replicas: Path, on_one_device: Path, task: str) -> None:
    same_training(on_one_device / task, on_two_replicas / task)


@pytest.mark.contract
@pytest.mark.slow
@pytest.mark.parametrize("task", OWN)
def test_two_workers_take_the_steps_of_one(tables: Path, on_one_device: Path, task: str, tmp_path: Path) -> None:
    words = command(task, tables, tmp_path / "run", "cpu")
    subprocess.run([sys.executable, "-m", "toolkit", "launch", "--workers", "2", "--", *words], check=True,
                   capture_output=True)
    same_training(on_one_device / task, tmp_path / "run")


class Stop(Exception):
    """What ends a run in the middle here."""


def stopped_and_resumed(task: str, source: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that writes a checkpoint after every step dies after the third, and goes on."""
    plan, after, calls = step_networks.plan, loop._Keeper.on_train_batch_end, []

    def often(*arguments: Any, **options: Any) -> Any:
        made, settings = plan(*arguments, **options)
        return dataclasses.replace(made, checkpoint_seconds=0.0), settings

    def dies(keeper: Any, batch: int, logs: Any = None) -> None:
        after(keeper, batch, logs)
        calls.append(batch)
        if len(calls) == 3:
            raise Stop

    monkeypatch.setattr(step_networks, "plan", often)
    with monkeypatch.context() as patch:
        patch.setattr(loop._Keeper, "on_train_batch_end", dies)
        with pytest.raises(Stop):
            run(task, source, output)
    run(task, source, output, resume=True)


def same_weights(first: Path, second: Path) -> bool:
    models = [keras.models.load_model(path / "model.keras", compile=False) for path in (first, second)]
    return all(np.array_equal(*pair) for pair in zip(*(model.get_weights() for model in models), strict=True))


@pytest.mark.contract
@pytest.mark.parametrize("task", ["language-model", *(pytest.param(task, marks=pytest.mark.slow)
                                                      for task in ("tag", "forecast"))])
def test_a_stopped_run_resumes_to_the_same_bits(runs: dict[str, Path], task: str, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_and_resumed(task, str(runs[task].parent / f"{task}.csv"), tmp_path / "run", monkeypatch)
    assert same_weights(runs[task], tmp_path / "run")
    assert (runs[task] / "predictions.csv").read_bytes() == (tmp_path / "run" / "predictions.csv").read_bytes()


@pytest.mark.contract
@pytest.mark.slow
def test_neither_the_order_of_rows_nor_test_tags_change_a_weight(runs: dict[str, Path], tmp_path: Path) -> None:
    header, *rows = lines("tag")
    for row in rows:
        if row[2] == "test":
            row[1] = row[1].replace("firm", "other").replace("place", "firm").replace("other", "place")
    run("tag", write(tmp_path / "other.csv", [header, *rows[::-1]]), tmp_path / "run")
    assert same_weights(runs["tag"], tmp_path / "run")


@pytest.mark.contract
@pytest.mark.slow
@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_transformer_runs_every_task(runs: dict[str, Path], task: str, tmp_path: Path) -> None:
    settings = {**SETTINGS.describe(), "backbone": "transformer", "backbone_options": {**OPTIONS, "heads": 2}}
    own = {"horizon": 2} if task == "forecast" else {}
    table = tasks.read(task, str(runs[task].parent / f"{task}.csv"), {})
    report = train_transformer.run(table, output=tmp_path / "run", settings=Settings(**settings), task=task, **own)
    assert report["recipe"].startswith("transformer")


@pytest.mark.contract
def test_predict_knows_tasks_and_evaluate_refuses(runs: dict[str, Path], tmp_path: Path) -> None:
    for task in tasks.TASKS:
        table = str(runs[task].parent / f"{task}.csv")
        done = CliRunner().invoke(main, ["predict", str(runs[task]), table])
        assert done.exit_code == 0, done.output
        found = list(csv.DictReader(done.stdout.splitlines()))
        if task == "forecast":
            with (runs[task] / "forecasts.csv").open(newline="") as file:
                ahead = [float(row["forecast"]) for row in csv.DictReader(file) if not row["value"]]
            np.testing.assert_allclose([float(line["forecast"]) for line in found], ahead, atol=1e-4)
        else:
            assert [line["prediction"] for line in found][:3] == [line["prediction"] for line in
                                                                  predictions(runs[task])][:3]
        refused = CliRunner().invoke(main, ["evaluate", str(runs[task]), table])
        assert refused.exit_code == 1 and f"a run with --task {task}" in refused.output


@pytest.mark.contract
@pytest.mark.slow
@pytest.mark.parametrize("task", tasks.TASKS)
def test_rerun_repeats_a_task(runs: dict[str, Path], task: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["rerun", str(runs[task]), "--output", str(tmp_path / "again")])
    assert done.exit_code == 0 and "The numbers repeat" in done.output, done.output


@pytest.mark.parametrize("task", tasks.TASKS)
def test_tasks_have_no_labels_of_classes_to_keep(task: str, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="--labels-per-class"):
        tasks.read(task, str(tmp_path / "any.csv"), {"labels_per_class": 2})
