"""Every picture of an autoencoder becomes a PNG file that can be read, and nothing is overwritten."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolkit import ToolkitError
from toolkit.evaluation import autoencoder_pictures as pictures

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (5, 12, 10, 3), np.uint8)
PLACES = RANDOM.normal(size=(40, 2))
SOME = np.where(np.arange(40)[:, None] % 4 == 3, np.nan, PLACES)  # the rows of one class are left out
LABELS = np.arange(40) % 4 - 1
DRAWINGS: dict[str, Callable[[Path], None]] = {
    "rows": partial(pictures.rows_of_pictures, {"image": IMAGES, "noisy": IMAGES[:3]}, title="Rows", lines=("below",)),
    "units": partial(pictures.unit_tiles, RANDOM.normal(size=(30, 6, 6, 1)), title="Units"),
    "map": partial(pictures.code_map, {"one": PLACES, "two": SOME}, {"one": ("x", "y"), "two": ("u", "v")}, LABELS,
                   ("cat", "$dog$", "a name that is much too long"), title="Map"),
    "activity": partial(pictures.activity, RANDOM.uniform(size=200), title="Activity", what="share", target=0.1),
    "constant": partial(pictures.activity, np.zeros(5), title="Activity", what="share"),
    "losses": partial(pictures.losses, [{"epoch": e, "loss": 100.0 / e**2, "layer": layer} for layer in (1, 2)
                                        for e in range(1, 9)], title="Losses"),
    "one epoch": partial(pictures.losses, [{"epoch": 1, "loss": 3.0}], title="Losses")}


@pytest.mark.parametrize("name", list(DRAWINGS))
def test_it_is_drawn_and_not_overwritten(name: str, tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "drawn.png"
    DRAWINGS[name](path)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[0] > 100 and pixels.shape[1] > 300 and (pixels != 255).any()
    with pytest.raises(ToolkitError, match="nothing is overwritten"):
        DRAWINGS[name](path)


def test_zero_is_grey_and_the_largest_value_is_white_or_black(tmp_path: Path) -> None:
    units = np.zeros((2, 4, 4, 1))
    units[0, :2], units[1, :2] = 3.0, -0.2
    pictures.unit_tiles(units, tmp_path / "units.png", title="Units")
    with Image.open(tmp_path / "units.png") as picture:
        shades = set(np.unique(np.asarray(picture.convert("L"))).tolist())
    assert {0, 255} <= shades and shades & {127, 128}
