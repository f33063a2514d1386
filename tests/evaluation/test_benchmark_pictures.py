"""The pictures of a benchmark."""

import sys
from pathlib import Path
from typing import Any

import pytest

from toolkit import ToolkitError
from toolkit.evaluation import benchmark_pictures

REPORT: dict[str, Any] = {"source": "t$x$.csv", "rows": [
    {"name": "majority class", "kind": "plain", "failure": "", "error": 0.9, "interval95": [0.85, 0.93],
     "seconds": 0.0},
    {"name": "_$net$ \N{SNOWMAN}", "kind": "network", "failure": "", "error": 0.005, "interval95": [0.001, 0.01],
     "seconds": 900.0},
    {"name": "none", "kind": "network", "failure": "out of memory"},
    {"name": "LDA on pixels", "kind": "plain", "failure": "", "error": 0.127, "interval95": [0.12, 0.13],
     "seconds": 3.0}]}
CURVES: dict[str, Any] = {"source": "t.csv", "labelled_rows": [10, 50, 400], "rows": [
    {"name": "majority class", "kind": "plain", "points": [{"error": 0.9, "interval95": [0.88, 0.92]}] * 3},
    {"name": "net", "kind": "network", "points": [{"error": 0.5, "interval95": [0.3, 0.6]}, None,
                                            {"error": 0.1, "interval95": [0.05, 0.2]}]},
    {"name": "failed", "kind": "network", "points": [None] * 3}]}


@pytest.mark.parametrize(("draw", "report"), [(benchmark_pictures.error_and_time, REPORT),
                                              (benchmark_pictures.curves, CURVES)])
def test_pictures_are_drawn_and_drawn_again(draw: Any, report: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    for _ in range(2):
        draw(report, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.width > 800
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("seconds", [0.01, 10.0, 0.0265, 0.036, 0.2414, 1.9361, 3.1844038757662956, 4.0128, 5.8092])
def test_one_row_is_drawn_whatever_its_time(seconds: float, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    only = {**REPORT["rows"][3], "seconds": seconds}
    benchmark_pictures.error_and_time({"source": "t.csv", "rows": [REPORT["rows"][0], only]}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


@pytest.mark.parametrize("count", [1, 10, 36, 1000])
def test_one_number_of_labels_is_drawn(count: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    only = {"name": "net", "kind": "network", "points": [CURVES["rows"][1]["points"][0]]}
    benchmark_pictures.curves({"source": "t.csv", "labelled_rows": [count], "rows": [only]}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_missing_matplotlib_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ToolkitError, match=r'pip install "toolkit\[plots\]"'):
        benchmark_pictures.error_and_time(REPORT, tmp_path / "picture.png")
