"""TensorFlow imported without the lines it writes to stderr while its libraries are loaded."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator


def load() -> None:
    """Imports TensorFlow, if that has not been done, with nothing on stderr; a failure is still an exception.

    ``TF_CPP_MIN_LOG_LEVEL`` counts only after the libraries are loaded, so until then stderr itself is shut.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        with _shut_stderr():
            importlib.import_module("tensorflow")


@contextlib.contextmanager
def _shut_stderr() -> Iterator[None]:
    """File descriptor 2 leads nowhere; C++ writes to it directly."""
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError):  # there is no stderr to shut
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
