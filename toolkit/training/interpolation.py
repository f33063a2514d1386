"""The line from the weights before training to those after it (WiSE-FT).

    theta = (1 - a) * theta_start + a * theta_end

Few training rows say little about the end of the line, but much less is lost near its start: the average of the two
keeps most of what pretraining knew. Reference: Wortsman et al. 2022, https://arxiv.org/abs/2109.01903
"""

from __future__ import annotations

import keras
import numpy as np

from toolkit.training import checkpoints
from toolkit.training.loop import Validation

SHARES = (0.5, 0.75, 1.0, 0.0)
MIN_VALIDATION = 200  # with fewer rows, a choice between the shares would be a choice of the luckiest
FEW_ROWS, WHOLE = 2000, 1.0  # below so many training rows the first share is taken then, from there on the end


def interpolate(model: keras.Model, start: list[np.ndarray], validation: Validation | None,
                asked: float | None = None, *, num_rows: int) -> float:
    """Moves the weights of a model back on the line to ``start``.

    Args:
        model: at the end of the line.
        start: its weights at the beginning.
        validation: rows that choose among ``SHARES``, in their order: the first of the best accuracy. With fewer than
            ``MIN_VALIDATION`` rows the number of training rows decides.
        asked: the share to take in any case.
        num_rows: labelled training rows.

    Returns:
        The share a of the end that is kept.
    """
    end = checkpoints.get_weights(model)
    share = (SHARES[0] if num_rows < FEW_ROWS else WHOLE) if asked is None else asked
    if asked is None and validation is not None and len(validation.labels) >= MIN_VALIDATION:
        accuracies = []
        for share in SHARES:
            checkpoints.set_weights(model, _between(start, end, share))
            accuracies.append(validation.scores(model)["validation_accuracy"])
        share = SHARES[int(np.argmax(accuracies))]
    checkpoints.set_weights(model, _between(start, end, share))
    return share


def _between(start: list[np.ndarray], end: list[np.ndarray], share: float) -> list[np.ndarray]:
    return [(a + share * (b - a)).astype(a.dtype) for a, b in zip(start, end, strict=True)]
