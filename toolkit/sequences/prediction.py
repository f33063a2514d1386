"""A finished run of a task on other rows: tags of their tokens, forecasts beyond their end, their bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.models import classifiers
from toolkit.sequences import forecasting, generation, language_models, tagging, tasks
from toolkit.tables import read_table, tagged_texts
from toolkit.tables.errors import listed


def lines(run: str | Path, task: str, source: str, values: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The header and the lines of a CSV.

    Args:
        run: folder of a finished run.
        task: of it, one of ``tasks.TASKS``.
        source: the table.
        values: by name of option, as of ``tasks.read``.

    Raises:
        ToolkitError: the run or the table cannot be used.
    """
    return {"tag": _tags, "forecast": _forecasts, "language-model": _bits}[task](Path(run), source, values)


def _tags(run: Path, source: str, values: Mapping[str, Any]) -> Iterator[list[Any]]:
    """As predictions.csv of the run."""
    model, class_names = classifiers.load(run / "model.keras")
    own = {name: values[name] for name in tasks.ARGUMENTS["tag"] if name in values}
    table = tagged_texts.read(source, class_names=class_names, **own)
    return tagging.lines(table, tagging.predict(model, table))


def _forecasts(run: Path, source: str, values: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The values after the end of each series."""
    model, _ = classifiers.load(run / "model.keras")
    known, lags = model.get_layer("lookup").get_vocabulary()[1:], model.inputs[1].shape[1]
    table = tasks.read("forecast", source, values)
    yield ["series", "origin", "step", "forecast"]
    for name, times, row in zip(table.names, table.times, table.values):
        filled = forecasting.windows_.filled(row)[0]
        if forecasting.named(name) not in known:
            raise ToolkitError(f"{source}: series {name!r} is none of those that {run} learnt ({listed(known, 5)}), so "
                               f"its scale is not known: train with it.")
        if len(filled) < lags:
            raise ToolkitError(f"{source}: {f'series {name!r}' if name else 'the series'} has {len(filled)} values, "
                               f"and {run} forecasts from {lags}.")
        last = tf.constant(filled[None, -lags:], model.inputs[1].dtype)
        ahead = model([tf.constant([[forecasting.named(name)]]), last])
        yield from ([name, times[-1], step + 1, float(value)] for step, value in enumerate(ahead.numpy()[0]))


def _bits(run: Path, source: str, values: Mapping[str, Any]) -> Iterator[list[Any]]:
    """As predictions.csv of the run."""
    found = generation.load(run)
    own = {name: values[name] for name in ("text_column", "split_column", "group_column") if name in values}
    table = read_table(source, kind="text", label_column=None, require_labels=False, **own)
    number = {token: i for i, token in enumerate(found.vocabulary)}
    pieces = [language_models.split(text, found.tokens) for text in table.inputs]
    end = language_models.END_NUMBER
    rows = [np.array([end, *(number.get(token, generation.UNKNOWN) for token in row), end], np.int32) for row in pieces]
    return language_models.lines(table, pieces, language_models.row_bits(found.network, rows, found.max_length))
