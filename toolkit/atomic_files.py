"""Files that appear whole or not at all, however the process ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``: what is written there takes its place once it is on the disk.

    Two processes may write the same path at once. After an error nothing is left of the new content; a process that
    is killed leaves a hidden file whose name holds ``.tmp``.

    Args:
        path: the file to make or to replace, in a folder that exists.

    Raises:
        OSError: if the disk refuses.

    Example:
        >>> folder.mkdir()
        >>> with in_place_of(folder / "notes.txt") as temporary:
        ...     _ = temporary.write_text("all of it")
        >>> (folder / "notes.txt").read_text()
        'all of it'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()
