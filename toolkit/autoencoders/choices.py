"""What is chosen for an autoencoder: the method and its numbers, the layers, the epochs, the rows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit import ToolkitError
from toolkit.autoencoders import corruptions
from toolkit.models.layers import INITIALISERS
from toolkit.tables import Table, splits
from toolkit.training import Settings

IMAGES_SEEN, FEWEST_EPOCHS, MOST_EPOCHS = 3_000_000, 10, 1000  # which decide the epochs, unless they are given
RATES = {"sgd": 0.005}  # the loss of an image is a sum over its values; else RATE
RATE, RATE_TIMES_STEEPNESS = 0.001, 0.13  # the latter of SGD, for layers one by one that see centred values
ROWS_TO_MEASURE = 500
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
        hidden: units of the layers.
        penalty_weight: lambda.
        level: of the corruption, or the share that is hidden.
        jointly: how the layers of a stack must be trained: at once (True) or one after the other (False); None: either.
        any_backbone: whether it is defined for other networks than fully connected layers.
        optimizer: of fully connected layers that are trained one by one; all else is trained as by most methods.
        batch_size: images a step, likewise.
        initialiser: of the kernels, likewise, and where SGD is the optimizer.
        centred: whether fully connected layers see their input less its mean.
    """

    activations: tuple[str, ...]
    linear_codes: bool = False
    hidden: tuple[int, ...] = (1000,)
    penalty_weight: float = 0.0
    level: float = 0.0
    jointly: bool | None = None
    any_backbone: bool = True
    optimizer: str = "adam"
    batch_size: int = 100
    initialiser: str = "glorot"
    centred: bool = False

    @property
    def activation(self) -> str:
        """The usual activation of the layers."""
        return self.activations[0] if self.activations else "linear"


MOST = Method(())
METHODS = {
    "plain": Method(RECTIFIED, hidden=(128,)),
    "denoising": Method(RECTIFIED, level=0.5, optimizer="sgd", batch_size=50, initialiser="gaussian", centred=True),
    "sparse": Method(("sigmoid",), penalty_weight=10.0, any_backbone=False),  # Ng's 3, whose error pulls less
    "k-sparse": Method((), linear_codes=True, any_backbone=False, optimizer="sgd", batch_size=50,
                       initialiser="gaussian", centred=True),
    "contractive": Method(("sigmoid", "tanh", "relu"), penalty_weight=0.1, jointly=False, any_backbone=False),
    "variational": Method(RECTIFIED, linear_codes=True, hidden=(400, 20), penalty_weight=1.0, jointly=True),
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
    if method == "masked" and found["corruption_level"] in (0, 1):
        raise ToolkitError("corruption_level is the share of the patches that are hidden: some of them, so give a "
                           "number between 0 and 1.")
    return Choices(method, corruption=corruption, level=found.pop("corruption_level"), **found,
                   jointly=jointly or bool(usual.jointly))


# ---- Layers and training ------------------------------------------------------------------------------------------


def defaults(method: str, *, by_layer: bool = True) -> Settings:
    """The settings of a run for which only the method is chosen; a method that does not exist gets those of most.

    Args:
        method: one of ``METHODS``.
        by_layer: whether fully connected layers are trained one by one, else at once, or a backbone.
    """
    usual = METHODS.get(method, MOST) if by_layer else MOST
    return dataclasses.replace(DEFAULTS, optimizer=usual.optimizer, batch_size=usual.batch_size)


def is_dense(settings: Settings) -> bool:
    """Whether the encoder is made of fully connected layers from scratch; else it is a whole backbone."""
    return settings.backbone == "mlp" and settings.weights == "none"


def with_layers(settings: Settings, method: str, *, jointly: bool = False) -> Settings:
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
    if unknown := sorted(set(given) - {"hidden", "activation", "initialiser", "dropout"}):
        raise ToolkitError(f"Autoencoders of fully connected layers have the options hidden, activation and "
                           f"initialiser, not {', '.join(unknown)}: leave it out.")
    if given.get("dropout"):
        raise ToolkitError(f"--network-dropout is {given['dropout']}, and autoencoders of fully connected layers have "
                           f"no dropout: leave it out, or corrupt their input with --method denoising.")
    if given.get("initialiser", "glorot") not in INITIALISERS:
        raise ToolkitError(f"initialiser is {given['initialiser']!r}; it must be one of {', '.join(INITIALISERS)}.")
    if "activation" in given and given["activation"] not in usual.activations:
        known = f"one of {', '.join(usual.activations)}" if usual.activations else "none, since its units are linear"
        raise ToolkitError(f"--activation is {given['activation']!r}; a {method} autoencoder takes {known}.")
    activation = {"activation": usual.activation} if usual.activations else {}
    small = usual if settings.optimizer == "sgd" and not jointly else MOST
    return dataclasses.replace(settings, backbone_options={
        "hidden": list(usual.hidden), "initialiser": small.initialiser, "dropout": 0.0, **activation, **given})


def with_epochs(settings: Settings, num_rows: int) -> Settings:
    """With epochs filled in, for the rows to train on."""
    epochs = int(np.clip(round(IMAGES_SEEN / num_rows), FEWEST_EPOCHS, MOST_EPOCHS))
    return dataclasses.replace(settings, epochs=settings.epochs or epochs)


def learning_rate(values: np.ndarray, optimizer: str, *, centred: bool) -> float:
    """The usual peak rate for rows (n, ...), uint8 for [0, 1] or float32; ``centred``: the network sees them so."""
    if centred and optimizer == "sgd":
        return float(f"{RATE_TIMES_STEEPNESS / steepness(values):.3g}")
    return RATES.get(optimizer, RATE)


def steepness(values: np.ndarray) -> float:
    """Largest eigenvalue of the covariance of rows (n, ...), uint8 for [0, 1] or float32, of at most 500; at least 1.

    By it the curvature of the squared error grows, and the rate from which on SGD diverges falls.

    Example:
        >>> round(steepness(np.array([[[0] * 100], [[255] * 100]], np.uint8)), 3)
        25.0
    """
    scale = np.float32(255 if values.dtype == np.uint8 else 1)
    some = values[::-(-len(values) // ROWS_TO_MEASURE)].reshape(-1, values[0].size) / scale
    some = some - some.mean(axis=0)
    return max(1.0, float(np.linalg.eigvalsh(some @ some.T / len(some))[-1]))


# ---- Rows ---------------------------------------------------------------------------------------------------------


def with_training_rows(table: Table) -> Table:
    """The table; one without labels and splits, all of whose rows are read as test rows, split as any other table.

    Rows of one group, or with the same image, stay together. Seed and ratios are the table's own.

    Raises:
        ToolkitError: if the table has labels or splits but no training rows, or fewer than two.
    """
    if not table.names_splits and (table.labels < 0).all():
        policy = splits.Policy.of(table.arguments)
        found = splits.assign(np.zeros(len(table), np.int64), None, table.checksums, table.groups, ("",),
                              policy).splits
        counts = ", ".join(f"{(found == split).sum():,} {split}" for split in ("train", "validation", "test"))
        note = f"The table names neither labels nor splits. Its rows were split by seed {policy.seed}: {counts}."
        table = dataclasses.replace(table, splits=found, notes=(*table.notes, note))
    if (count := len(table.in_split("train"))) < 2:
        raise ToolkitError(f"{table.source} has {count} training images, and an autoencoder needs at least 2. Mark the "
                           f"rows to learn from with 'train', or leave out the split for an automatic one.")
    return table
