"""Tables without files, for tests of scores and reports."""

from collections.abc import Callable

import numpy as np
import pytest

from toolkit.tables import RejectedRow, Table


@pytest.fixture
def make_table() -> Callable[..., Table]:
    """Build a table from labels and splits; row numbers run against its order, as after canonical sorting."""
    return table_of


def table_of(labels: list[int], splits: list[str], class_names: tuple[str, ...] = ("cat", "dog"), *,
             names: list[str] | None = None, groups: list[str] | None = None,
             rejected: tuple[RejectedRow, ...] = (), notes: tuple[str, ...] = ()) -> Table:
    count = len(labels)
    taken = {row.row for row in rejected}
    free = [row for row in range(1, count + len(rejected) + 1) if row not in taken]
    names = names or [f"images/{number}.jpg" for number in range(count)]
    return Table(
        kind="image", inputs=np.array([f"/data/{name}" for name in names], dtype=object),
        names=np.array(names, dtype=object), labels=np.array(labels, dtype=np.int64),
        splits=np.array(splits, dtype=object), groups=None if groups is None else np.array(groups, dtype=object),
        rows=np.array(free[::-1], dtype=np.int64), class_names=class_names,
        checksums=np.array([f"{number:064x}" for number in range(count)], dtype=object),
        decoders=np.zeros(count, dtype=np.uint8), sizes=np.full((count, 2), 32, dtype=np.int32), channels=3, array=None,
        rejected=rejected, notes=notes, source="photos.csv")
