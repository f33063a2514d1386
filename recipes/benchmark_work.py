"""One row of a benchmark with one seed, done in a process of its own.

The process is started afresh ("spawn"), so that its peak memory is its own; it ends when the one that started it does,
however that ends. ``result.json`` is written last: its presence means that the row is done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit import ToolkitError, atomic_files
from toolkit.tables import Table
from toolkit.training import Settings

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SPACES = {"pixels": "pixels", "hog": "HOG", "ngrams": "n-grams", "series": "values", "features": "frozen features"}
SPACES_OF = {"image": ("pixels", "hog", "features"), "text": ("ngrams", "features"), "series": ("series", "features")}
"""Kind of a table -> the spaces of its baselines, the plainest first."""
RANDOM_METHODS = ("radial basis functions", "boosted stumps", "boosted trees", "MiniRocket")
"""Draw more than folds and samples."""
NETWORKS = ("fine_tune", "train_lstm", "train_transformer")
HOG_SIDES = (8, 128)
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Row:
    """A row of a benchmark: a baseline on a space, or a recipe.

    Attributes:
        name: in the table, and as the name of its folder.
        method: key of ``baselines.METHODS``, or own method of the space's kind; "" for a recipe.
        space: key of ``SPACES``; any for the majority class.
        recipe: module of ``recipes``, "" for a baseline.
        settings: of the recipe, or of the backbone of the features.
        options: the recipe's own arguments.
    """

    name: str
    method: str = ""
    space: str = ""
    recipe: str = ""
    settings: Settings = Settings()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """"unlabelled" where unlabelled rows are learnt from, "network" where a network is trained on labelled ones
        alone, else "plain"."""
        if self.recipe in ("", "linear_probe"):
            return "plain"
        return "network" if self.recipe in NETWORKS else "unlabelled"

    @property
    def draws(self) -> bool:
        """Whether the result depends on the seed where the rows and their splits do not."""
        if self.recipe == "linear_probe" or self.method and self.space == "features":
            return self.settings.from_scratch or self.method in RANDOM_METHODS
        return bool(self.recipe) or self.method in RANDOM_METHODS

    def with_seed(self, seed: int) -> "Row":
        """The same row with a seed that follows its own."""
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, seed=self.settings.seed + seed))

    def describe(self) -> dict[str, Any]:
        """What decides the row, JSON-ready."""
        if self.method:
            used = {"settings": self.settings.describe()} if self.space == "features" else {}
            return {"method": self.method, "space": self.space, "seed": self.settings.seed, **used}
        return {"recipe": self.recipe, "settings": self.settings.describe(), "options": dict(self.options)}


def result(table: Table, row: Row, folder: Path, *, prepare: Callable[[], None] | None = None) -> dict[str, Any]:
    """Does a row, unless that was done, and reads what it found.

    Args:
        table: with labelled training and test rows; only a row of kind "unlabelled" sees others.
        row: with the seed to use.
        folder: of its own; for a recipe the run folder.
        prepare: called first in the process.

    Returns:
        dict: hits (t,) bool for the labelled test rows, in the order of the table, control_hits (t,) bool of the
        recipe's own labels-only control, if its kind is "unlabelled", else None, validation_accuracy (None without
        validation rows), seconds, peak_memory_gb, details. Or failure: a sentence.

    Raises:
        ToolkitError: if the folder holds another row, or the result in it is damaged.
    """
    from toolkit.evaluation.report import files

    if row.kind != "unlabelled" and (table.labels < 0).any():
        table = table.select(np.flatnonzero(table.labels >= 0))
    if not (folder / "result.json").is_file():
        failure = _in_own_process(table, row, folder, prepare)
        if failure:
            return {"failure": failure}
    try:
        found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        probabilities = np.load(folder / "probabilities.npy", allow_pickle=False)
        same = found["row"] == _plain(row.describe()) and found["fingerprint"] == table.fingerprint
        test = table.labelled("test")
        hits = probabilities.argmax(axis=1) == table.labels[test]
        control_hits = files.control_hits(folder, table.rows[test]) if row.kind == "unlabelled" else None
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise ToolkitError(f"{folder} holds a damaged result ({error}): remove that folder and resume.") from error
    if not same:
        raise ToolkitError(f"{folder} holds a row of the same name but with other options or data: name this one "
                           f"apart, as in NAME=SPEC, or choose another --output.")
    return {**found, "hits": hits, "control_hits": control_hits}


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value))


# ---- The process that waits ---------------------------------------------------------------------------------------


def _in_own_process(table: Table, row: Row, folder: Path, prepare: Callable[[], None] | None) -> str:
    """Does the row in a new process; returns why it failed, "" if it did not."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, prepare, table, row, folder))
    try:
        process.start()
        sender.close()
        process.join()
        with contextlib.suppress(EOFError):
            return str(receiver.recv())
        return _why_it_ended(process.exitcode)
    finally:
        receiver.close()
        if process.is_alive():  # this process was told to stop
            process.terminate()
            process.join(10)
            process.kill()


