"""The options that every training shares: one frozen dataclass, documented once.

The command line fills it from its options of the same names; Python users construct it. Options that belong to one
method (``unfreeze``, a threshold, a mask ratio) are arguments of that recipe's ``run``.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit import ToolkitError

CHOICES: dict[str, tuple[Any, ...]] = {
    "optimizer": ("adamw", "adam", "sgd"),
    "schedule": ("cosine", "constant", "step", "restarts"),
    "monitor": ("accuracy", "log_loss"),
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "crop": ("shift", "resized", "none"),
    "reflect": ("auto", "yes", "no"),
    "batch_norm": ("auto", "frozen", "train"),
    "test_views": (1, 2, 5, 10),
}
RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000), "batch_size": (1, 65_536), "learning_rate": (1e-8, 100.0), "momentum": (0.0, 0.9999),
    "warm_up_ratio": (0.0, 0.9), "weight_decay": (0.0, 10.0), "l2": (0.0, 10.0), "max_norm": (0.0, 1000.0),
    "dropout": (0.0, 0.95), "label_smoothing": (0.0, 0.9), "interpolation": (0.0, 1.0), "mixup": (0.0, 10.0),
    "ema": (0.0, 0.99999), "layer_decay": (0.01, 1.0), "patience": (1, 100_000), "members": (1, 100),
    "time_limit": (0.05, 100_000.0), "accumulation": (1, 4096), "colour": (0.0, 1.0),
    "rand_augment": (0.0, 1.0), "word_dropout": (0.0, 0.9), "jitter": (0.0, 2.0), "scaling": (0.0, 1.0),
    "window": (0.1, 1.0), "image_size": (8, 4096), "seed": (0, 2**31 - 1),
}


@dataclass(frozen=True)
class Settings:
    """How a network is trained. ``None`` means "chosen from the data", and the report says what was chosen.

    Attributes:
        backbone: name from ``toolkit backbones``.
        weights: ``"imagenet"``, ``"none"`` (train from scratch) or a file of weights.
        image_size: side of the square the network sees, in pixels; None: the backbone's own.
        backbone_options: options of the small networks (``activation``, ``initialiser``, ``pooling``, ``hidden``...).
        batch_norm: ``"frozen"`` keeps every BatchNorm in inference mode, ``"train"`` updates it; ``"auto"`` freezes
            pretrained ones, but those of an autoencoder.
        seed: seeds the order of rows, augmentation, dropout and new weights.
        epochs: passes over the labelled training rows; None: between 3 and 30, fewer the more rows there are, and from
            scratch or from an autoencoder between 20 and 100.
        batch_size: rows a step, over all devices together.
        optimizer: ``"adamw"``, ``"adam"`` or ``"sgd"`` (Nesterov momentum).
        learning_rate: peak rate of the head; None: for pretrained networks 0.0003, or 0.0001 with fewer than 500
            labelled rows, of text encoders 0.0001 and less the wider they are (Adam family), or 0.003 (SGD), ten times
            as much where only few weights are trained; from scratch or from an autoencoder 0.001 and 0.1, but 0.003
            for a network from scratch with BatchNorm that learns from unlabelled images too (Adam family).
        find_learning_rate: run a learning-rate range test on training rows and take its suggestion.
        momentum: of SGD.
        schedule: ``"cosine"`` to zero, ``"constant"``, ``"step"`` (a tenth at 50 % and 75 %), ``"restarts"`` (cosine
            with three warm restarts).
        warm_up_ratio: share of the steps over which the rate rises linearly from zero.
        weight_decay: decoupled weight decay of kernels, multiplied by the learning rate; None: 0.05 for AdamW, else 0.
        l2: L2 penalty of kernels; its gradient is added, the loss that is printed is without it.
        max_norm: largest norm of the weights into one unit, which longer ones are scaled back to (Srivastava et al.
            2014 use 2 to 4 with dropout); 0 is off.
        dropout: rate before the head.
        label_smoothing: share of the target spread over all classes; None: 0.1 for pretrained networks (a probe that
            separates the training rows leaves a loss of zero and nothing to learn from), 0 from scratch or from an
            autoencoder.
        interpolation: final weights = (1 - interpolation) * start + interpolation * end, where the start is the linear
            probe (WiSE-FT); None: chosen on validation rows among 0.5, 0.75, 1 and 0, the first of the best; with fewer
            than 200 validation rows 0.5, but 1 from 2,000 training rows on; 1 from an autoencoder.
        mixup: alpha of the Beta distribution that mixes pairs of images; 0 is off.
        ema: momentum of the moving average of the weights, used for validation and prediction; 0 is off.
        layer_decay: factor of the learning rate from one block to the block before it.
        class_weights: weight rows so that every class counts the same.
        monitor: what chooses the epoch on validation rows (ties of accuracy are broken by log loss).
        patience: stop after so many epochs without improvement on validation; None: never.
        members: networks trained from different seeds; their probabilities are averaged.
        test_views: crops and reflections averaged for a prediction: 1, 2 (with reflection), 5 (crops), 10 (both).
        time_limit: minutes; the whole schedule is shortened to fit, not cut at its end. None: no limit.
        accumulation: equal parts that each batch passes in, their gradients added up; doubled where memory runs out.
        precision: ``"float32"``, ``"mixed_bfloat16"`` or ``"mixed_float16"``.
        devices: ``"auto"``, ``"cpu"``, ``"gpu"``, ``"gpu:0,2"`` or ``"cpu:2"`` (two logical devices).
        crop: ``"shift"`` (AlexNet's random crop), ``"resized"`` (random area and aspect) or ``"none"``.
        reflect: mirror images left to right: ``"yes"``, ``"no"``, or ``"auto"``: only if a linear probe cannot tell
            training images from their mirror images (so never digits or text; see ``training.reflection``).
        colour: strength of the colour jitter.
        rand_augment: strength of RandAugment (two operations an image); 0 is off.
        word_dropout: share of the tokens of a text that each pass hides; 0 is off.
        jitter: noise added to a series, in standard deviations of each channel; 0 is off.
        scaling: spread of the random factor of each channel of a series; 0 is off.
        window: share of a series that each pass shows, from a random place on; 1 is all.

    Raises:
        ToolkitError: if a value is outside its range or choices.
    """

    backbone: str = "efficientnet_lite0"
    weights: str = "imagenet"
    image_size: int | None = None
    backbone_options: dict[str, Any] = field(default_factory=dict)
    batch_norm: str = "auto"
    seed: int = 0
    epochs: int | None = None
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float | None = None
    find_learning_rate: bool = False
    momentum: float = 0.9
    schedule: str = "cosine"
    warm_up_ratio: float = 0.1
    weight_decay: float | None = None
    l2: float = 0.0
    max_norm: float = 0.0
    dropout: float = 0.0
    label_smoothing: float | None = None
    interpolation: float | None = None
    mixup: float = 0.0
    ema: float = 0.9
    layer_decay: float = 1.0
    class_weights: bool = False
    monitor: str = "accuracy"
    patience: int | None = None
    members: int = 1
    test_views: int = 1
    time_limit: float | None = None
    accumulation: int = 1
    precision: str = "float32"
    devices: str = "auto"
    crop: str = "shift"
    reflect: str = "auto"
    colour: float = 0.0
    rand_augment: float = 0.0
    word_dropout: float = 0.0
    jitter: float = 0.0
    scaling: float = 0.0
    window: float = 1.0

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                choices = ", ".join(map(str, allowed))
                raise ToolkitError(f"{name} is {getattr(self, name)!r}; it must be one of {choices}.")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ToolkitError(f"{name} is {value}; it must lie between {low:g} and {high:g}.")

    @property
    def from_scratch(self) -> bool:
        """Whether the network starts from random weights."""
        return self.weights == "none"

    @property
    def from_autoencoder(self) -> bool:
        """Whether the network comes from a run of ``pretrain-autoencoder``."""
        from toolkit.models import weight_sources

        path = weight_sources.find(self.backbone, self.weights).weights
        try:
            params = json.loads((Path(path).parent / "params.json").read_text(encoding="utf-8"))
            return params["recipe"] == "pretrain_autoencoder"
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @property
    def trains_long(self) -> bool:
        """Whether the defaults are those of a network from scratch; an autoencoder's features are no ImageNet's."""
        return self.from_scratch or self.from_autoencoder

    def for_rows(self, num_rows: int, *, few_weights: bool = False) -> "Settings":
        """The settings with what depends on the number of labelled training rows, and on the backbone, filled in.

        Args:
            num_rows: labelled training rows.
            few_weights: whether only adapters, biases or normalisations are trained.
        """
        advised, long = self._advised(), self.trains_long
        if self.optimizer == "sgd":
            rate = 0.1 if long else 0.003
        else:
            rate = 0.001 if long else 0.0003 if num_rows >= 500 else 0.0001
            rate = advised.get("learning_rate", rate)
        rate *= 10 if few_weights else 1
        smoothing = 0.0 if long else 0.1
        return dataclasses.replace(self, epochs=self.num_epochs(num_rows),
                                   label_smoothing=smoothing if self.label_smoothing is None else self.label_smoothing,
                                   learning_rate=rate if self.learning_rate is None else self.learning_rate)

    @property
    def decay(self) -> float:
        """The decoupled weight decay in force."""
        if self.weight_decay is not None:
            return self.weight_decay
        return 0.05 if self.optimizer == "adamw" else 0.0

    def num_epochs(self, num_rows: int) -> int:
        """Epochs for ``num_rows`` labelled training rows: as asked, else about 4,000 images, 3 to 30 epochs.

        A network from scratch, or from an autoencoder, has its features still to learn and gets ten times as many, at
        least 20. The catalogue may know better for a backbone: rows to show in all, fewest and most epochs.
        """
        if self.epochs is not None:
            return self.epochs
        usual = (40_000, 20, 100) if self.trains_long else (4_000, 3, 30)
        budget, fewest, most = self._advised().get("epochs", usual)
        return int(min(max(round(budget / max(num_rows, 1)), fewest), most))

    def _advised(self) -> dict[str, Any]:
        """What the catalogue advises for the backbone."""
        from toolkit.models import weight_sources

        return weight_sources.find(self.backbone, self.weights).entry.training

    def describe(self) -> dict[str, Any]:
        """The options as a JSON-ready dict, for ``params.json``."""
        return dataclasses.asdict(self)
