"""The semi-supervised commands from the command line to the files of a run."""

import csv
import inspect
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from toolkit.cli import main, semisupervised

pytestmark = pytest.mark.contract

Toolkit = Callable[..., Result]
TINY = ("--backbone", "small_cnn", "--weights", "none", "--image-size", "16", "--filters", "4,8")


@pytest.fixture(scope="module")
def spread(photos: Path, toolkit: Toolkit, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The folder of a run of spread-labels with four labels a class, and what the command printed, as JSON."""
    output = tmp_path_factory.mktemp("runs") / "spread"
    return output, toolkit("spread-labels", photos, "--output", output, *TINY, "--labels-per-class", "4", "--json")


def test_spread_labels_writes_a_run_with_its_pseudo_labels(spread: tuple[Path, Result]) -> None:
    folder, result = spread
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report == json.loads((folder / "report.json").read_text())
    assert report["unlabelled"]["rows"] == 12
    assert json.loads((folder / "params.json").read_text())["options"]["neighbours"] == 25
    with open(folder / "pseudo_labels.csv") as file:
        assert len(list(csv.DictReader(file))) == 12
    assert (folder / "model.keras").is_file()


def test_the_verdict_speaks_of_the_unlabelled_rows(spread: tuple[Path, Result], photos: Path, toolkit: Toolkit) -> None:
    again = toolkit("spread-labels", photos, "--output", spread[0], "--resume", *TINY, "--labels-per-class", "4")
    assert again.exit_code == 0
    assert again.stdout.startswith("label spreading on ") and "Verdict: " in again.stdout
    last = " ".join(again.stdout.split("Verdict: ")[1].split())
    assert last.startswith(("The unlabelled rows", "No difference can be seen"))


def test_choices_are_those_of_the_recipe() -> None:
    from recipes import spread_labels
    from toolkit.semisupervised import spreading

    assert semisupervised.METHODS == (*spreading.METHODS, spread_labels.AUTO)
    assert semisupervised.SHARES == spread_labels.SHARES
    parameters = inspect.signature(spread_labels.run).parameters
    for option in main.commands["spread-labels"].params:
        if option.name in ("method", "neighbours", "shares"):
            assert option.default == parameters[option.name].default


@pytest.mark.parametrize("arguments", [("--method", "magic"), ("--neighbours", "0"), ("--class-shares", "equal")])
def test_values_out_of_range_are_wrong_usage(arguments: tuple[str, ...], photos: Path, tmp_path: Path,
                                             toolkit: Toolkit) -> None:
    assert toolkit("spread-labels", photos, "--output", tmp_path / "run", *arguments).exit_code == 2
