"""A fine-tuning run that kills itself at a given moment: `python killed_run.py TABLE OUTPUT MOMENT`.

MOMENT is "never", "step:N" (after the N-th training step of this process), "validation:N" (inside its N-th
validation), "write:N" (half-way through its N-th checkpoint, which is written slowly) or "seconds:S". Checkpoints are
written after every step.
"""

import dataclasses
import os
import signal
import sys
import threading
import time
from typing import Any

from recipes import fine_tune
from toolkit.tables import read_table
from toolkit.training import Settings, checkpoints, loop, plans

SETTINGS = Settings(backbone="small_cnn", weights="none", image_size=16, epochs=8, batch_size=16, ema=0.9, mixup=0.2,
                    backbone_options={"filters": (4, 8), "dropout": 0.2}, dropout=0.3, colour=0.3, rand_augment=0.3,
                    reflect="no", label_smoothing=0.1)


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def on_call(owner: Any, name: str, number: int, act: Any) -> None:
    """Calls ``act`` in place of the ``number``-th call of ``owner.name``."""
    real, calls = getattr(owner, name), []

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return act(*args, **options) if len(calls) == number else real(*args, **options)

    setattr(owner, name, counted)


def half_written(folder: Any, step: int, arrays: Any, facts: Any) -> None:
    """Leaves what a slow disk has of a checkpoint when the process dies: the first half, under its temporary name."""
    path = checkpoints.save(folder, step, arrays, facts)
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.unlink()
    with open(path.with_name(f".{path.name}.{os.getpid()}.tmp.npz"), "wb") as file:
        file.write(half)
        file.flush()
        time.sleep(0.2)
        die()


def plan_death(moment: str) -> None:
    kind, _, number = moment.partition(":")
    if kind == "step":
        on_call(loop._Keeper, "on_train_batch_end", int(number), die)
    elif kind == "validation":
        on_call(loop.Validation, "scores", int(number), die)
    elif kind == "write":
        save = checkpoints.save
        on_call(checkpoints, "save", int(number), lambda *args: (setattr(checkpoints, "save", save),
                                                                 half_written(*args)))
    elif kind == "seconds":
        threading.Timer(float(number), die).start()


if __name__ == "__main__":
    make = plans.make
    plans.make = lambda *args, **options: dataclasses.replace(make(*args, **options), checkpoint_seconds=0.0)
    plan_death(sys.argv[3])
    fine_tune.run(read_table(sys.argv[1]), output=sys.argv[2], settings=SETTINGS, resume=True)
