"""How a method in pixel space and its control are trained: from the same start, with the same length and rates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from toolkit import inputs
from toolkit.evaluation.baselines import LinearClassifier
from toolkit.models import backbones, blocks, classifiers
from toolkit.semisupervised import (class_shares, pixel_alarms, pixel_controls, pixel_models, pixel_stages,
                                    pixel_views)
from toolkit.tables import Table
from toolkit.training import Settings, calibration, checkpoints, devices, loop, plans, run_folders, streams
from toolkit.training.settings import RANGES

STEPS, STEPS_FROM_SCRATCH, EPOCHS = 1500, 6000, 10
RATE_FROM_SCRATCH = 0.003  # of networks with BatchNorm and of Adam: three times that of labels alone
AVERAGE_OVER = 0.1  # of the steps: the length of the moving average of the weights
METHOD_SHARE = 0.7  # of the time limit; the rest is the control's


@dataclass(frozen=True, eq=False)
class PixelRecipe:
    """What one recipe brings.

    Attributes:
        title: in words, for the report.
        model: (classifier, total_steps=, num_unlabelled=, hints=, align=) -> its ``PoolModel``.
        views: (settings, reflect) -> how the unlabelled images are shown.
        steps: gradient steps of the method, and of its control; None: as many as is usual for the network.
        epochs: parts of the training, each followed by validation.
        fixed_epochs: whether a time limit leaves their number alone.
        loss: of the control on logits and one-hot labels; None: cross-entropy, smoothed as the settings say.
        passes: how often a step passes each of its unlabelled images through the network.
        relabels: whether the whole pool passes too, once an epoch.
        callbacks: what they may want to know -> those of the method's training; None: it has none.
        facts: for the report's ``training``.
    """

    title: str
    model: Callable[..., pixel_models.PoolModel]
    views: Callable[[Settings, bool], pixel_views.Views]
    steps: int | None = None
    epochs: int = EPOCHS
    fixed_epochs: bool = False
    loss: keras.losses.Loss | None = None
    passes: int = 2
    relabels: bool = False
    callbacks: Callable[[pixel_models.Start], Sequence[keras.callbacks.Callback]] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def num_steps(settings: Settings) -> int:
    """Gradient steps of a method that was not told how many: a network from scratch has its features to learn too."""
    return STEPS_FROM_SCRATCH if settings.from_scratch else STEPS


def ready(settings: Settings, num_rows: int, steps: int, build: Callable[[], keras.Model]) -> Settings:
    """The settings with what depends on the length filled in: rates by all rows, no smoothing, a long average.

    Smoothed labels would hold confidence below the thresholds of the weight rules.

    Args:
        settings: as asked for.
        num_rows: labelled and unlabelled training rows.
        steps: gradient steps.
        build: () -> the backbone; from scratch, one with BatchNorm learns fastest at a higher rate.
    """
    unsaid = settings.learning_rate is None and settings.optimizer != "sgd"
    if unsaid and settings.from_scratch and blocks.batch_normalisations(build()):
        settings = dataclasses.replace(settings, learning_rate=RATE_FROM_SCRATCH)
    smoothing = settings.label_smoothing or 0.0
    return averaged(dataclasses.replace(settings.for_rows(num_rows), label_smoothing=smoothing), steps)


def averaged(settings: Settings, steps: int) -> Settings:
    """The settings with a moving average of the weights over a tenth of the steps, unless there shall be none.

    Args:
        settings: as asked for.
        steps: gradient steps.
    """
    return dataclasses.replace(settings, ema=settings.ema and 1 - 1 / max(2.0, AVERAGE_OVER * steps))


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained method: weights of its classifier, the history, and the model, which knows what it would teach."""

    weights: list[np.ndarray]
    history: list[dict[str, Any]]
    model: pixel_models.PoolModel


