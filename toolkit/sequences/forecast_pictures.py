"""A picture of forecasts over the values that came, where matplotlib (extra ``plots``) is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolkit import atomic_files
from toolkit.evaluation.text_tables import shortened
from toolkit.sequences.windows import Cut
from toolkit.tables.time_series import TimeSeries
from toolkit.training.progress import say

NUM_SERIES = 4
_DPI = 100


def draw(path: Path, table: TimeSeries, found: Cut, forecasts: np.ndarray, name: str) -> None:
    """Draws the last part of the first series, with forecasts from every horizon-th origin; never an existing file.

    Args:
        path: the PNG file.
        table: the series.
        found: cut in time.
        forecasts: (k, H) of the test windows, in multiples of the scale.
        name: of the forecaster.
    """
    if path.exists():
        return
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        say('No picture of the forecasts: matplotlib is not installed (pip install "toolkit[plots]").')
        return
    count, horizon = min(NUM_SERIES, len(table.names)), forecasts.shape[1]
    figure = Figure(figsize=(10, 0.6 + 2.9 * count), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    test = found.parts["test"]
    for number, axes in enumerate(figure.subplots(count, squeeze=False)[:, 0]):
        values, scale, mean = found.values[number], found.scales[number], found.means[number]
        border = int(found.borders[number, 1])
        first = max(0, border - (len(values) - border))
        axes.plot(np.arange(first, len(values)), values[first:], color="black", linewidth=1, label="values")
        for k in np.flatnonzero(test.series == number)[::horizon]:
            steps = test.origins[k] + np.arange(horizon)
            axes.plot(steps, forecasts[k] * scale + mean, color="C0", marker="." if horizon < 3 else None)
        axes.plot([], [], color="C0", label=f"{name}, {horizon} {'step' if horizon == 1 else 'steps'} ahead")
        axes.axvline(border, color="grey", linestyle="--", linewidth=1, label="end of what was learnt from")
        axes.set_title(shortened(table.names[number] or table.source, 90), parse_math=False, loc="left", fontsize=10)
        axes.set_xlabel("time step")
        axes.set_ylabel("value")
        axes.legend(loc="upper left", fontsize=8)
        axes.grid(alpha=0.3)
    with atomic_files.in_place_of(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, metadata={"Software": None})
