"""benchmark and learning-curve from the command line: rows as words, files, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from recipes import benchmark_work
from toolkit import ToolkitError
from toolkit.cli import benchmark as command
from toolkit.evaluation.baselines import rocket
from toolkit.training import Settings

pytestmark = pytest.mark.contract

Toolkit = Callable[..., Result]
PLAIN = ("--row", "majority-class", "--row", "logistic-regression@pixels")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are done in this process."""

    def work(table: Any, row: Any, folder: Path, prepare: object) -> str:
        try:
            benchmark_work._work(table, row, folder)
        except ToolkitError as error:
            return str(error)
        return ""

    monkeypatch.setattr(benchmark_work, "_in_own_process", work)


@pytest.mark.parametrize(("spec", "name", "method", "space"), [
    ("lda@pixels", "LDA on pixels", "LDA", "pixels"),
    ("Gaussian-SVM@hog", "Gaussian SVM on HOG", "Gaussian SVM", "hog"),
    ("boosted-stumps@features", "boosted stumps on frozen features", "boosted stumps", "features"),
    ("majority-class", "majority class", "majority class", "pixels"),
    ("logistic-regression@ngrams", "logistic regression on n-grams", "logistic regression", "ngrams"),
    ("naive-bayes-logistic-regression@ngrams", "naive Bayes logistic regression on n-grams",
     "naive Bayes logistic regression", "ngrams"),
    ("nearest-neighbours@series", "nearest neighbours on values", "nearest neighbours", "series"),
    ("dynamic-time-warping@series", "dynamic time warping", "dynamic time warping", "series"),
    ("minirocket@series", "MiniRocket", "MiniRocket", "series"),
    ("my SVM=linear-svm@pixels", "my SVM", "linear SVM", "pixels")])
def test_rows_that_are_baselines(spec: str, name: str, method: str, space: str) -> None:
    row = command.row(spec, Settings(seed=4))
    assert (row.name, row.method, row.space, row.recipe, row.settings.seed) == (name, method, space, "", 4)


def test_rows_that_are_commands() -> None:
    spec = "fine-tune --backbone mlp --weights none --hidden 256,128 --l2 1e-4 --unfreeze=all"
    row = command.row(f"net with ridge={spec}", Settings(seed=4, devices="cpu"))
    assert (row.name, row.recipe, row.kind) == ("net with ridge", "fine_tune", "network")
    assert row.options == {"unfreeze": "all", "lora_rank": 8}
    assert (row.settings.l2, row.settings.seed, row.settings.devices) == (1e-4, 4, "cpu")
    assert row.settings.backbone_options == {"hidden": [256, 128]}
    assert command.row(spec, Settings()).name == spec
    assert command.row("a=linear-probe --devices=cpu:2", Settings(devices="cpu")).settings.devices == "cpu:2"


def test_rows_that_are_networks_on_sequences() -> None:
    row = command.row("train-lstm --units 8 --epochs 2", Settings(seed=4), ["--backbone", "mlp", "--weights", "none"])
    assert (row.recipe, row.kind, row.settings.backbone, row.settings.weights) == ("train_lstm", "network", "lstm",
                                                                                  "none")
    assert row.options["task"] == "classify" and row.settings.seed == 4 and "horizon" not in row.options
    with pytest.raises(click.BadParameter, match="compares classifiers"):
        command.row("train-transformer --task tag", Settings())


def test_rows_of_texts(toolkit: Toolkit, here: None, tmp_path: Path) -> None:
    lines = [f"{'good' if number % 2 else 'bad'} film number {number},{'yes' if number % 2 else 'no'},"
             f"{'test' if number % 5 == 0 else 'train'}" for number in range(60)]
    (tmp_path / "texts.csv").write_text("text,label,split\n" + "\n".join(lines) + "\n")
    done = toolkit("benchmark", str(tmp_path / "texts.csv"), "--output", str(tmp_path / "run"), "--row", "lda@ngrams",
                   "--json")
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row["error"] for row in json.loads(done.stdout)["rows"]}
    assert list(rows) == ["majority class", "logistic regression on n-grams", "LDA on n-grams"]
    assert rows["logistic regression on n-grams"] == 0 < rows["majority class"]
    refused = toolkit("benchmark", str(tmp_path / "texts.csv"), "--output", str(tmp_path / "no"), "--row", "lda@pixels")
    assert refused.exit_code == 1 and "LDA on pixels" in refused.stderr and "METHOD@ngrams" in refused.stderr


