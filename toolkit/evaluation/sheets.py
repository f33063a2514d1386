"""A sheet of pictures and words, laid out in pixels, as a PNG file.

It needs matplotlib (extra `plots`), which is imported when the first sheet is begun. No title is cut off, no picture
changes its aspect, and small pictures are enlarged without blur, so that their pixels can be seen.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from toolkit import ToolkitError, atomic_files
from toolkit.evaluation.text_tables import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN, GAP = 24, 8  # pixels
TITLE, TEXT, SMALL = 22, 17, 14  # heights of letters, in pixels
LINE = 1.5  # from one line of text to the next, over the height of letters
_DPI = 100
_COLOURS = "inferno"

Box = tuple[float, float, float, float]
"""Left, right, bottom and top, in pixels from the upper left corner of the sheet."""


# ---- A sheet ------------------------------------------------------------------------------------------------------


def check(paths: Sequence[str | Path]) -> None:
    """Refuses before anything is computed what could not be drawn or written afterwards.

    Args:
        paths: of the PNG files.

    Raises:
        ToolkitError: matplotlib is missing, or one of the files exists.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ToolkitError('Pictures need matplotlib, which is not installed: pip install "toolkit[plots]".') from error
    for path in paths:
        if os.path.lexists(path):
            raise ToolkitError(f"{path} exists already, and nothing is overwritten: choose another folder or name.")


def begin(width: float, height: float, title: str, lines: Sequence[str]) -> tuple["Axes", float]:
    """An empty sheet with its words on top.

    Args:
        width: of what will be drawn, in pixels, without margins.
        height: likewise, without the words on top.
        title: first line.
        lines: below it, in small letters.

    Returns:
        Axes in pixels, rows downwards; and the row in which the drawing begins, `MARGIN` from the left.

    Raises:
        ToolkitError: matplotlib is missing.
    """
    check([])
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    top = MARGIN + LINE * TITLE + len(lines) * LINE * SMALL + GAP
    width, height = math.ceil(width + 2 * MARGIN), math.ceil(top + height + MARGIN)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    write(axes, MARGIN, MARGIN + TITLE / 2, title, size=TITLE)
    for number, line in enumerate(lines):
        write(axes, MARGIN, MARGIN + LINE * (TITLE + SMALL * (number + 0.4)), line, size=SMALL, colour="dimgrey")
    return axes, math.ceil(top)


def save(axes: "Axes", path: str | Path) -> None:
    """Writes a sheet as a PNG file, whole or not at all.

    Raises:
        ToolkitError: the file exists or cannot be written.
    """
    path, data = Path(path), io.BytesIO()
    check([path])
    with _any_letter():
        axes.figure.savefig(data, format="png", dpi=_DPI, metadata={"Software": None})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.in_place_of(path) as temporary:
            temporary.write_bytes(data.getvalue())
    except OSError as error:
        raise ToolkitError(f"{path} cannot be written: {error.strerror or error}. Choose another folder.") from error


# ---- What is on it ------------------------------------------------------------------------------------------------


def write(axes: "Axes", left: float, middle: float, words: str, *, size: float, width: float | None = None,
          colour: str = "black") -> None:
    """Writes one line, cut with an ellipsis where it is too wide.

    Args:
        axes: the sheet.
        left: in pixels.
        middle: of the letters' height, in pixels from the top.
        words: whatever they hold; a letter that the font lacks becomes a box.
        size: height of the line's letters, in pixels.
        width: in pixels; None: to the right margin.
        colour: of the letters.
    """
    words, width = printable(words), width or axes.get_xlim()[1] - MARGIN - left
    text = axes.text(left, middle, words, fontsize=0.8 * size * 72 / _DPI, va="center", color=colour, parse_math=False)
    with _any_letter():
        while words and text.get_window_extent().width > width:
            words = words[:-1]
            text.set_text(f"{words}\N{HORIZONTAL ELLIPSIS}")


@contextmanager
def _any_letter() -> Iterator[None]:
    """Says nothing of letters that the font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")  # of scripts from the right
        yield


def place(axes: "Axes", picture: np.ndarray, left: float, top: float, side: float) -> Box:
    """Draws a picture as large as it fits into a square, at its top and in the middle across, in a thin frame.

    Args:
        axes: the sheet.
        picture: (H, W, 3) uint8, or float in [0, 1].
        left: of the square, in pixels.
        top: likewise.
        side: likewise.

    Returns:
        Where the picture is.
    """
    height, width = fitted(picture, side)
    left += (side - width) // 2
    box = (left, left + width, top + height, top)
    channels = [resized(picture[..., channel], height, width, smooth=picture.shape[0] > height) for channel in range(3)]
    draw(axes, np.stack(channels, axis=-1), box)
    frame(axes, box, edgecolor="lightgrey", linewidth=0.7)
    return box


def draw(axes: "Axes", pixels: np.ndarray, box: Box) -> None:
    """Draws pixels, (height, width, 3 or 4) in [0, 1], that have the size of the box."""
    axes.imshow(np.clip(pixels, 0, 1), extent=box, aspect="auto", interpolation="nearest")


def frame(axes: "Axes", box: Box, **style: object) -> None:
    """Draws the edges of a box in a style of `matplotlib.patches.Rectangle`."""
    from matplotlib.patches import Rectangle

    left, right, bottom, top = box
    axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, **style))


def outline(axes: "Axes", where: np.ndarray, box: Box) -> None:
    """Draws a line around the parts of a map (H, W) in [0, 1] over a picture that are above a half."""
    left, right, bottom, top = box
    values = np.pad(resized(where, round(bottom - top), round(right - left), smooth=True), 1)
    if values.max() > 0.5:
        for colour, width in (("black", 3), ("yellow", 1.5)):
            axes.contour(values, levels=[0.5], extent=(left, right, top, bottom), colors=colour, linewidths=width)


# ---- Pixels -------------------------------------------------------------------------------------------------------


def fitted(picture: np.ndarray, side: float) -> tuple[int, int]:
    """Height and width of a picture whose longer side becomes ``side``.

    Example:
        >>> fitted(np.zeros((50, 100, 3)), 360)
        (180, 360)
    """
    scale = side / max(picture.shape[:2])
    return max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))


def resized(values: np.ndarray, height: int, width: int, *, smooth: bool) -> np.ndarray:
    """(H, W) uint8 as float32 in [0, 1], or float, in another size; smooth or with its pixels seen."""
    values = values / np.float32(255) if values.dtype == np.uint8 else values.astype(np.float32)
    method = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(values).resize((width, height), method))


def coloured(shades: np.ndarray) -> np.ndarray:
    """(h, w) in [0, 1] as (h, w, 3) colours, from black over red to light yellow."""
    import matplotlib

    return matplotlib.colormaps[_COLOURS](np.clip(shades, 0, 1))[..., :3]
