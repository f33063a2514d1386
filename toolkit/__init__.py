"""toolkit: transfer and semi-supervised learning from a CSV of image paths, on Keras and TensorFlow.

    from toolkit.tables import read_table          # CSV, folders, .npz, tfds -> Table
    from toolkit.models import backbones           # backbones.build(name) -> keras.Model from image to features
    from toolkit.training import Settings, features
    from recipes import fine_tune, linear_probe    # fine_tune.run(table, output=...) -> report

Importing this package loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__version__ = "0.1.0"


class ToolkitError(ValueError):
    """A refusal the user can act on: what was received, what was expected, how to fix it.

    Attributes:
        exit_code: what the command line ends with: 1, or 75 where the same command with --resume goes on.
    """

    exit_code = 1


def cache_folder() -> Path:
    """Where features and unpacked sets are kept: ``$TOOLKIT_CACHE``, else ``~/.cache/toolkit``."""
    import os
    from pathlib import Path

    return Path(os.environ.get("TOOLKIT_CACHE") or Path.home() / ".cache" / "toolkit")
