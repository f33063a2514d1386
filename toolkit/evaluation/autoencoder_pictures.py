"""Pictures of an autoencoder: what it reconstructs, what its units look for, where its codes lie, how it was trained.

They need matplotlib (extra `plots`), which is imported when the first one is drawn.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit import ToolkitError, atomic_files
from toolkit.evaluation import sheets
from toolkit.evaluation.sheets import GAP, MARGIN, TEXT
from toolkit.evaluation.text_tables import printable, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TILE, NAMES = 84, 190  # pixels: side of a picture, width of the names on the left
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#B5A800")  # Okabe and Ito
MARKERS = "os^Dv"
MAX_NAMED_CLASSES = 30
_DPI = 120


# ---- Pictures beside each other -----------------------------------------------------------------------------------


def rows_of_pictures(rows: Mapping[str, np.ndarray], path: str | Path, *, title: str, lines: Sequence[str] = ()
                     ) -> None:
    """Draws named rows of pictures, the same picture below itself.

    Args:
        rows: name -> (n, H, W, 3) uint8, as many in each row.
        path: the new PNG file.
        title: first line.
        lines: below it.

    Raises:
        ToolkitError: matplotlib is missing, or the file exists or cannot be written.
    """
    count, step = max(map(len, rows.values())), TILE + GAP
    axes, top = sheets.begin(NAMES + count * step - GAP, len(rows) * step - GAP, title, lines)
    for number, (name, pictures) in enumerate(rows.items()):
        sheets.write(axes, MARGIN, top + number * step + TILE / 2, name, size=TEXT, width=NAMES - GAP)
        for column, picture in enumerate(pictures):
            sheets.place(axes, picture, MARGIN + NAMES + column * step, top + number * step, TILE)
    sheets.save(axes, path)


# ---- Charts -------------------------------------------------------------------------------------------------------


def code_map(maps: Mapping[str, np.ndarray], axis_names: Mapping[str, tuple[str, str]], labels: np.ndarray,
             class_names: Sequence[str], path: str | Path, *, title: str) -> None:
    """Draws codes in two dimensions, once for each way of bringing them there, in the colours of their classes.

    Args:
        maps: name -> (n, 2), NaN where a row is left out.
        axis_names: name -> what the axes are, with their unit.
        labels: (n,) int, -1 without label.
        class_names: C names.
        path: the new PNG file.
        title: first line.

    Raises:
        ToolkitError: matplotlib is missing, or the file exists or cannot be written.
    """
    figure, panels = _figure(title, len(maps))
    for axes, (name, places) in zip(panels, maps.items(), strict=True):
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_xlabel(axis_names[name][0])
        axes.set_ylabel(axis_names[name][1])
        axes.scatter(*places[labels < 0].T, s=8, color="lightgrey", linewidths=0, plotnonfinite=False)
        for number in np.unique(labels[labels >= 0]):
            _one_class(axes, places[labels == number], int(number), class_names)
    _save(figure, path)


def _one_class(axes: "Axes", places: np.ndarray, number: int, class_names: Sequence[str]) -> None:
    colour = COLOURS[number % len(COLOURS)]
    marker, places = MARKERS[number // len(COLOURS) % len(MARKERS)], places[np.isfinite(places).all(axis=1)]
    axes.scatter(*places.T, s=10, color=colour, marker=marker, linewidths=0, alpha=0.7)
    if len(places) and len(class_names) <= MAX_NAMED_CLASSES:
        axes.text(*np.median(places, axis=0), shortened(printable(class_names[number]), 14), color="black",
                  ha="center", va="center", fontsize=10, fontweight="bold", parse_math=False,
                  bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 1, "edgecolor": colour, "pad": 1.5})


def activity(values: np.ndarray, path: str | Path, *, title: str, what: str, target: float | None = None) -> None:
    """Draws a histogram of how active the codes are.

    Args:
        values: (F,) one for each code.
        path: the new PNG file.
        title: first line.
        what: the values are, with their unit.
        target: what they aim at; None: nothing.

    Raises:
        ToolkitError: matplotlib is missing, or the file exists or cannot be written.
    """
    figure, (axes,) = _figure(title, 1)
    axes.hist(values, bins=min(50, max(10, len(values) // 10)), color=COLOURS[0])
    if target is not None:
        axes.axvline(target, color=COLOURS[3], linestyle="--", linewidth=2, label=f"target {target:g}")
    axes.axvline(float(np.mean(values)), color="black", linewidth=1.5, label=f"mean {np.mean(values):.3g}")
    axes.set_xlabel(what)
    axes.set_ylabel(f"codes, of {len(values):,}")
    axes.legend(frameon=False)
    _save(figure, path)


def losses(history: Sequence[Mapping[str, Any]], path: str | Path, *, title: str) -> None:
    """Draws the training loss of each epoch, a curve for each layer.

    Args:
        history: rows with epoch, loss and, of several layers, layer.
        path: the new PNG file.
        title: first line.

    Raises:
        ToolkitError: matplotlib is missing, or the file exists or cannot be written.
    """
    figure, (axes,) = _figure(title, 1)
    layers = sorted({row.get("layer", 1) for row in history})
    for number, layer in enumerate(layers):
        rows = [row for row in history if row.get("layer", 1) == layer and row["loss"] is not None]
        axes.plot([row["epoch"] for row in rows], [row["loss"] for row in rows], color=COLOURS[number % len(COLOURS)],
                  marker=MARKERS[number % len(MARKERS)] if len(rows) < 30 else None, label=f"layer {layer}")
    found = [row["loss"] for row in history if row["loss"]]
    if found and 0 < 10 * min(found) < max(found):
        axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss of an image, summed over its values")
    axes.grid(alpha=0.3)
    if len(layers) > 1:
        axes.legend(frameon=False)
    _save(figure, path)


def _figure(title: str, count: int) -> tuple["Figure", list["Axes"]]:
    sheets.check([])
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8 if count == 1 else 6.5 * count, 5 if count == 1 else 6), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(1, count, number) for number in range(1, count + 1)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(shortened(title, 90), parse_math=False, ha="left", x=0.02)
    return figure, panels


def _save(figure: "Figure", path: str | Path) -> None:
    path, data = Path(path), io.BytesIO()
    sheets.check([path])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a letter that the font lacks is drawn as a box
        figure.savefig(data, format="png", dpi=_DPI, metadata={"Software": None})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.in_place_of(path) as temporary:
            temporary.write_bytes(data.getvalue())
    except OSError as error:
        raise ToolkitError(f"{path} cannot be written: {error.strerror or error}. Choose another folder.") from error


# ---- Units --------------------------------------------------------------------------------------------------------


def unit_tiles(pictures: np.ndarray, path: str | Path, *, title: str, lines: Sequence[str] = ()) -> None:
    """Draws what units look for side by side, each scaled to its largest value; grey is zero.

    Args:
        pictures: (K, h, w, C), C 3 for colour or 1.
        path: the new PNG file.
        title: first line.
        lines: below it.

    Raises:
        ToolkitError: matplotlib is missing, or the file exists or cannot be written.
    """
    largest = np.abs(pictures).max(axis=(1, 2, 3), keepdims=True)
    shades = np.broadcast_to(0.5 + 0.5 * pictures / np.where(largest > 0, largest, 1), (*pictures.shape[:3], 3))
    columns = max(10, math.ceil(math.sqrt(2 * len(shades))))
    side = max(56, pictures.shape[1] * max(1, 56 // pictures.shape[1]))
    step = side + GAP
    axes, top = sheets.begin(columns * step - GAP, math.ceil(len(shades) / columns) * step - GAP, title,
                             [*lines, "Grey is zero; each picture is scaled to its largest value."])
    for number, shade in enumerate(shades):
        row, column = divmod(number, columns)
        sheets.place(axes, shade, MARGIN + column * step, top + row * step, side)
    sheets.save(axes, path)
