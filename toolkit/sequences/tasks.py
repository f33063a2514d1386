"""Which table each task takes whose rows have more than one answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit import ToolkitError
from toolkit.sequences import language_models
from toolkit.tables import Table, read_table, tagged_texts, time_series
from toolkit.tables.tagged_texts import TaggedTexts
from toolkit.tables.time_series import TimeSeries

TASKS = ("tag", "forecast", "language-model")
_SPLITS = ("split_seed", "test_ratio", "validation_ratio")
ARGUMENTS = {
    "tag": ("tokens_column", "tags_column", "split_column", "group_column", *_SPLITS),
    "forecast": ("value_column", "series_column", "time_column"),
    "language-model": ("text_column", "split_column", "group_column", *_SPLITS, "on_bad_image"),
}
"""What each reader is told besides its source."""


def read(task: str, source: str, values: Mapping[str, Any]) -> TaggedTexts | TimeSeries | Table:
    """The table of a task.

    Args:
        task: one of ``TASKS``.
        source: the file.
        values: by name of option; those that the reader does not know are left alone.

    Raises:
        ToolkitError: the table cannot be used, or is to keep some labels of each class.
    """
    if values.get("labels_per_class") is not None:
        raise ToolkitError(f"--labels-per-class keeps some labels of each class, and --task {task} has no classes: "
                           f"leave it out.")
    own = {name: values[name] for name in ARGUMENTS[task] if name in values}
    if task == "tag":
        return tagged_texts.read(source, **own)
    if task == "forecast":
        return time_series.read(source, **own)
    found = read_table(source, kind="text", label_column=None, require_labels=False, **own)
    return language_models.with_splits(found)
