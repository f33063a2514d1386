"""The semi-supervised commands from the command line to the files of a run."""

import csv
import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

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
    assert semisupervised.CLASSIFIERS == (spread_labels.AUTO, *spreading.CLASSIFIERS)
    parameters = inspect.signature(spread_labels.run).parameters
    for option in main.commands["spread-labels"].params:
        if option.name in ("method", "neighbours", "shares"):
            assert option.default == parameters[option.name].default


@pytest.mark.parametrize("name", [command.name for command in semisupervised.COMMANDS])
def test_options_and_defaults_are_those_of_the_recipe(name: str) -> None:
    module = importlib.import_module(f"recipes.{name.replace('-', '_')}")
    parameters = inspect.signature(module.run).parameters
    given = main.commands[name].make_context(name, ["table.csv", "--output", "run"]).params
    own = set(parameters) - {"table", "output", "settings", "resume"}
    assert own - {"strong_copies"} <= set(given)
    for option in own & set(given):
        assert given[option] == parameters[option].default, option


def test_spaces_and_steps_are_those_of_the_room() -> None:
    from recipes import fix_match
    from toolkit.semisupervised import descent, pixel_runs, pixel_training

    assert semisupervised.SPACES == pixel_runs.SPACES
    assert semisupervised.STEPS == {"features": fix_match.STEPS, "pixels": pixel_training.STEPS,
                                    "from scratch": pixel_training.STEPS_FROM_SCRATCH}
    assert descent.STEPS == fix_match.STEPS


@pytest.mark.parametrize("arguments", [("--method", "magic"), ("--neighbours", "0"), ("--class-shares", "equal")])
def test_values_out_of_range_are_wrong_usage(arguments: tuple[str, ...], photos: Path, tmp_path: Path,
                                             toolkit: Toolkit) -> None:
    assert toolkit("spread-labels", photos, "--output", tmp_path / "run", *arguments).exit_code == 2


@pytest.mark.parametrize(("command", "arguments", "message"), [
    ("fix-match", ("--batch-size", "8"), "--batch-size belongs to --space pixels and both"),
    ("mean-teacher", ("--unlabelled-weight", "5"), "--unlabelled-weight belongs to --space pixels and both"),
    ("virtual-adversarial", ("--space", "pixels", "--scales", "1"), "--scales belongs to --space features"),
    ("pseudo-label", ("--method", "lee", "--rounds", "3"), "--rounds belongs to --method rounds"),
    ("pseudo-label", ("--steps", "30"), "--steps belongs to --method lee"),
    ("benchmark", ("--row", "mix-match --time-limit 3"), "--time-limit belongs to --space pixels and both")])
def test_options_of_another_space_or_method_are_refused(command: str, arguments: tuple[str, ...], message: str,
                                                        photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    result = toolkit(command, photos, "--output", tmp_path / "run", *arguments)
    assert result.exit_code in (1, 2) and message in result.output and not (tmp_path / "run").exists()


def test_unlabelled_images_from_elsewhere(photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    """They are learnt from, but are no rows of the run; a repetition reads them again, a resumption asks for them."""
    table = list(csv.DictReader(open_text(photos)))
    copied = {split: next(line for line in table if line["split"] == split)["path"] for split in ("train", "test")}
    more = tmp_path / "more" / "deep"
    more.mkdir(parents=True)
    for number, name in enumerate(copied.values()):
        (more / f"copy {number}.png").write_bytes((photos.parent / name).read_bytes())
    for number in range(5):
        pixels = np.asarray(Image.open(photos.parent / table[number]["path"]))
        Image.fromarray(np.roll(pixels, 1, axis=0)).save(more / f"{number}.png")
    (more / "broken.png").write_bytes(b"no image")
    output, options = tmp_path / "run", ("--unlabelled", tmp_path / "more", *TINY, "--labels-per-class", "4")
    assert toolkit("spread-labels", photos, "--output", output, *options).exit_code == 0
    report = json.loads((output / "report.json").read_text())
    lines = {name: list(csv.DictReader(open_text(output / f"{name}.csv")))
             for name in ("predictions", "pseudo_labels", "rejected")}
    own = [line for line in lines["pseudo_labels"] if not line["source"]]
    added = [line for line in lines["pseudo_labels"] if line["source"]]
    pool = report["unlabelled"]
    assert len(lines["predictions"]) == len(table) and len(own) + len(added) == pool["rows"]
    assert pool["dropped"] == 1  # the test image; the training image did not even join
    trained = sum(line["split"] == "train" for line in table)
    assert pool["rows"] + pool["set_aside"] == trained - report["training"]["rows"] + 5
    assert added and {line["input"] for line in added} <= {f"deep/{number}.png" for number in range(5)}
    assert [(line["input"], line["source"]) for line in lines["rejected"]] == [
        ("broken.png", ""), ("deep/broken.png", str(tmp_path / "more"))]
    assert "numbers repeat" in toolkit("rerun", output).stdout
    before = (output / "predictions.csv").read_bytes()
    (output / "report.json").unlink()  # as after a kill
    other = toolkit("spread-labels", photos, "--output", output, "--resume", *TINY, "--labels-per-class", "4")
    assert other.exit_code == 1 and "have changed since" in other.stderr
    again = toolkit("spread-labels", photos, "--output", output, "--resume", *options)
    assert again.exit_code == 0 and (output / "predictions.csv").read_bytes() == before
    assert json.loads((output / "report.json").read_text())["unlabelled"] == report["unlabelled"]


def open_text(path: Path) -> list[str]:
    """The lines of a file."""
    return path.read_text().splitlines()
