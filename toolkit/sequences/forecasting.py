r"""Forecasting: the next H values of a series from the L before them.

With z the values of a series in multiples of its standard deviation from its mean, both of the training part,

.. math:: \hat z_{t+h} = z_t + \sum_l a_{hl} \, z_{t-l+1} + b_h + w_h \cdot f(z_{t-L+1} - z_t, \dots, z_t - z_t),

where a and b are those of linear autoregression, fitted first and left as they are, and f is the last step of an LSTM
or a transformer that reads the window as differences from its last value. At the beginning w is zero: the network
starts as the baseline that it has to beat and learns what that leaves (Zhang 2003). The loss is the squared error.

Beside it stand the last value, the value one season before and linear autoregression, on the same origins.
``model.keras`` takes the name of a series and its last L values as they stand, and gives H values.

References:
    Zhang 2003, https://doi.org/10.1016/S0925-2312(01)00702-0; rolling origins: Tashman 2000,
    https://doi.org/10.1016/S0169-2070(00)00065-0
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.evaluation.report import files
from toolkit.inputs import buckets, shares
from toolkit.models import classifiers
from toolkit.sequences import (batches, forecast_baselines, forecast_pictures, forecast_scores, reports,
                               step_networks)
from toolkit.sequences import windows as windows_
from toolkit.sequences.forecast_baselines import LinearAutoregression
from toolkit.sequences.windows import Cut, Windows
from toolkit.tables.errors import counted
from toolkit.tables.time_series import TimeSeries
from toolkit.training import Settings, devices, run_folders
from toolkit.training.progress import say

NAMES = {"lstm": "LSTM forecast", "transformer": "transformer forecast"}
LAST_VALUE, SEASONAL, LINEAR = "last value", "seasonal naive", "linear autoregression"
DEFAULTS = {"units": 32, "num_layers": 1, "heads": 4, "dropout": 0.1}
BUDGET, FEWEST_EPOCHS, MOST_EPOCHS = 50_000, 20, 100  # windows to show in all


# ---- Network ------------------------------------------------------------------------------------------------------


def build(network: str, linear: LinearAutoregression, options: dict[str, Any]) -> keras.Model:
    """A model z (B, L) -> forecasts (B, H, 1), as the module says.

    Args:
        network: "lstm" or "transformer".
        linear: what it starts from.
        options: of the graph.
    """
    lags, horizon = linear.kernel.shape
    known = keras.Input((lags,), name="known")
    last = known[:, -1:]
    steps = keras.ops.expand_dims(known - last, -1)
    mask = keras.ops.ones_like(known, dtype="bool")
    x = step_networks.body(network, steps, mask, {**DEFAULTS, **options}, causal=True)[:, -1]
    added = keras.layers.Dense(horizon, kernel_initializer="zeros", use_bias=False, name="head")(x)
    start = keras.layers.Dense(horizon, trainable=False, name="linear")
    model = keras.Model(known, keras.ops.expand_dims(last + start(known) + added, -1), name="network")
    start.set_weights([linear.kernel.astype(np.float32), linear.bias.astype(np.float32)])
    return model


def from_values(model: keras.Model, table: TimeSeries, found: Cut) -> keras.Model:
    """Name (B,) and values (B, L) float64 of series as they stand -> forecasts (B, H), the scale of each series inside:
    values may be large beside their deviation."""
    name = keras.Input((1,), dtype="string", name="series")
    values = keras.Input(model.input_shape[1:], dtype="float64", name="values")
    lookup = keras.layers.StringLookup(vocabulary=[named(other) for other in table.names], name="lookup")
    scale = keras.layers.Embedding(len(table.names) + 1, 2, trainable=False, dtype="float64", name="scale")
    mean, deviation = keras.ops.split(scale(lookup(name))[:, 0], 2, axis=1)
    scaled = keras.ops.squeeze(model(keras.ops.cast((values - mean) / deviation, "float32")), -1)
    scaled = keras.ops.cast(scaled, "float64")
    forecast = mean + scaled * deviation  # in this order: Keras takes (H, 1) added to (H, H) for a bias of the columns
    result = keras.Model([name, values], forecast, name="forecaster")
    rows = np.stack([found.means, found.scales], axis=1)
    scale.set_weights([np.concatenate([[[0.0, 1.0]], rows])])
    return result


def named(name: str) -> str:
    """The name of a series in the model; one without is "series"."""
    return name or "series"


def predict(model: keras.Model, known: np.ndarray) -> np.ndarray:
    """The forecasts (k, H) of windows (k, L) float64, in multiples of the scale."""
    call = step_networks.compiled(model, "forecasts", lambda part: model(part, training=False),
                                  tf.TensorSpec((None, known.shape[1]), tf.float32))
    parts = [call(known[i:i + 1024].astype(np.float32)).numpy()[..., 0] for i in range(0, len(known), 1024)]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, model.output_shape[1]))


# ---- Training -----------------------------------------------------------------------------------------------------


class Validation:
    """Held-out windows that choose the epoch by their mean squared error, for ``loop.fit``."""

    def __init__(self, held: Windows, patience: int | None) -> None:
        self.held, self.patience = held, patience

    def scores(self, model: keras.Model) -> dict[str, float]:
        """The error now."""
        return {"validation_loss": float(np.mean((predict(model, self.held.known) - self.held.wanted)**2))}

    def rank(self, row: dict[str, Any]) -> float:
        """Sorts rows of the history: the higher the better."""
        return -row["validation_loss"]


def stream(train: Windows, batch_size: int, seed: int) -> Callable[[int], tf.data.Dataset]:
    """First step -> endless batches (known (B, L), wanted (B, H, 1)), a function of the seed and the step."""
    known, wanted = train.known.astype(np.float32), train.wanted.astype(np.float32)[..., None]
    order = buckets.Order(np.zeros(len(train)), batch_size, seed, window_batches=1)

    signature = tuple(tf.TensorSpec((batch_size, *values.shape[1:]), tf.float32) for values in (known, wanted))
    whole = batches.endless(lambda rows: (known[rows], wanted[rows]), order, signature)
    return lambda first_step: whole(first_step).map(lambda *batch: shares.of_batch(batch))


# ---- The run ------------------------------------------------------------------------------------------------------


def run(table: TimeSeries, *, output: str | Path, settings: Settings, network: str, recipe: str, horizon: int = 1,
        lags: int | None = None, season: int | None = None, resume: bool = False) -> dict[str, Any]:
    """Trains a forecaster and writes a run folder.

    Args:
        table: the series.
        output: the new run folder.
        settings: training, and in ``backbone_options`` the network's own.
        network: "lstm" or "transformer".
        recipe: its name in ``params.json``.
        horizon: H, steps to forecast.
        lags: L, values to forecast from; None: two seasons, at least 8.
        season: steps after which a series resembles itself, such as 12 months; None: none.
        resume: continue a run that was stopped, to the same weights.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder, the series or the options cannot be used.
        KeyboardInterrupt: on Ctrl-C; the same command with ``resume`` continues.
    """
    step_networks.refuse_settings(settings)
    options = {**settings.describe(), "task": "forecast", "horizon": horizon, "lags": lags, "season": season}
    lags = lags or max(8, 2 * (season or 0))
    if season and season > lags:
        raise ToolkitError(f"season is {season}, but only {lags} lags are known to a forecast: raise --lags.")
    with run_folders.begin(output, recipe, table, options, resume=resume) as folder:
        if folder.finished:
            return folder.report
        started = time.monotonic()
        devices.strategy(settings.devices)

        # Data
        found = windows_.cut(table, lags=lags, horizon=horizon)
        train, test = found.parts["train"].complete(), found.parts["test"]
        held = found.parts["validation"].complete()
        if not len(train):
            raise ToolkitError(f"{table.source}: no window of {lags} known and {horizon} wanted values is complete. "
                               f"Lower --lags or --horizon.")
        forecasters = {LAST_VALUE: forecast_baselines.last_value(horizon)}
        forecasters |= {SEASONAL: forecast_baselines.seasonal_naive(horizon, season)} if season else {}
        say(f"fitting {LINEAR}: {len(train):,} windows of {lags} values")
        forecasters[LINEAR] = forecast_baselines.linear_autoregression(train.known, train.wanted)

        # Model and training
        plan, settings = step_networks.plan(settings, len(train), folder.checkpoints, title="forecasting",
                                            budget=BUDGET, fewest=FEWEST_EPOCHS, most=MOST_EPOCHS)
        plan.from_start = True  # the linear forecast may be the best
        model, history = step_networks.train(
            lambda: build(network, forecasters[LINEAR], settings.backbone_options),
            stream(train, settings.batch_size, settings.seed), plan, settings,
            Validation(held, settings.patience) if len(held) else None, loss=keras.losses.MeanSquaredError())
        classifiers.save(from_values(model, table, found), folder.path / "model.keras", [])

        # Report
        beside = {name: forecaster(test.known) for name, forecaster in forecasters.items()}
        training = {"windows": len(train), "network": network, "parameters": model.count_params(), "lags": lags,
                    "horizon": horizon, "epochs": history[-1]["epoch"], "learning_rate": settings.learning_rate,
                    "seconds": round(time.monotonic() - started, 1)}
        forecasts = predict(model, test.known)
        result = _report(table, found, forecasts, beside, NAMES[network], training, settings.seed)
        files.write_csv(folder.path / "forecasts.csv", *_forecast_lines(table, found, model, forecasts, beside))
        forecast_pictures.draw(folder.path / "forecasts.png", table, found, forecasts, NAMES[network])
        reports.write(folder.path, result, predictions=_lines(table, found, model), splits=_splits(table, found),
                      rejected=table.rejected, params=folder.params, history=history)
        return result


# ---- Report -------------------------------------------------------------------------------------------------------


def _report(table: TimeSeries, found: Cut, forecasts: np.ndarray, beside: dict[str, np.ndarray], name: str,
            training: dict[str, Any], seed: int) -> dict[str, Any]:
    test, several = found.parts["test"], len(table.names) > 1
    units = np.ones(len(test)) if several else found.scales[test.series]
    common = {"series": test.series, "units": units, "seed": seed}
    comparisons = {other: forecast_scores.compare(test.wanted, forecasts, values, first_name=name, second_name=other,
                                                  **common) for other, values in beside.items()}
    counts = {part: found.parts[part].num_known for part in windows_.PARTS}
    in_words = ", ".join(f"{part} {count:,}" for part, count in counts.items())
    what = f"{len(table.names):,} series" if several else "one series"
    unit = "standard deviations of each series' training part" if several else "the unit of the series"
    return {
        "recipe": name, "task": "forecast",
        "data": {"source": table.source, "kind": table.kind, "series": len(table.names), "rows": len(table),
                 "windows": counts, "rejected": len(table.rejected), "fingerprint": table.fingerprint,
                 "sentence": f"{what}, {len(table):,} values; {counted(training['horizon'], 'step')} from the "
                             f"{training['lags']} before: {in_words} windows"},
        "training": training, "validation": None, "unit": unit,
        "test": forecast_scores.scores(test.wanted, forecasts, **common),
        "baselines": {other: forecast_scores.scores(test.wanted, values, **common) for other, values in beside.items()},
        "comparisons": comparisons, "control": LINEAR, "notes": list(table.notes),
        "verdict": {name: comparisons[LINEAR][name] for name in ("code", "sentence")},
        "intervals_sentence": f"Mean absolute error in {unit}; [95 % intervals] by blocks of origins."}


def _forecast_lines(table: TimeSeries, found: Cut, model: keras.Model, forecasts: np.ndarray,
                    beside: dict[str, np.ndarray]) -> tuple[list[str], Iterator[list[Any]]]:
    """forecasts.csv: of every test origin and step the value and the forecasts; last, from the end of each series."""
    test, horizon = found.parts["test"], forecasts.shape[1]

    def lines() -> Iterator[list[Any]]:
        for k, (number, origin) in enumerate(zip(test.series, test.origins)):
            offset = len(table.values[number]) - len(found.values[number])  # missing values before the first
            scale, mean = found.scales[number], found.means[number]
            for step in range(horizon):
                position = offset + origin + step
                value = table.values[number][position]
                yield [table.names[number], table.times[number][offset + origin - 1], step + 1,
                       table.times[number][position], "" if np.isnan(value) else float(value),
                       *(float(values[k, step] * scale + mean) for values in (forecasts, *beside.values()))]
        for number, name in enumerate(table.names):
            scaled = (found.values[number] - found.means[number]) / found.scales[number]
            ahead = predict(model, scaled[None, -model.input_shape[1]:])[0]
            for step in range(horizon):
                yield [name, table.times[number][-1], step + 1, "", "",
                       float(ahead[step] * found.scales[number] + found.means[number]), *[""] * len(beside)]

    return ["series", "origin", "step", "time", "value", "forecast", *beside], lines()


def _lines(table: TimeSeries, found: Cut, model: keras.Model) -> Iterator[list[Any]]:
    """predictions.csv: every row of the input with what was forecast for it one step before."""
    yield ["row", "input", "split", "label", "status", "prediction"]
    lags, rejected, lines = model.input_shape[1], {row.row for row in table.rejected}, []
    for number, values in enumerate(found.values):
        offset = len(table.values[number]) - len(values)
        scaled = (values - found.means[number]) / found.scales[number]
        known = np.lib.stride_tricks.sliding_window_view(scaled[:-1], lags)
        ahead = predict(model, known)[:, 0] * found.scales[number] + found.means[number]
        guesses = np.concatenate([np.full(offset + lags, np.nan), ahead])
        for position, row in enumerate(table.rows[number].tolist()):
            value, guess = table.values[number][position], guesses[position]
            lines.append([row, table.times[number][position], found.split(number, position - offset),
                          "" if np.isnan(value) else float(value), "rejected" if row in rejected else "ok",
                          "" if np.isnan(guess) else float(guess)])
    yield from sorted(lines)


def _splits(table: TimeSeries, found: Cut) -> list[tuple[int, str]]:
    return sorted((int(row), found.split(number, position - len(rows) + len(found.values[number])))
                  for number, rows in enumerate(table.rows) for position, row in enumerate(rows))
