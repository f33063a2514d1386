"""What the recipes in pixel space have in common: network, schedule, control, judgement, the files of a run.

A recipe brings a model that learns from labelled and unlabelled images (see ``pixel_models``) and how the images are
shown to it; ``learn`` does the rest:

    pool -> foreign rows set aside -> method -> control (cached), from the same start -> judged on validation rows
         -> the files of a run

By features of a pretrained backbone foreign rows are set aside as in feature space, where that comes first by what it
set aside.

Cross-fitting would train the network anew for every fold. So validation rows judge, where there are any; else what
hidden labelled rows said in feature space, where that was asked (``--space both``); else nothing does, and the report
says so. Validation rows are few here; what they cannot tell apart, by a standard error or a row, they do not decide: of
the epochs that look as good as the best one the latest is taken, whose rate has fallen and whose average is longest,
and the pool is used unless the control looks better than that, or better by more than two points.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit import ToolkitError
from toolkit.evaluation import report
from toolkit.models import classifiers, weight_sources
from toolkit.semisupervised import audit, class_shares, foreign, pixel_alarms, pixel_stages, pixel_training, pools
from toolkit.semisupervised.pixel_training import PixelRecipe, Trained, Trainer
from toolkit.tables import Table
from toolkit.training import Settings, features, loop, prediction, reflection, run_folders, workers
from toolkit.training.progress import say
from toolkit.training.settings import RANGES

if TYPE_CHECKING:
    import keras

__all__ = ["PixelRecipe", "check", "learn"]

LABELS_ONLY = "the same network on labels only"
PHOTO_SIZE = 96  # pixels: a sixth of the cost of 224
SPACES = ("features", "pixels", "both")
UNFILTERED = ("Unlabelled rows that show other things than the classes were not looked for: a network from scratch has "
              "no features yet to tell them by.")
CHOSE_TOO = "validation rows, which chose the epoch too"
SMALLEST = 1e-12


def check(space: str, settings: Settings) -> Settings:
    """The settings for a space, with the image size that pixel space can afford.

    Args:
        space: one of ``SPACES``.
        settings: as asked for.

    Raises:
        ToolkitError: if there is no such space, or no stage in feature space is possible.
    """
    if space not in SPACES:
        raise ToolkitError(f"space is {space!r}; it must be one of {', '.join(SPACES)}.")
    if space == "both" and settings.from_scratch:
        raise ToolkitError("space is 'both', but a network from scratch has no features to begin with: use --space "
                           "pixels, or pretrained --weights.")
    source = weight_sources.find(settings.backbone, settings.weights)
    own_size = source.entry.family == "small_networks" or source.preprocessing == weight_sources.RUN
    if space == "features" or settings.image_size is not None or own_size:
        return settings
    size = max(PHOTO_SIZE, source.entry.minimum_size)
    say(f"pixel space: the network sees {size} x {size} pixels; --image-size changes it")
    return dataclasses.replace(settings, image_size=size)


def learn(table: Table, folder: run_folders.RunFolder, settings: Settings, recipe: PixelRecipe, *, controls: Any,
          build: Callable[[], keras.Model], compile_: Callable[..., None],
          stage: Callable[..., dict[str, Any]] | None = None) -> dict[str, Any]:
    """Learns by a recipe and writes the files of a run.

    Args:
        table: of images, with labelled training rows.
        folder: of the run.
        settings: from ``check``.
        recipe: the method.
        controls: ``linear_probe.Controls``; the network's head starts as the probe on its features.
        build: () -> a backbone, always with the same weights.
        compile_: ``fine_tune.compile_member``.
        stage: (output=) -> report, the recipe's own run in feature space, which comes first; None: no such stage.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the settings cannot be used, or the loss is no longer finite.
        KeyboardInterrupt: on Ctrl-C; the same command with --resume continues.
    """
    started = time.monotonic()
    probe = None if settings.from_scratch else controls.classifiers[controls.main]
    pool, first = _pool(table, folder, settings, build, stage)
    mirrored = reflection.decide(table, None if settings.from_scratch else build(), settings.reflect)
    recipe = dataclasses.replace(recipe, steps=recipe.steps or pixel_training.num_steps(settings))
    settings = _in_the_time_left(settings, workers.of_chief((time.monotonic() - started) / 60))
    num_rows = len(table.labelled("train")) + len(pool.rows)
    settings = pixel_training.ready(settings, num_rows, recipe.steps, build)
    trainer = Trainer(table, folder, settings, recipe, pool.rows, build=build, compile_=compile_, probe=probe,
                      stage=first, mirrored=mirrored, align=_alike(table, pool.rows, probe, build))
    try:
        method = trainer.method() if _worthwhile(table, pool, first) else None
        control = trainer.control()
    except loop.Interrupted as stop:
        say(f"{stop}. The same command with --resume continues.")
        raise
    beside = dict(controls.probabilities)
    if first is not None:
        beside[pixel_stages.TITLE] = first.probabilities
    return _written(trainer, method, control, pool, beside, started)


def _in_the_time_left(settings: Settings, minutes: float) -> Settings:
    """The settings with what is left of a time limit after so many minutes."""
    if settings.time_limit is None:
        return settings
    return dataclasses.replace(settings, time_limit=max(settings.time_limit - minutes, RANGES["time_limit"][0]))


def _pool(table: Table, folder: run_folders.RunFolder, settings: Settings, build: Callable[[], keras.Model],
          stage: Callable[..., dict[str, Any]] | None) -> tuple[pools.Pool, pixel_stages.Stage | None]:
    """The unlabelled rows to learn from, without foreign ones, and the stage that comes first, if there is one."""
    pool = pools.pool(table)
    if stage is not None:
        where = folder.shared / pixel_stages.FOLDER
        report_of_stage = stage(output=where)
        workers.wait()  # for the chief, who writes the stage's files
        first, pool = pixel_stages.read(where, table, pool, report_of_stage)
        return pool, first
    if not len(pool.rows):
        return pool, None
    if settings.from_scratch:
        return dataclasses.replace(pool, notes=(*pool.notes, UNFILTERED)), None
    backbone = build()
    known, others = (features.extract(backbone, table, rows) for rows in (table.labelled("train"), pool.rows))
    return foreign.without(pool, table, known, others), None


def _alike(table: Table, pool: np.ndarray, probe: Any, build: Callable[[], keras.Model]) -> bool:
    """Whether the probe sees the classes in the pool (p,) in about the shares of the labels; True without a probe."""
    if probe is None or not len(pool):
        return True
    guessed = probe.probabilities(features.extract(build(), table, pool)).argmax(axis=1)
    num_classes = len(table.class_names)
    return not class_shares.differ(guessed, class_shares.of_labels(table.labels[table.labelled("train")], num_classes))


def _written(trainer: Trainer, method: Trained | None, control: list[np.ndarray], pool: pools.Pool,
             beside: dict[str, np.ndarray], started: float) -> dict[str, Any]:
    """Predicts, judges and writes the files of a run."""
    table, folder, settings = trainer.table, trainer.folder, trainer.settings
    of_control = prediction.predict(trainer.saved(control), table)
    of_method = of_control if method is None else prediction.predict(trainer.saved(method.weights), table)
    judgement = _judged(table, of_method, of_control, trainer.stage) if len(pool.rows) else pools.UNUSED
    fall_back = judgement.fall_back or method is None
    classifiers.save(trainer.saved(control if fall_back else method.weights), folder.path / "model.keras",
                     table.class_names)
    probabilities = of_control if fall_back else of_method
    training = {**trainer.facts(), "seconds": round(time.monotonic() - started, 1)}
    result = report.build(table, probabilities, recipe=f"{trainer.recipe.title} in pixel space", training=training,
                          baselines={**beside, LABELS_ONLY: of_control[table.labelled("test")]}, control=LABELS_ONLY,
                          seed=settings.seed)
    labels, rounds, found = _audited(table, pool.rows, of_method, method)
    result = pools.completed(result, pool, found, judgement)
    if trainer.stage is not None:
        result["unlabelled"]["feature_space"] = trainer.stage.audit
    pools.write(folder.path / "pseudo_labels.csv", table, pool.rows, labels, of_method[pool.rows, labels],
                rounds * (not fall_back), table.class_names)
    report.write_control(folder.path, table, of_control[table.labelled("test")])
    report.write(folder.path, table, probabilities, result, params=folder.params,
                 history=method.history if method else [])
    return result


def _worthwhile(table: Table, pool: pools.Pool, stage: pixel_stages.Stage | None) -> bool:
    """Whether the method is trained at all: not where nothing but a stage that fell back could judge it."""
    lost = stage is not None and stage.judgement.fall_back and not len(table.labelled("validation"))
    return len(pool.rows) > 0 and not lost


def _judged(table: Table, method: np.ndarray, control: np.ndarray, stage: pixel_stages.Stage | None) -> pools.Judgement:
    """Validation rows judge; else the stage in feature space; else nothing."""
    rows = table.labelled("validation")
    if len(rows):
        return pools.judge(table.labels[rows], method[rows], control[rows], what=CHOSE_TOO, lenient=True)
    if stage is not None:
        return stage.judgement
    return pools.Judgement(None, 0, False, "There is no validation row, and cross-fitting a whole network is too dear: "
                                           "the unlabelled rows are used unjudged. Give validation rows, or --space "
                                           "both.")


def _audited(table: Table, pool: np.ndarray, probabilities: np.ndarray, method: Trained | None
             ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Pseudo-labels, the rounds that took them, and the audit, whose hidden rows are the validation rows."""
    if method is None:
        nothing = pools.unaudited(len(table.class_names))
        return probabilities[pool].argmax(axis=1), np.zeros(len(pool), int), nothing
    logits = np.log(np.maximum(probabilities, SMALLEST)).astype(np.float32)
    train, hidden = table.labelled("train"), table.labelled("validation")

    def taught(rows: np.ndarray, positions: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        return method.model.pseudo_labels(logits[rows], positions, logits[train], table.labels[train])

    labels, weights = taught(pool, np.arange(len(pool)))
    rounds = method.model.rounds(weights)
    if len(hidden):
        predictions, of_hidden = taught(hidden, None)
        confident = probabilities[hidden, predictions]
    else:  # the labelled rows say what the shares of the classes are, and nothing about precision
        hidden, predictions, of_hidden, confident = train, table.labels[train], np.zeros(len(train)), None
    chosen = max(row["epoch"] for row in method.history if row["chosen"])
    history = pixel_alarms.precisions([row for row in method.history if row["epoch"] <= chosen], len(hidden))
    found = audit.audit(labels, probabilities[pool, labels], rounds > 0, hidden_labels=table.labels[hidden],
                        hidden_predictions=predictions, hidden_used=of_hidden >= 0.5, history=history,
                        num_classes=len(table.class_names), hidden_confidences=confident,
                        class_names=table.class_names)
    return labels, rounds, found
