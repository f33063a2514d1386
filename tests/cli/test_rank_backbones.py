"""rank-backbones from the command line to its files."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from toolkit import ToolkitError
from toolkit.cli.rank_backbones import candidate

pytestmark = pytest.mark.contract

Toolkit = Callable[..., Result]
TWO = ("--backbone", "small_cnn=none@16", "--backbone", "mlp=none", "--no-measure-steps")


def test_text_and_files(photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    result = toolkit("rank-backbones", photos, *TWO, "--output", tmp_path / "ranking")
    assert result.exit_code == 0
    assert result.stdout.startswith("20 labelled training rows of ") and "Kendall" not in result.stdout
    assert "small_cnn=none@16" in result.stdout and "scoring 20 rows" in result.stderr
    assert {path.name for path in (tmp_path / "ranking").iterdir()} == {"ranking.csv", "ranking.json", "params.json"}
    ranking = json.loads((tmp_path / "ranking" / "ranking.json").read_text())
    with open(tmp_path / "ranking" / "ranking.csv", newline="") as file:
        assert [line["name"] for line in csv.DictReader(file)] == [row["name"] for row in ranking["candidates"]]
    params = json.loads((tmp_path / "ranking" / "params.json").read_text())
    assert params["recipe"] == "rank_backbones"
    assert params["options"] == {"backbone": ["small_cnn=none@16", "mlp=none"], "measure_steps": False, "seed": 0}
    printed = json.loads(toolkit("rank-backbones", photos, *TWO[:2], TWO[-1], "--json").stdout)
    (same,) = (row for row in ranking["candidates"] if row["name"] == "small_cnn=none@16")
    assert printed["candidates"][0]["logme"] == same["logme"]
    refused = toolkit("rank-backbones", "no-such.csv", *TWO, "--output", tmp_path / "ranking")
    assert refused.exit_code == 1 and "nothing is overwritten" in refused.stderr


@pytest.mark.parametrize(("name", "words"), [
    ("resnet9000", "no backbone 'resnet9000'"),
    ("small_cnn", "no ImageNet weights"),
    ("small_cnn=no-such.keras", "no-such.keras"),
    ("small_cnn=", "write small_cnn, small_cnn=none or small_cnn=FILE"),
    ("small_cnn=none@2", "between 8 and 4096"),
    ("", "'' names no backbone"),
    ("=none@32", "'=none@32' names no backbone")])
def test_refusals_are_one_line_and_leave_nothing(name: str, words: str, photos: Path, tmp_path: Path, toolkit: Toolkit
                                                 ) -> None:
    result = toolkit("rank-backbones", photos, "--backbone", name, "--output", tmp_path / "ranking")
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr.splitlines()[-1] and result.stderr.count("Error: ") == 1
    assert not (tmp_path / "ranking").exists()


@pytest.mark.parametrize(("text", "backbone", "weights", "size"), [
    ("small_cnn", "small_cnn", "imagenet", None),
    ("Small-CNN@24", "small_cnn", "imagenet", 24),
    ("resnet18=none", "resnet18", "none", None),
    ("resnet18=/data/a=b@c.pth@160", "resnet18", "/data/a=b@c.pth", 160)])
def test_candidates(text: str, backbone: str, weights: str, size: int | None) -> None:
    found = candidate(text, seed=5)
    assert (found.backbone, found.weights, found.image_size, found.seed) == (backbone, weights, size, 5)


def test_a_size_that_is_none_is_part_of_the_name() -> None:
    with pytest.raises(ToolkitError, match="no backbone 'resnet18@big'"):
        candidate("resnet18@big")
