"""From a table to batches of tensors; which module does it follows from ``table.kind``.

Recipes and training call these functions and never ``images`` or ``sequences`` directly, so that a new kind of input
changes one line.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.inputs import images, sequences

if TYPE_CHECKING:
    from toolkit.tables import Table

_KINDS = {"image": images, "text": sequences, "series": sequences}


def examples(table: "Table") -> list[Any]:
    """What a new network on texts or series learns its vocabulary or statistics from; see ``sequences.examples``."""
    return [] if table.kind == "image" else sequences.examples(table)


def num_cut(table: "Table", preprocessing: Any) -> int:
    """How many texts or series are longer than what is kept of them; see ``sequences.num_cut``."""
    return 0 if table.kind == "image" else sequences.num_cut(table, preprocessing)


def evaluation_batches(table: "Table", indices: np.ndarray, **options: Any) -> tf.data.Dataset:
    """Batches without labels or randomness, in the order of ``indices``; see ``images.evaluation_batches``."""
    return _module(table).evaluation_batches(table, indices, **options)


def training_batches(table: "Table", indices: np.ndarray, **options: Any) -> tf.data.Dataset:
    """Infinite shuffled and augmented batches with labels; see ``images.training_batches``."""
    return _module(table).training_batches(table, indices, **options)


def explained(table: "Table", work: Callable[[], Any]) -> Any:
    """Runs ``work()``; a file that broke since it was checked becomes one sentence; see ``images.explained``."""
    return _module(table).explained(table, work)


def _module(table: "Table") -> ModuleType:
    if table.kind not in _KINDS:
        raise ToolkitError(f"{table.source}: rows of kind {table.kind!r} cannot be made into batches; "
                           f"the kinds are {', '.join(_KINDS)}.")
    return _KINDS[table.kind]