def test_a_command_that_names_no_backbone_takes_that_of_the_benchmark() -> None:
    shared = ("--backbone", "small_cnn", "--weights", "none", "--filters", "4,8", "--no-batch-normalisation")
    row = command.row("fine-tune --epochs 3", Settings(), shared)
    assert (row.settings.backbone, row.settings.weights, row.settings.epochs) == ("small_cnn", "none", 3)
    assert row.settings.backbone_options == {"filters": [4, 8], "batch_normalisation": False}
    own = command.row("fine-tune --backbone mlp --weights none", Settings(), shared)
    assert (own.settings.backbone, own.settings.backbone_options) == ("mlp", {})


@pytest.mark.parametrize(("spec", "words"), [
    ("lda", "expected METHOD@SPACE"), ("", "expected METHOD@SPACE"), ("a=b", "expected METHOD@SPACE"),
    ("lda@sounds", "the spaces pixels, hog, ngrams, series, features"),
    ("svm@pixels", "the methods are majority-class"),
    ("fine-tune --no-such", "No such option"), ("fine-tune --epochs many", "not a valid integer"),
    ("fine-tune other.csv", "unexpected extra argument"), ("fine-tune --output x", "--output belongs to the whole"),
    ("fine-tune --output=x", "--output belongs to the whole"), ("fine-tune --seed 3", "--seed belongs to the whole"),
    ("fine-tune --labels-per-class 3", "--labels-per-class belongs"), ("fine-tune 'x", "No closing quotation")])
def test_words_that_are_no_row(spec: str, words: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        command.row(spec, Settings())
    assert words in refused.value.message and repr(spec) in refused.value.message


def test_labels_of_a_curve() -> None:
    convert = command.Labels().convert
    assert convert("all,20,1,5,5", None, None) == [1, 5, 20, None]
    for wrong in ("", "0", "1,,2", "1,most", "-1"):
        with pytest.raises(click.BadParameter):
            convert(wrong, None, None)


def test_benchmark_prints_the_table_and_exits_1_if_a_row_failed(here: None, photos: Path, tmp_path: Path,
                                                                toolkit: Toolkit) -> None:
    pytest.importorskip("matplotlib")
    output = tmp_path / "run"
    result = toolkit("benchmark", photos, "--output", output, *PLAIN)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Benchmark on {photos}\n") and "no_deep_model" not in result.stdout
    assert "Against logistic regression on pixels" in result.stdout
    assert {path.name for path in output.iterdir()} >= {"benchmark.csv", "benchmark.json", "benchmark.md",
                                                        "benchmark.png"}
    again = toolkit("benchmark", photos, "--output", output, "--resume", *PLAIN, "--json", "--row",
                    "too small=fine-tune --backbone small_cnn --weights none --image-size 8 --filters 4,4,4,4,4")
    assert again.exit_code == 1
    report = json.loads(again.stdout)
    assert [row["name"] for row in report["rows"]] == ["majority class", "logistic regression on pixels", "too small"]
    assert "cannot be halved" in report["rows"][2]["failure"]


def test_learning_curve_prints_the_table(here: None, photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    output = tmp_path / "run"
    result = toolkit("learning-curve", photos, "--output", output, "--labels", "1,all", "--seeds", "2", *PLAIN)
    assert result.exit_code == 0 and "labels a class" in result.stdout
    refused = toolkit("learning-curve", photos, "--output", tmp_path / "other", "--labels-per-class", "3")
    assert refused.exit_code == 2 and "--labels" in refused.stderr


def test_what_cannot_be_used_is_refused_before_anything_is_read(tmp_path: Path, toolkit: Toolkit) -> None:
    lda = ("--row", "lda@pixels")
    twice = toolkit("benchmark", "no-such.csv", "--output", tmp_path / "run", *lda, *lda)
    assert twice.exit_code == 1 and "too alike" in twice.stderr
    wrong = toolkit("benchmark", "no-such.csv", "--output", tmp_path / "run", "--row", "lda@sounds")
    assert wrong.exit_code == 2 and "lda@sounds" in wrong.stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    full = toolkit("benchmark", "no-such.csv", "--output", tmp_path / "full")
    assert full.exit_code == 1 and "not empty" in full.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("kind", "networks", "count"), [
    ("image", ["linear-probe", "fine-tune"], 1 + 3 * 9 + 2), ("text", ["fine-tune"], 1 + 2 * 9 + 1 + 1),
    ("series", ["fine-tune"], 1 + 2 * 9 + 1 + rocket.is_installed() + 1)])
def test_all_baselines_and_the_default_rows_have_names_of_their_own(kind: str, networks: list[str], count: int) -> None:
    names = [row.name for row in command._completed([], Settings(), kind, all_baselines=True)]
    assert names[0] == "majority class" and [name for name in names if "-" in name and " " not in name] == networks
    assert len(names) == len(set(names)) == count
