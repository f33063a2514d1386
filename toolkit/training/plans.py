"""How long a training run is, in epochs and steps, and where its checkpoints go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from toolkit.training.settings import Settings


@dataclass
class Plan:
    """The length of a training run and where its checkpoints go.

    Attributes:
        steps_per_epoch: steps between two validations.
        epochs: how many of them.
        seed: of the dropout layers.
        folder: of the checkpoints; None: no checkpoints.
        title: what the progress lines call it.
        keep: ``"best"`` epoch, by validation; ``"latest"`` that validation cannot tell from the best; or ``"last"``.
        from_start: whether the weights before training are judged too (epoch 0).
        checkpoint_seconds: time between checkpoints within an epoch; at its end there always is one. 0:
            after every step.
        fixed_epochs: whether a time limit shortens epochs only, because each of them is a stage of its own.
        parts: of a batch, whose gradients are added up (see ``accumulation``).
    """

    steps_per_epoch: int
    epochs: int
    seed: int = 0
    folder: Path | None = None
    title: str = "training"
    keep: str = "best"
    from_start: bool = True
    checkpoint_seconds: float = 60.0
    fixed_epochs: bool = False
    parts: int = 1

    @property
    def total_steps(self) -> int:
        """Steps in all."""
        return self.steps_per_epoch * self.epochs


def make(settings: Settings, num_rows: int, *, folder: Path | None = None, title: str = "training", seed: int = 0
         ) -> Plan:
    """The plan for ``num_rows`` labelled training rows: an epoch is as many steps as show that many rows."""
    return Plan(math.ceil(num_rows / settings.batch_size), settings.num_epochs(num_rows), seed, folder, title,
                from_start=not settings.from_scratch, parts=settings.accumulation)
