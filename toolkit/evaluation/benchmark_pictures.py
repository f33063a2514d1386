"""Pictures of a benchmark: error against wall time, and learning curves with bands.

They need matplotlib (extra `plots`), which is imported when the first one is drawn.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import ToolkitError, atomic_files
from toolkit.evaluation.benchmark_tables import MAJORITY
from toolkit.evaluation.text_tables import printable, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUM_COLOURS = 10
MARKERS = {"network": "oPXd", "unlabelled": "^v<>", "plain": "sDph"}
NOTE = "circles: trained networks; triangles: unlabelled rows too; squares: plain"
NAME_WIDTH = 40
FAR = 2  # times the largest error: there the majority class is not drawn, so that the others can be told apart
SHORTEST = 0.01  # seconds that are drawn
MARGIN = 1.3  # the factor on either side of an axis of logarithms
WIDE = 4  # that of values of one size: more than a decade is shown, and with it a power of ten
_DPI = 120


def error_and_time(report: Mapping[str, Any], path: str | Path) -> None:
    """Draws the error of each row, with its interval, against its wall time; a file of that name is replaced.

    Args:
        report: of a benchmark.
        path: the PNG file.

    Raises:
        ToolkitError: matplotlib is missing, or the file cannot be written.
    """
    axes = _axes(f"Benchmark on {report['source']}", "seconds (log scale)", "test error in %, 95 % intervals")
    shown = sorted((row for row in report["rows"] if not row["failure"]), key=lambda row: row["error"])
    others = [100 * row["error"] for row in shown if row["name"] != MAJORITY] or [100.0]
    times: list[float] = []
    for number, row in enumerate(shown):
        name, error = _name(row), 100 * row["error"]
        if row["name"] == MAJORITY:
            axes.plot([], linestyle="--", color="grey", label=f"{name}: {error:.1f} %")
            if error < FAR * max(others):
                axes.axhline(error, linestyle="--", color="grey", zorder=0)
            continue
        low, high = (100 * bound for bound in row["interval95"])
        times.append(max(row["seconds"], SHORTEST))
        axes.errorbar(times[-1], error, yerr=[[max(error - low, 0)], [max(high - error, 0)]], capsize=3,
                      fmt=_marker(row, number), color=_colour(number), label=name, markersize=8)
    times = times or [1.0]
    _logarithmic(axes, times, MARGIN if max(times) > 10 * min(times) else WIDE)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if 0 < 10 * min(others) < max(others):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axes.set_ylim(bottom=0)
    _save(axes, path, note=NOTE)


def curves(report: Mapping[str, Any], path: str | Path) -> None:
    """Draws the error of each row against the number of labels, in bands of 95 %; a file of that name is replaced.

    Args:
        report: of a learning curve.
        path: the PNG file.

    Raises:
        ToolkitError: matplotlib is missing, or the file cannot be written.
    """
    axes = _axes(f"Learning curve on {report['source']}", "labelled rows (log scale)", "test error in %, 95 % bands")
    for number, row in enumerate(report["rows"]):
        known = [(count, point) for count, point in zip(report["labelled_rows"], row["points"], strict=True) if point]
        if not known:
            continue
        counts = [count for count, _ in known]
        style = {"color": "grey", "linestyle": "--"} if row["name"] == MAJORITY else {"color": _colour(number)}
        axes.plot(counts, [100 * point["error"] for _, point in known], marker=_marker(row, number), label=_name(row),
                  **style)
        low, high = ([100 * point["interval95"][side] for _, point in known] for side in (0, 1))
        axes.fill_between(counts, low, high, alpha=0.15, color=style["color"], linewidth=0)
    _logarithmic(axes, report["labelled_rows"], MARGIN)
    axes.set_xticks(report["labelled_rows"], [f"{count:,}" for count in report["labelled_rows"]])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    _save(axes, path, note=NOTE)


def _axes(title: str, across: str, up: str) -> "Axes":
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolkitError('The picture needs matplotlib, which is not installed: pip install "toolkit[plots]".'
                           ) from error
    figure = Figure(figsize=(10, 5.5), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(shortened(title, 90), parse_math=False, loc="left")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _logarithmic(axes: "Axes", across: Sequence[float], margin: float) -> None:
    """Limits of its own: around a single value, those that matplotlib would choose can be one and the same."""
    axes.set_xscale("log")
    axes.set_xlim(min(across) / margin, max(across) * margin)


def _marker(row: Mapping[str, Any], number: int) -> str:
    """Circles for networks, triangles for rows that learn without labels too, squares for plain methods; other forms
    where colours begin again."""
    return MARKERS[row["kind"]][number // NUM_COLOURS % 4]


def _colour(number: int) -> str:
    return f"C{number % NUM_COLOURS}"


def _name(row: Mapping[str, Any]) -> str:
    name = shortened(printable(row["name"]), NAME_WIDTH).replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name  # matplotlib leaves such a label out


def _save(axes: "Axes", path: str | Path, *, note: str) -> None:
    path, data = Path(path), io.BytesIO()
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9, title=note, title_fontsize=8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a letter that the font lacks is drawn as a box
        axes.figure.savefig(data, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    try:
        with atomic_files.in_place_of(path) as temporary:
            temporary.write_bytes(data.getvalue())
    except OSError as error:
        raise ToolkitError(f"{path} cannot be written: {error.strerror or error}.") from error
