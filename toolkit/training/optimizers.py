"""Optimizers with layer-wise learning rates, and learning-rate schedules with warm-up.

A layer-wise rate must scale the *update*: Adam divides the gradient by its own running size, so a scaled gradient
changes nothing. ``build`` therefore returns a stock Keras optimizer whose ``update_step`` receives

    rate(variable, step) = schedule(step) * scale(variable) * [step >= first_step(variable)]

with scale = layer_decay ** (blocks between the variable's block and the head), and whose decoupled weight decay
(Loshchilov and Hutter 2019) uses the same rate. ``first_step`` is gradual unfreezing (Howard and Ruder 2018): a block
below the head does not move before its step. An L2 penalty l2 * |W|^2 is its
gradient, 2 * l2 * W. A maximal norm c scales the weights w into a unit back to c / |w| * w after the step that made
them longer (Srivastava et al. 2014). Layer-wise decay: Clark et al. 2020 (ELECTRA), Howard and Ruder 2018.

References:
    https://arxiv.org/abs/1711.05101, https://arxiv.org/abs/1801.06146, https://arxiv.org/abs/2003.10555,
    https://jmlr.org/papers/v15/srivastava14a.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolkit.training.settings import Settings

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Rate:
    """How one variable is trained: the factor on the learning rate, and the step at which it starts to move."""

    scale: float = 1.0
    first_step: int = 0


def layer_rates(blocks: Sequence[Sequence["keras.layers.Layer"]], head: Sequence["keras.layers.Layer"], *,
                layer_decay: float = 1.0, gradual_steps: int = 0) -> dict[str, Rate]:
    """The rate of every trainable variable, by its path.

    Args:
        blocks: the network's layers from input to output, as ``backbones.blocks`` gives them.
        head: the layers above the network; their scale is 1 and they start at step 0.
        layer_decay: factor in (0, 1] from one block to the block before it; the last block has it once.
        gradual_steps: steps after which the next block downwards starts to move; 0: all move from the start.
    """
    rates = {variable.path: Rate() for layer in head for variable in layer.trainable_variables}
    for depth, block in enumerate(reversed(blocks), start=1):
        rate = Rate(layer_decay ** depth, gradual_steps * depth)
        rates.update({variable.path: rate for layer in block for variable in layer.weights if variable.trainable})
    return rates


def build(settings: Settings, *, total_steps: int, rates: Mapping[str, Rate] | None = None) -> "keras.Optimizer":
    """The optimizer of a run.

    Args:
        settings: optimizer, learning rate (a number by now, see ``Settings.for_rows``), schedule, decay and EMA.
        total_steps: length of the schedule in steps.
        rates: by variable path; a variable without an entry has rate 1. None: one rate for all.

    Returns:
        An optimizer whose learning rate is a function of its ``iterations``, so that a restored one continues exactly.
    """
    import keras

    kinds: dict[str, tuple[type, dict[str, Any]]] = {
        "adamw": (keras.optimizers.Adam, {}),
        "adam": (keras.optimizers.Adam, {}),
        "sgd": (keras.optimizers.SGD, {"momentum": settings.momentum, "nesterov": settings.momentum > 0}),
    }
    kind, arguments = kinds[settings.optimizer]
    return _layerwise(kind)(
        rates=rates or {}, decay=settings.decay, l2=settings.l2, max_norm=settings.max_norm,
        learning_rate=schedule(settings, total_steps), use_ema=settings.ema > 0, ema_momentum=settings.ema or 0.99,
        **arguments)


def _layerwise(kind: type["keras.Optimizer"]) -> type["keras.Optimizer"]:
    """``kind`` with a learning rate for every variable and decoupled decay of kernels at that rate."""
    from keras import ops

    class Layerwise(kind):  # type: ignore[misc, valid-type]
        def __init__(self, *, rates: Mapping[str, Rate], decay: float, l2: float, max_norm: float, **arguments: Any
                     ) -> None:
            super().__init__(**arguments)
            self._rates, self._decay, self._l2, self._max_norm, self._rate_list = rates, decay, l2, max_norm, []

        def build(self, variables: Sequence["keras.Variable"]) -> None:
            super().build(variables)
            self._rate_list = [self._rates.get(variable.path, Rate()) for variable in variables]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            rate = self._rate_list[self._get_variable_index(variable)]
            scaled = learning_rate * rate.scale
            if rate.first_step:
                scaled = ops.where(self.iterations >= rate.first_step, scaled, 0.0)
            if self._decay and len(variable.shape) > 1:
                self.assign_sub(variable, ops.cast(scaled * self._decay, variable.dtype) * variable)
            if self._l2 and len(variable.shape) > 1:
                gradient = gradient + ops.cast(2 * self._l2, variable.dtype) * variable
            super().update_step(gradient, variable, scaled)
            if self._max_norm and len(variable.shape) > 1:
                norms = ops.sqrt(ops.sum(ops.square(variable), axis=tuple(range(len(variable.shape) - 1)),
                                         keepdims=True))
                self.assign(variable, variable * ops.minimum(1.0, self._max_norm / ops.maximum(norms, 1e-12)))

    return Layerwise


def schedule(settings: Settings, total_steps: int) -> "keras.optimizers.schedules.LearningRateSchedule":
    """The learning rate of the head at every step: linear warm-up, then the chosen curve."""
    import keras
    from keras import ops

    peak, kind = settings.learning_rate, settings.schedule
    warm_up = int(settings.warm_up_ratio * total_steps)
    remaining = max(total_steps - warm_up, 1)

    class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            step = ops.cast(step, "float32")
            progress = ops.clip((step - warm_up) / remaining, 0.0, 1.0)
            rising = (step + 1.0) / (warm_up + 1.0)
            return peak * ops.where(step < warm_up, rising, _curve(kind, progress, ops))

        def get_config(self) -> dict[str, Any]:
            return {"peak": peak, "kind": kind, "warm_up": warm_up, "total_steps": total_steps}

    return WarmUp()


def _curve(kind: str, progress: Any, ops: Any) -> Any:
    """The share of the peak rate at ``progress`` in [0, 1] after the warm-up."""
    if kind == "constant":
        return ops.ones_like(progress)
    if kind == "step":
        return ops.where(progress < 0.5, 1.0, ops.where(progress < 0.75, 0.1, 0.01))
    if kind == "restarts":  # SGDR: cycles of 1/7, 2/7 and 4/7 of the steps (Loshchilov and Hutter 2017)
        cycle = ops.where(progress < 1 / 7, progress * 7, ops.where(progress < 3 / 7, (progress * 7 - 1) / 2,
                                                                    (progress * 7 - 3) / 4))
        return 0.5 * (1 + ops.cos(math.pi * ops.clip(cycle, 0.0, 1.0)))
    return 0.5 * (1 + ops.cos(math.pi * progress))
