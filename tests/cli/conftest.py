"""Forty tiny images in two classes, and the way to run a command on them."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from toolkit.cli import main


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV: 20 training, 8 validation and 12 test rows of dark and light noise, and one file that is no image."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    rows = []
    for number in range(40):
        label = ("dark", "light")[number % 2]
        low = 0 if label == "dark" else 120
        Image.fromarray(random.integers(low, low + 130, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        rows.append((f"{number}.png", label, "train" if number < 20 else "validation" if number < 28 else "test"))
    (folder / "broken.png").write_bytes(b"this is no image")
    with open(folder / "photos.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows, ("broken.png", "dark", "test")])
    return folder / "photos.csv"


@pytest.fixture(scope="session")
def toolkit() -> Callable[..., Result]:
    """Runs a command in this process: ``toolkit("fine-tune", table, ...)``; an exception that is a bug is raised."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


TINY = ("--backbone", "small_cnn", "--weights", "none", "--image-size", "16", "--filters", "4,8")


@pytest.fixture(scope="session")
def fine_tuned(photos: Path, toolkit: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory
               ) -> tuple[Path, Result]:
    """The folder of a run of fine-tune, and what the command printed."""
    output = tmp_path_factory.mktemp("runs") / "fine-tuned"
    return output, toolkit("fine-tune", photos, "--output", output, *TINY, "--epochs", "1", "--reflect", "no")


@pytest.fixture(scope="session")
def probed(photos: Path, toolkit: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory
           ) -> tuple[Path, Result]:
    """The folder of a run of linear-probe, and what the command printed, as JSON."""
    output = tmp_path_factory.mktemp("runs") / "probed"
    return output, toolkit("linear-probe", photos, "--output", output, *TINY, "--json")
