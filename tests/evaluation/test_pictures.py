"""The PNG files of pictures.py: what is where, in which colour, and what is refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolkit import ToolkitError
from toolkit.evaluation import pictures, sheets

pytest.importorskip("matplotlib")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, height and width of what is true."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def photograph(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_filters_are_scaled_one_by_one_around_grey(tmp_path: Path) -> None:
    filters = np.zeros((3, 2, 2, 3), np.float32)
    filters[0, 0, 0, 0], filters[0, 1, 1, 2] = 0.01, -0.01
    filters[1] = 100.0
    pictures.tiles(filters, tmp_path / "filters.png", title="Filters")
    found = pixels(tmp_path / "filters.png")
    top = found.shape[0] - sheets.MARGIN - pictures.FILTER
    tiles = [found[top:top + pictures.FILTER, sheets.MARGIN + number * (pictures.FILTER + sheets.GAP):]
             for number in range(3)]
    near, far = pictures.FILTER // 4, 3 * pictures.FILTER // 4
    for value, expected in ((tiles[0][near, near], (255, 127, 127)), (tiles[0][far, far], (127, 127, 0)),
                            (tiles[0][near, far], (127, 127, 127)), (tiles[1][near, near], (255, 255, 255)),
                            (tiles[2][far, far], (127, 127, 127))):
        np.testing.assert_allclose(value, expected, atol=1)


def test_filters_of_other_channels_are_grey(tmp_path: Path) -> None:
    pictures.tiles(np.random.default_rng(0).normal(size=(40, 5, 5, 1)), tmp_path / "one.png", title="Grey")
    found = pixels(tmp_path / "one.png")
    assert np.ptp(found, axis=-1).max() == 0 and found.min() == 0


def test_activations_are_sorted_by_how_much_they_vary(tmp_path: Path) -> None:
    values = np.zeros((4, 4, 3), np.float32)
    values[0, 0, 1], values[3, 3, 2] = 1, 5
    path = tmp_path / "activations.png"
    pictures.activation_sheet({"first": values, "dead": np.zeros((2, 2, 1))}, path, title="Activations",
                              picture=photograph(8, 8, (0, 90, 0)))
    found = pixels(path)
    green = (found == (0, 90, 0)).all(axis=-1)
    assert box_of(green)[2] == pytest.approx(2 * pictures.TILE - sheets.GAP, abs=2)
    brightest = (found == (np.array(sheets.coloured(np.ones((1, 1)))[0, 0]) * 255).astype(int)).all(axis=-1)
    columns = np.flatnonzero(brightest.any(axis=0)) - sheets.MARGIN
    first, second = (columns[columns < pictures.TILE], columns[columns >= pictures.TILE] - pictures.TILE - sheets.GAP)
    assert first.min() >= 3 * pictures.TILE // 4 - 1  # channel 2: the lower right place
    assert second.max() <= pictures.TILE // 4  # channel 1: the upper left one


@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (900, 300), (28, 28), (3, 400)])
def test_pictures_keep_their_aspect(shape: tuple[int, int], tmp_path: Path) -> None:
    height, width = shape
    heat = np.zeros(shape, np.float32)
    pictures.heat_map_overlay([photograph(*shape, (0, 200, 0))], [heat], [["name"]], tmp_path / "cam.png", title="CAM",
                              seen=[(0, 0, height, width)])
    found = pixels(tmp_path / "cam.png")
    _, left, drawn_height, drawn_width = box_of((found == (0, 200, 0)).all(axis=-1))
    scale = pictures.PICTURE / max(shape)
    assert drawn_height == pytest.approx(height * scale, abs=3) and drawn_width == pytest.approx(width * scale, abs=3)
    assert left == pytest.approx(sheets.MARGIN + (pictures.PICTURE - width * scale) / 2, abs=3)


def test_heat_is_yellow_where_it_is_and_the_unseen_is_dark(tmp_path: Path) -> None:
    heat = np.zeros((100, 200), np.float32)
    heat[20:40, 60:80] = 1
    pictures.heat_map_overlay([photograph(100, 200, (0, 150, 0))], [heat], [["name", "ants, probability 0.9"]],
                              tmp_path / "cam.png", title="CAM", seen=[(0, 50, 100, 150)])
    found = pixels(tmp_path / "cam.png")
    top, _, height, _ = box_of((found == (0, 150, 0)).all(axis=-1))
    scale, left = pictures.PICTURE / 200, sheets.MARGIN + pictures.PICTURE + sheets.GAP
    assert height == pytest.approx(pictures.PICTURE / 2, abs=2)

    def at(row: int, column: int) -> np.ndarray:
        return found[round(top + row * scale), round(left + column * scale)]

    red, green, blue = at(30, 70)
    assert red > 200 and green > 130 and blue < 130
    seen, unseen = at(70, 100), at(70, 20)
    assert np.ptp(seen) == np.ptp(unseen) == 0 and seen[0] > 2 * unseen[0]


def test_the_outline_is_around_the_response(tmp_path: Path) -> None:
    where = np.zeros((100, 100), np.float32)
    where[40:80, 10:30] = 1
    shown = [photograph(100, 100, (0, 0, 200)), photograph(50, 100, (0, 0, 200))]
    pictures.exciting_sheet(shown, [["1.0", "a.png"], ["0.5", "b.png"]], tmp_path / "exciting.png", title="Unit 3",
                            maps=[where, np.zeros((50, 100), np.float32)])
    found = pixels(tmp_path / "exciting.png")
    top, left, *_ = box_of((found == (0, 0, 200)).all(axis=-1))
    row, column, height, width = box_of((found[..., 0] > 200) & (found[..., 1] > 200) & (found[..., 2] < 100))
    scale = 2 * pictures.TILE / 100
    for value, expected in ((row - top, 40 * scale), (column - left, 10 * scale), (height, 40 * scale),
                            (width, 20 * scale)):
        assert value == pytest.approx(expected, abs=6)


def test_any_name_is_drawn_and_none_is_cut_off(tmp_path: Path) -> None:
    names = ["$x_{2}$ \\frac", "caf\udce9.png", "\u8702 \U0001f41d \u0645\u0631\u062d\u0628\u0627", "a\nb", "w" * 500]
    for number, name in enumerate(names):
        path = tmp_path / f"{number}.png"
        pictures.heat_map_overlay([photograph(9, 9, (9, 9, 9))], [np.zeros((9, 9))], [[name, name]], path, title=name,
                                  seen=[(0, 0, 9, 9)])
        found = pixels(path)
        assert (found[:, -sheets.MARGIN + 2:] == 255).all() and (found[:, :sheets.MARGIN - 2] == 255).all()


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                                 ) -> None:
    path, filters = tmp_path / "new" / "filters.png", np.ones((1, 3, 3, 3))
    pictures.tiles(filters, path, title="Filters")
    assert [file.name for file in path.parent.iterdir()] == ["filters.png"]
    before = path.read_bytes()
    for call in (lambda: pictures.check([path]), lambda: pictures.tiles(filters, path, title="Others")):
        with pytest.raises(ToolkitError, match="filters.png exists already, and nothing is overwritten"):
            call()
    assert path.read_bytes() == before
    with pytest.raises(ToolkitError, match="cannot be written: .*Choose another folder"):
        pictures.tiles(filters, path / "filters.png", title="Filters")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ToolkitError, match=r'pip install "toolkit\[plots\]"'):
        pictures.tiles(filters, tmp_path / "other.png", title="Filters")
    assert not (tmp_path / "other.png").exists()


def test_large_pictures_are_shrunk_before_they_are_kept() -> None:
    assert pictures.shrunk(photograph(3000, 1500, (1, 2, 3))).shape == (720, 360, 3)
    assert pictures.shrunk(np.ones((3000, 1500), np.float32)).shape == (720, 360)
    small = photograph(700, 20, (1, 2, 3))
    assert pictures.shrunk(small) is small


def test_no_global_state_of_pyplot_is_touched(tmp_path: Path) -> None:
    code = ("import sys, numpy; from toolkit.evaluation import pictures; assert 'matplotlib' not in sys.modules\n"
            f"pictures.tiles(numpy.ones((1, 3, 3, 3)), {str(tmp_path / 'a.png')!r}, title='a')\n"
            "assert 'matplotlib.pyplot' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