def _why_it_ended(code: int | None) -> str:
    """In words; "" for an ordinary end."""
    if not code:
        return ""
    if code > 0:
        return f"its process ended with exit code {code}"
    reason = ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
    return f"its process was ended by {signal.Signals(-code).name}{reason}"


# ---- The process that works ---------------------------------------------------------------------------------------


def _child(sender: "Connection", prepare: Callable[[], None] | None, table: Table, row: Row, folder: Path) -> None:
    """Does the row; sends a sentence if it cannot."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the process that waits too, and that one decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        if prepare is not None:
            prepare()
        _work(table, row, folder)
    except ToolkitError as error:
        sender.send(str(error))
    except Exception as error:  # one row that fails does not stop the others
        traceback.print_exc()
        sender.send(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(table: Table, row: Row, folder: Path) -> None:
    """Does the row and writes probabilities.npy and, last, result.json."""
    from toolkit.evaluation.report import files

    work = _recipe(row) if row.recipe else _baseline(row)
    resumed = folder.exists() and any(folder.iterdir())
    start = time.monotonic()
    probabilities, found = work(table, folder)
    seconds = time.monotonic() - start
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_files.in_place_of(folder / "probabilities.npy") as temporary:
        np.save(temporary, probabilities)
    files.write_json(folder / "result.json", {
        "row": row.describe(), "fingerprint": table.fingerprint, "seconds": seconds,
        "peak_memory_gb": _peak_memory() / 2 ** 30, "resumed": resumed and bool(row.recipe), **found})


Found = tuple[np.ndarray, dict[str, Any]]


def _recipe(row: Row) -> Callable[[Table, Path], Found]:
    """Runs a recipe in the folder and takes the probabilities of the test rows from its predictions.csv."""
    module = importlib.import_module(f"recipes.{row.recipe}")
    from toolkit.evaluation import run_comparison

    def work(table: Table, folder: Path) -> Found:
        report = module.run(table, output=folder, settings=row.settings, resume=True, **row.options)
        predictions = run_comparison.read_predictions(folder / "predictions.csv").set_index("row")
        columns = [f"{run_comparison.PREFIX}{name}" for name in table.class_names]
        probabilities = predictions.loc[table.rows[table.labelled("test")], columns].to_numpy()
        return probabilities, {"validation_accuracy": report["validation"] and report["validation"]["accuracy"],
                               "details": {**report["training"], "unlabelled": report.get("unlabelled")}}

    return work


def _baseline(row: Row) -> Callable[[Table, Path], Found]:
    """Fits a baseline on the training rows; it sees the others only to predict them."""
    from toolkit.evaluation.baselines import METHODS, on_sequences

    def work(table: Table, folder: Path) -> Found:
        train, validation, test = (table.labelled(split) for split in ("train", "validation", "test"))
        rows = np.concatenate([train, validation, test])
        own = {"groups": None if table.groups is None else table.groups[train], "seed": row.settings.seed}
        if row.method == "majority class":
            fit, values = METHODS[row.method], np.zeros((len(rows), 1), np.float32)
        elif row.space in ("ngrams", "series"):
            fit = functools.partial(on_sequences.fit, row.method, table.kind)
            values = on_sequences.contents(table, rows)
        else:
            fit, values = METHODS[row.method], _space(table, rows, row)
        model = fit(values[:len(train)], table.labels[train], len(table.class_names), **own)
        probabilities = model.probabilities(values[len(train):])
        hits = probabilities[:len(validation)].argmax(axis=1) == table.labels[validation]
        return probabilities[len(validation):], {"validation_accuracy": float(hits.mean()) if len(hits) else None,
                                                 "details": model.details}

    return work


def _space(table: Table, indices: np.ndarray, row: Row) -> np.ndarray:
    """What the baseline sees of rows of a table, (n, F) float32."""
    from toolkit.training import devices, features

    devices.strategy(row.settings.devices)
    if row.space == "pixels":
        return features.pixels(table, indices)
    if row.space == "hog":
        return _hog(table, indices)
    from recipes import linear_probe

    return features.extract(linear_probe.build_backbone(table, row.settings), table, indices)


def _hog(table: Table, indices: np.ndarray) -> np.ndarray:
    """HOG descriptors of the images as squares of at most 128 pixels, batch by batch."""
    from toolkit import inputs
    from toolkit.evaluation import descriptors
    from toolkit.models import backbones

    side = int(np.clip(table.usual_side, *HOG_SIDES))
    preprocessing = backbones.Preprocessing(image_size=side, resize_size=side, interpolation="bilinear", antialias=True)
    batches = inputs.evaluation_batches(table, indices, preprocessing=preprocessing, batch_size=ROWS_AT_ONCE)

    def describe() -> np.ndarray:
        return np.concatenate([descriptors.hog(batch.numpy()[..., :table.channels].squeeze(-1) if table.channels == 1
                                               else batch.numpy()) for batch in batches])

    return inputs.explained(table, describe)


def _peak_memory() -> float:
    """Peak memory of this process in bytes. What the system counts for a process begins with the memory of the one
    that started it; VmHWM does not."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