class Trainer:
    """Trains method and control with the same network, length, rates and seeds.

    Args:
        table: of images, with labelled training rows.
        folder: of the run, for checkpoints.
        settings: from ``ready``.
        recipe: the method.
        pool: (p,) the unlabelled rows to learn from.
        build: () -> a backbone, always with the same weights.
        compile_: (classifier, settings, plan, unfreeze=, probe=), as ``fine_tune.compile_member``.
        probe: the head that the control starts with, and the method unless there is a stage; None: random.
        stage: in feature space, whose head the method starts with; None: there was none.
        mirrored: from ``reflection.decide``.
        align: whether the pool is taken to have the classes in the shares of the labels.
    """

    def __init__(self, table: Table, folder: run_folders.RunFolder, settings: Settings, recipe: PixelRecipe,
                 pool: np.ndarray, *, build: Callable[[], keras.Model], compile_: Callable[..., None],
                 probe: LinearClassifier | None, stage: pixel_stages.Stage | None, mirrored: Mapping[str, Any],
                 align: bool = True) -> None:
        self.table, self.folder, self.settings, self.recipe, self.pool = table, folder, settings, recipe, pool
        self.build, self.compile, self.probe, self.stage, self.mirrored = build, compile_, probe, stage, mirrored
        self.align = align
        steps = math.ceil(recipe.steps / recipe.epochs)
        self.plan = plans.Plan(steps, math.ceil(recipe.steps / steps), settings.seed, folder.checkpoints / "method",
                               recipe.title, keep="latest", from_start=not settings.from_scratch,
                               fixed_epochs=recipe.fixed_epochs, parts=settings.accumulation)
        self.preprocessing = backbones.preprocessing(build())
        self.views = recipe.views(settings, mirrored["reflect"])
        self.cached = self.calibrated = False

    def _classifier(self, name: str = "classifier", precision: str = "float32") -> keras.Model:
        """A network with the weights it starts from, and a random head."""
        keras.config.set_dtype_policy(precision)
        try:
            backbone = self.build()  # seeds all that is random after it
            return classifiers.with_head(backbones.network(backbone), len(self.table.class_names),
                                         dropout=self.settings.dropout, name=name)
        finally:
            keras.config.set_dtype_policy("float32")

    def _compile(self, classifier: keras.Model, probe: LinearClassifier | None) -> None:
        self.compile(classifier, self.settings, self.plan, unfreeze="all" if probe is None else "probe-first",
                     probe=probe)
        if self.recipe.loss is not None:
            classifier.compile(optimizer=classifier.optimizer, loss=self.recipe.loss)

    def method(self) -> Trained:
        """Trains the method; a time limit shortens the plan for the control too."""
        stage, probe = self.stage, self.probe if self.stage is None else self.stage.head
        batches = pixel_views.batches(self.table, self.pool, self.preprocessing, self.settings, self.views,
                                      reflect=self.mirrored["reflect"], seed=self.settings.seed)
        validation = streams.validation(self.table, self.preprocessing, self.settings)
        hints = None if stage is None or stage.judgement.fall_back else (stage.labels, stage.weights)
        images = self.settings.batch_size * (1 + self.recipe.passes * self.views.per_label)
        passes = {"images_a_step": images, "rows_between": self.recipe.relabels * len(self.pool)}
        with devices.strategy(self.settings.devices).scope():
            classifier = self._classifier(precision=self.settings.precision)
            self._compile(classifier, probe)
            model = self._pool_model(classifier, hints)
            if self._calibrate(model, batches, validation, METHOD_SHARE, **passes):
                self._compile(classifier, probe)  # the schedule's length has changed
                model = self._pool_model(classifier, hints)
        history = inputs.explained(self.table, lambda: loop.fit(model, batches, self.plan, validation,
                                                                callbacks=self._callbacks()))
        return Trained(checkpoints.get_weights(classifier), history, model)

    def _pool_model(self, classifier: keras.Model, hints: pixel_models.Hints | None) -> pixel_models.PoolModel:
        model = self.recipe.model(classifier, total_steps=self.plan.total_steps, num_unlabelled=len(self.pool),
                                  hints=hints, align=self.align,
                                  label_smoothing=self.settings.label_smoothing or 0.0)
        model.compile(optimizer=classifier.optimizer, jit_compile=False)
        return model

    def _calibrate(self, model: keras.Model, batches: calibration.Batches, validation: loop.Validation | None,
                   share: float, **passes: int) -> bool:
        """Length and rate by what ``share`` of the time limit allows this model, once; whether anything was asked."""
        asked = self.settings.time_limit is not None or self.settings.find_learning_rate
        if self.calibrated or not asked:
            return False
        judge = (lambda: validation.scores(model)) if validation else (lambda: None)
        limit = self.settings.time_limit and max(share * self.settings.time_limit, RANGES["time_limit"][0])
        self.plan, found = calibration.calibrate(
            model, batches, self.plan, dataclasses.replace(self.settings, time_limit=limit), end_epoch=judge,
            num_rows=len(self.table), **passes)
        self.settings = averaged(dataclasses.replace(self.settings, learning_rate=found.learning_rate),
                                 self.plan.total_steps)
        self.calibrated = True
        return True

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        """The alarms, and those of the recipe."""
        shares = class_shares.of_labels(self.table.labels[self.table.labelled("train")], len(self.table.class_names))
        seen = self.settings.batch_size * self.views.per_label / (1 - pixel_models.MASS_MOMENTUM)
        images = inputs.evaluation_batches(self.table, self.pool, preprocessing=self.preprocessing,
                                           batch_size=self.settings.batch_size)
        start = pixel_models.Start(self.settings.from_scratch, self.plan.steps_per_epoch, self.plan.epochs, shares,
                                   images)
        own = self.recipe.callbacks(start) if self.recipe.callbacks else ()
        held_out = pixel_alarms.HeldOut.of(self.table, self.preprocessing, self.settings.batch_size)
        return [pixel_alarms.Alarms(shares, self.table.class_names, int(seen), held_out), *own]

    def control(self) -> list[np.ndarray]:
        """The weights of the control; where the method was not trained, the time limit is all the control's."""
        reflect = self.mirrored["reflect"]
        batches = streams.labelled(self.table, self.preprocessing, dataclasses.replace(self.settings, mixup=0.0),
                                   reflect=reflect, seed=self.settings.seed)
        validation = streams.validation(self.table, self.preprocessing, self.settings)
        with devices.strategy(self.settings.devices).scope():
            classifier = self._classifier(precision=self.settings.precision)
            self._compile(classifier, self.probe)
            if self._calibrate(classifier, batches, validation, 1.0):
                self._compile(classifier, self.probe)
        plan = dataclasses.replace(self.plan, folder=self.folder.checkpoints / "control", title="the control")
        settings = dataclasses.replace(self.settings, time_limit=None, mixup=0.0)

        def train() -> list[np.ndarray]:
            inputs.explained(self.table, lambda: loop.fit(classifier, batches, plan, validation))
            return checkpoints.get_weights(classifier)

        facts = {"settings": settings.describe(), "steps": plan.total_steps, "epochs": plan.epochs, "reflect": reflect,
                 "preprocessing": repr(self.preprocessing), "loss": getattr(self.recipe.loss, "name", "")}
        found, self.cached = pixel_controls.weights(self.table, facts, checkpoints.get_weights(classifier), train)
        return found

    def saved(self, weights: list[np.ndarray]) -> keras.Model:
        """A classifier from image to probabilities, on one device, with these weights.

        Where images may be mirrored, it averages those of the image and of its mirror image, as in feature space.
        """
        plain = self._classifier("member_0")
        checkpoints.set_weights(plain, weights)
        views = max(self.settings.test_views, 1 + self.mirrored["reflect"])
        return classifiers.assemble([plain], self.preprocessing, test_views=views)

    def facts(self) -> dict[str, Any]:
        """For the report's ``training``."""
        size, per_label, steps = self.settings.batch_size, self.views.per_label, self.plan.total_steps
        passes = steps * size * (1 + self.recipe.passes * per_label)
        if self.recipe.relabels:
            passes += (self.plan.epochs - self.settings.from_scratch) * len(self.pool)
        rounds = {"rounds": self.plan.epochs} if self.recipe.relabels else {}
        return {"rows": len(self.table.labelled("train")), "pool": len(self.pool),
                **backbones.facts(self.build()), "mirrored": dict(self.mirrored),
                **self.recipe.facts, **rounds, "steps": steps, "batch": f"{size} + {size * per_label}",
                "image_passes": passes, "learning_rate": self.settings.learning_rate,
                "moving_average": self.settings.ema, "precision": self.settings.precision,
                "control_from_cache": self.cached}
