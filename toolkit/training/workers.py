"""Several processes that train one model together: each runs the same command, the first of them is the chief.

Who takes part says ``TF_CONFIG``, as TensorFlow documents it and as ``toolkit launch`` sets it, or the Slurm step that
a process was started in. Each process reads its own part of every batch, gradients are summed over all of them by
``tf.distribute.MultiWorkerMirroredStrategy``, and the chief alone writes the run folder, which all of them must see, as
they must see the data and the cache of features.

References:
    https://www.tensorflow.org/guide/distributed_training (TF_CONFIG)
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit import ToolkitError

if TYPE_CHECKING:
    import tensorflow as tf

_EXPECTED = ('Expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}; `toolkit '
             'launch` sets it for processes on one machine.')


class Lost(ToolkitError):
    """Another worker has ended before its time."""

    exit_code = 75


@dataclass(frozen=True)
class Worker:
    """One of the processes that work on a run.

    Attributes:
        index: its number, from 0.
        count: how many there are.
    """

    index: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether it writes the files."""
        return self.index == 0


@functools.cache
def this() -> Worker:
    """Which worker this process is; alone, unless ``TF_CONFIG`` or Slurm say otherwise.

    Raises:
        ToolkitError: if ``TF_CONFIG`` cannot be understood.
    """
    if "TF_CONFIG" in os.environ:
        return _of_config(os.environ["TF_CONFIG"])
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # only what `srun` starts has it
        return Worker(int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_STEP_NUM_TASKS"]))
    return Worker()


def _of_config(text: str) -> Worker:
    try:
        config = json.loads(text or "{}")
        cluster, task = config.get("cluster", {}), config.get("task", {})
        chiefs, workers = cluster.get("chief", []), cluster.get("worker", [])
        found = Worker(int(task.get("index", 0)) + (len(chiefs) if task.get("type", "worker") == "worker" else 0),
                       max(1, len(chiefs) + len(workers)))
    except (ValueError, TypeError, AttributeError) as error:
        raise ToolkitError(f"TF_CONFIG is {text[:200]!r}, which cannot be read ({error}). {_EXPECTED}") from error
    if set(cluster) - {"chief", "worker"} or task.get("type", "worker") not in ("chief", "worker"):
        raise ToolkitError(f"TF_CONFIG names the jobs {', '.join(sorted({*cluster, str(task.get('type'))}))}; only "
                           f"chief and worker take part in training. {_EXPECTED}")
    if not 0 <= found.index < found.count:
        raise ToolkitError(f"TF_CONFIG says that this is worker {found.index} of {found.count}. {_EXPECTED}")
    return found


def addresses() -> list[str]:
    """host:port of every worker, as ``TF_CONFIG`` names them; none where Slurm does, or where this process is alone."""
    if "TF_CONFIG" not in os.environ or this().count == 1:
        return []
    cluster = json.loads(os.environ["TF_CONFIG"])["cluster"]
    return [*cluster.get("chief", []), *cluster.get("worker", [])]


def strategy() -> "tf.distribute.Strategy":
    """The strategy over all workers; returns when all of them have begun.

    Raises:
        ToolkitError: if TensorFlow has already done something in this process.
    """
    import tensorflow as tf

    _mend_fit()
    resolver = None if "TF_CONFIG" in os.environ else tf.distribute.cluster_resolver.SlurmClusterResolver()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise ToolkitError("TensorFlow has already started in this process, and cannot join other workers any more: "
                           "ask for devices before anything else.") from error


def _mend_fit() -> None:
    """Two functions of Keras 3.15 that a step of ``fit`` passes through do not know one replica in each process.

    One averages the scalar losses of the replicas along an axis that scalars have not; the other hands a batch that is
    distributed over processes to the model as if it were tensors.
    """
    import keras
    from keras.src.backend.tensorflow import trainer

    unmended = trainer.reduce_per_replica

    def reduce_per_replica(values: Any, strategy: "tf.distribute.Strategy", reduction: str) -> Any:
        if reduction not in ("auto", "mean"):
            return unmended(values, strategy, reduction)
        return keras.tree.map_structure(lambda value: strategy.reduce("MEAN", value, axis=None), values)

    def _maybe_symbolic_build(self: Any, iterator: Any = None, data_batch: Any = None) -> None:
        local = self.distribute_strategy.experimental_local_results
        if iterator is not None:
            data_batch = keras.tree.map_structure(lambda value: local(value)[0], next(next(iter(iterator))[-1]))
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    trainer.reduce_per_replica = reduce_per_replica
    trainer.TensorFlowTrainer._maybe_symbolic_build = _maybe_symbolic_build


# ---- What the workers do together; alone, each of these does nothing ----------------------------------------------


def own(indices: np.ndarray) -> np.ndarray:
    """This worker's part of ``indices`` (n,): the parts of all workers follow each other."""
    return np.array_split(np.asarray(indices), this().count)[this().index]


def gathered(values: np.ndarray) -> np.ndarray:
    """What all workers give, (k, ...) each, one after another."""
    if this().count == 1:
        return values
    import tensorflow as tf

    from toolkit.training import devices

    with explained():
        return devices.made().gather(tf.constant(values), axis=0).numpy()


def of_chief(value: float) -> float:
    """The chief's value, for every worker: of a stopwatch, say, which no two of them read alike."""
    return value if this().count == 1 else float(gathered(np.array([value], np.float64))[0])


def agree(value: int, what: str) -> None:
    """Refuses to go on where a number, ``what`` in words, is not the same for all workers.

    Raises:
        ToolkitError: it is not.
    """
    found = gathered(np.array([value], np.int64))
    if len(set(found.tolist())) > 1:
        raise ToolkitError(f"The workers do not begin alike: {what} is {', '.join(map(str, found))} for them. All must "
                           f"see the same --output.")


def wait() -> None:
    """Returns when all workers have come here."""
    of_chief(0.0)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Says in one sentence that another worker has died, if that is why a step failed."""
    import tensorflow as tf

    errors = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.InternalError)
    try:
        yield
    except errors as error:
        if this().count == 1:
            raise
        raise Lost(f"Worker {this().index} of {this().count} cannot go on, since another one has stopped "
                   f"({str(error.message).splitlines()[0][:120]}). Start all of them again with --resume.") from error
