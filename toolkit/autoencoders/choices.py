"""What is chosen for an autoencoder: the method and its numbers, the layers, the epochs, the rows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit import ToolkitError
from toolkit.autoencoders import corruptions
from toolkit.tables import Table
from toolkit.training import Settings

IMAGES_SEEN, FEWEST_EPOCHS, MOST_EPOCHS = 3_000_000, 10, 1000  # which decide the epochs, unless they are given
HIDDEN = [1000]
TEST_RATIO = 0.1  # of a table without splits and labels
DEFAULTS = Settings(backbone="mlp", weights="none", batch_size=100, optimizer="adam", ema=0.0)
RECTIFIED = ("relu", "elu", "leaky_relu", "sigmoid", "tanh")
RANGES = {"corruption_level": (0, 1), "penalty_weight": (0, 1e6), "sparsity_target": (1e-6, 1 - 1e-6),
          "kept": (1, 1e6), "kept_factor": (1, 100), "patch_size": (1, 1024)}


# ---- The method ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """What tells the methods apart, before anything is asked for.

    Attributes:
        activations: that layers may have, the usual one first; none: layers are linear.
        linear_codes: whether the codes are linear, whatever the layers below them are.
        penalty_weight: lambda.
        level: of the corruption, or the share that is hidden.
        jointly: how the layers of a stack must be trained: at once (True) or one after the other (False); None: either.
        any_backbone: whether it is defined for other networks than fully connected layers.
    """

    activations: tuple[str, ...]
    linear_codes: bool = False
    penalty_weight: float = 0.0
    level: float = 0.0
    jointly: bool | None = None
    any_backbone: bool = True

    @property
    def activation(self) -> str:
        """The usual activation of the layers."""
        return self.activations[0] if self.activations else "linear"


METHODS = {
    "plain": Method(RECTIFIED),
    "denoising": Method(RECTIFIED, level=0.5),
    "sparse": Method(("sigmoid",), penalty_weight=3.0, any_backbone=False),
    "k-sparse": Method((), linear_codes=True, any_backbone=False),
    "contractive": Method(("sigmoid", "tanh", "relu"), penalty_weight=0.1, jointly=False, any_backbone=False),
    "variational": Method(RECTIFIED, linear_codes=True, penalty_weight=1.0, jointly=True),
    "masked": Method(RECTIFIED, level=0.6, jointly=True)}


@dataclass(frozen=True)
class Choices:
    """The method of a run and its numbers, none of them open; see ``pretrain_autoencoder.run``."""

    method: str
    tied: bool
    corruption: str
    level: float
    sparsity_target: float
    penalty_weight: float
    kept: int
    kept_factor: float
    patch_size: int
    jointly: bool


def chosen(method: str, *, corruption: str = "masking", corruption_level: float | None = None,
           penalty_weight: float | None = None, jointly: bool = False, **numbers: Any) -> Choices:
    """The choices of a run, those left open filled in.

    Args:
        method: one of ``METHODS``.
        corruption: one of ``corruptions.CORRUPTIONS``.
        corruption_level: None: the method's.
        penalty_weight: likewise.
        jointly: whether layers are trained at once.
        **numbers: the others.

    Raises:
        ToolkitError: a value is unknown or out of its range.
    """
    for name, value, known in (("method", method, METHODS), ("corruption", corruption, corruptions.CORRUPTIONS)):
        if value not in known:
            raise ToolkitError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
    usual = METHODS[method]
    if jointly and usual.jointly is False:
        raise ToolkitError(f"--jointly is not for {method} autoencoders, whose penalty is that of one layer: leave it "
                           f"out.")
    found = {"corruption_level": usual.level if corruption_level is None else corruption_level,
             "penalty_weight": usual.penalty_weight if penalty_weight is None else penalty_weight, **numbers}
    for name, (low, high) in RANGES.items():
        if not low <= found[name] <= high:
            raise ToolkitError(f"{name} is {found[name]}; it must lie between {low:g} and {high:g}.")
    return Choices(method, corruption=corruption, level=found.pop("corruption_level"), **found,
                   jointly=jointly or bool(usual.jointly))


# ---- Layers and epochs --------------------------------------------------------------------------------------------


def is_dense(settings: Settings) -> bool:
    """Whether the encoder is made of fully connected layers from scratch; else it is a whole backbone."""
    return settings.backbone == "mlp" and settings.weights == "none"


def with_layers(settings: Settings, method: str) -> Settings:
    """With units and activation of fully connected layers filled in, so that the run can say what its network is.

    Raises:
        ToolkitError: the method cannot train this network.
    """
    given, usual = settings.backbone_options, METHODS[method]
    if not is_dense(settings):
        if usual.any_backbone:
            return settings
        others = ", ".join(name for name, one in METHODS.items() if one.any_backbone)
        raise ToolkitError(f"--method {method} is for fully connected layers, --backbone mlp --weights none, not for "
                           f"{settings.backbone}: choose {others}.")
    if unknown := sorted(set(given) - {"hidden", "activation", "dropout"}):
        raise ToolkitError(f"Autoencoders of fully connected layers have the options hidden and activation, not "
                           f"{', '.join(unknown)}: leave it out.")
    if "activation" in given and given["activation"] not in usual.activations:
        known = f"one of {', '.join(usual.activations)}" if usual.activations else "none, since its units are linear"
        raise ToolkitError(f"--activation is {given['activation']!r}; a {method} autoencoder takes {known}.")
    activation = {"activation": usual.activation} if usual.activations else {}
    return dataclasses.replace(settings, backbone_options={"hidden": HIDDEN, "dropout": 0.0, **activation, **given})


def for_images(settings: Settings, num_images: int) -> Settings:
    """With epochs and learning rate filled in."""
    epochs = int(np.clip(round(IMAGES_SEEN / num_images), FEWEST_EPOCHS, MOST_EPOCHS))
    return dataclasses.replace(settings, epochs=settings.epochs or epochs).for_rows(num_images)


# ---- Rows ---------------------------------------------------------------------------------------------------------


def with_training_rows(table: Table, seed: int) -> Table:
    """The table; one whose rows are all test rows, as it is read without labels and splits, with nine in ten to train.

    Raises:
        ToolkitError: if there are fewer than two rows to train on.
    """
    if not len(table.in_split("train")):
        rows = np.random.default_rng(seed).permutation(len(table))
        splits = np.full(len(table), "train", object)
        splits[rows[:max(1, round(TEST_RATIO * len(table)))]] = "test"
        table = dataclasses.replace(table, splits=splits)
    if len(table.in_split("train")) < 2:
        raise ToolkitError(f"{table.source} has {len(table.in_split('train'))} training images, and an autoencoder "
                           f"needs at least 2.")
    return table
