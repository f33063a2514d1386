r"""From the logits of weak views to targets and weights for strong views: the rules of the FixMatch family.

All share one loss, with q the targets and w the weights that the rule gives the b rows of a batch of the pool,

.. math:: L = \frac1n \sum_i \mathrm{CE}(y_i, p(\text{weak}_i))
          + \lambda \frac1b \sum_j w_j \mathrm{CE}(q_j, p(\text{strong}_j))

A rule is a pure step

    (state, labelled (n, C), unlabelled (b, C), labels (n,), rows (b,)) -> (state, q (b, C), w (b,))

on logits of weak views; labels are integers, rows say which rows of the pool the batch holds. ``begin`` makes the first
state, a dict of arrays. Written with ``keras.ops``, a rule runs inside a training step too. Below p and u
are the softmax of labelled and unlabelled logits, and EMA has the momentum 0.999, or less where fewer steps are made.

What no target and no weight of unlabelled rows expresses is left out: FreeMatch's fairness term, DebiasMatch's margins,
UDA's annealing of the training signal (which leaves out labelled rows that are learnt already), and of AdaMatch the
strong views of labelled rows, the random interpolation of logits, and the rise of the weight over the first half of the
steps (lambda is the same from the first step on).

References:
    FixMatch: Sohn et al. 2020, https://arxiv.org/abs/2001.07685
    UDA: Xie et al. 2020, https://arxiv.org/abs/1904.12848
    FlexMatch: Zhang et al. 2021, https://arxiv.org/abs/2110.08263
    FreeMatch: Wang et al. 2023, https://arxiv.org/abs/2205.07246
    SoftMatch: Chen et al. 2023, https://arxiv.org/abs/2301.10921
    AdaMatch: Berthelot et al. 2022, https://arxiv.org/abs/2106.04732
    DebiasMatch: Wang et al. 2022, https://arxiv.org/abs/2201.01490
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

State = dict[str, Any]
Step = tuple[State, Any, Any]
SMALLEST = 1e-8
MOMENTUM = 0.999


def begin(num_classes: int, num_unlabelled: int, *, momentum: float = MOMENTUM, align: bool = True) -> State:
    """The state that every rule begins with: nothing is known, so classes are equal and confidence is 1 / C.

    Args:
        num_classes: C.
        num_unlabelled: rows of the pool.
        momentum: of the moving averages, in [0, 1).
        align: whether AdaMatch brings pseudo-labels in line with the labelled rows, which it should not where the pool
            visibly has other shares of the classes (``class_shares.differ``; from scratch nothing can see that).

    Returns:
        momentum (); align (), 1 or 0; labelled_mean, unlabelled_mean (C,), averages of p and u; confidence (), of the
        largest u; variance (), of it; confident (p,) int32, the class in which a row was last confident, -1 for none.
    """
    even = np.full(num_classes, 1 / num_classes, np.float32)
    return {"momentum": np.float32(momentum), "align": np.float32(align), "labelled_mean": even,
            "unlabelled_mean": even.copy(), "confidence": np.float32(1 / num_classes), "variance": np.float32(1),
            "confident": np.full(num_unlabelled, -1, np.int32)}


def fixmatch(state: State, labelled: Any, unlabelled: Any, labels: Any, rows: Any, *, threshold: float = 0.95) -> Step:
    """``q = one_hot(argmax u),  w = 1[max u >= threshold]``."""
    shares = ops.softmax(unlabelled)
    return _step(state, _hard(shares), ops.max(shares, axis=1) >= threshold)


def uda(state: State, labelled: Any, unlabelled: Any, labels: Any, rows: Any, *, threshold: float = 0.8,
        temperature: float = 0.4) -> Step:
    """``q = softmax(logits / T),  w = 1[max u >= threshold]``."""
    confident = ops.max(ops.softmax(unlabelled), axis=1) >= threshold
    return _step(state, ops.softmax(unlabelled / temperature), confident)


def flexmatch(state: State, labelled: Any, unlabelled: Any, labels: Any, rows: Any, *, threshold: float = 0.95) -> Step:
    """The threshold of a class falls with how little it is learnt.

    ``s_c``: rows of the pool last confident (max u >= threshold) in class c; ``s_none``: never confident;
    ``b_c = s_c / max(max_c s_c, s_none),  w = 1[max u >= threshold b_c / (2 - b_c)]``, c = argmax u, q one-hot.
    """
    shares = ops.softmax(unlabelled)
    highest, classes = ops.max(shares, axis=1), ops.cast(ops.argmax(shares, axis=1), "int32")
    known = ops.one_hot(state["confident"], shares.shape[1], dtype="float32")  # -1: a row of zeros
    counts = ops.sum(known, axis=0)
    most = ops.maximum(ops.max(counts), ops.cast(ops.shape(known)[0], "float32") - ops.sum(counts))
    learnt = ops.take(counts / ops.maximum(most, 1.0), classes)
    before = state["confident"]
    now = ops.segment_max(ops.where(highest >= threshold, classes, -1), rows, num_segments=before.shape[0])
    confident = ops.where(now >= 0, now, before)  # a row that is drawn twice is confident if it is so once
    return _step({**state, "confident": confident}, _hard(shares), highest >= threshold * learnt / (2 - learnt))


def freematch(state: State, labelled: Any, unlabelled: Any, labels: Any, rows: Any) -> Step:
    """``t = EMA(mean max u),  m = EMA(mean u),  w = 1[max u >= t m_c / max m]``, c = argmax u, q one-hot."""
    shares = ops.softmax(unlabelled)
    highest = ops.max(shares, axis=1)
    level = _moved(state, "confidence", ops.mean(highest))
    mean = _moved(state, "unlabelled_mean", ops.mean(shares, axis=0))
    of_class = ops.take(level * mean / ops.max(mean), ops.argmax(shares, axis=1))
    return _step({**state, "confidence": level, "unlabelled_mean": mean}, _hard(shares), highest >= of_class)


def softmatch(state: State, labelled: Any, unlabelled: Any, labels: Any, rows: Any, *, num_deviations: float = 2.0
              ) -> Step:
    """A truncated Gaussian of the confidence, after alignment to equal classes; q one-hot of the raw u.

    ``v = normalise(u / EMA(mean u)),  h = max v,  t = EMA(mean h),  s^2 = EMA(var h),
    w = exp(-min(h - t, 0)^2 / (2 s^2 / num_deviations^2))``.
    """
    shares = ops.softmax(unlabelled)
    mean = _moved(state, "unlabelled_mean", ops.mean(shares, axis=0))
    highest = ops.max(_normalised(shares / ops.maximum(mean, SMALLEST)), axis=1)
    count = highest.shape[0]
    level = _moved(state, "confidence", ops.mean(highest))
    variance = _moved(state, "variance", ops.var(highest) * count / max(count - 1, 1))
    below = ops.minimum(highest - level, 0.0)
    weights = ops.exp(-ops.square(below) / ops.maximum(2 * variance / num_deviations**2, SMALLEST))
    return _step({**state, "unlabelled_mean": mean, "confidence": level, "variance": variance}, _hard(shares), weights)


def adamatch(state: State, labelled: Any, unlabelled: Any, labels: Any, rows: Any, *, threshold: float = 0.9) -> Step:
    """Alignment to the labelled rows, and a threshold relative to the confidence on them; soft targets.

    ``q = normalise(u EMA(mean p) / EMA(mean u)),  w = 1[max q >= threshold mean(max p)]``; without alignment ``q = u``.
    """
    known, shares = ops.softmax(labelled), ops.softmax(unlabelled)
    wanted = _moved(state, "labelled_mean", ops.mean(known, axis=0))
    mean = _moved(state, "unlabelled_mean", ops.mean(shares, axis=0))
    ratio = ops.where(state["align"] > 0, wanted / ops.maximum(mean, SMALLEST), ops.ones_like(mean))
    targets = _normalised(shares * ratio)
    relative = threshold * ops.mean(ops.max(known, axis=1))
    return _step({**state, "labelled_mean": wanted, "unlabelled_mean": mean}, targets,
                 ops.max(targets, axis=1) >= relative)


def debiasmatch(state: State, labelled: Any, unlabelled: Any, labels: Any, rows: Any, *, threshold: float = 0.95,
                strength: float = 0.5) -> Step:
    """``m = EMA(mean u),  v = softmax(logits - strength log m),  q = one_hot(argmax v),  w = 1[max v >= threshold]``.
    """
    mean = _moved(state, "unlabelled_mean", ops.mean(ops.softmax(unlabelled), axis=0))
    shares = ops.softmax(unlabelled - strength * ops.log(ops.maximum(mean, SMALLEST)))
    return _step({**state, "unlabelled_mean": mean}, _hard(shares), ops.max(shares, axis=1) >= threshold)


RULES: dict[str, Callable[..., Step]] = {
    "adamatch": adamatch, "softmatch": softmatch, "freematch": freematch, "flexmatch": flexmatch,
    "fixmatch": fixmatch, "uda": uda, "debiasmatch": debiasmatch}


def _moved(state: State, name: str, value: Any) -> Any:
    """The moving average after one more value."""
    return state["momentum"] * state[name] + (1 - state["momentum"]) * value


def _normalised(values: Any) -> Any:
    return values / ops.sum(values, axis=1, keepdims=True)


def _hard(shares: Any) -> Any:
    return ops.one_hot(ops.argmax(shares, axis=1), shares.shape[1], dtype="float32")


def _step(state: State, targets: Any, weights: Any) -> Step:
    """No gradient flows through targets and weights."""
    return state, ops.stop_gradient(targets), ops.stop_gradient(ops.cast(weights, "float32"))
