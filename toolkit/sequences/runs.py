"""What ``train-lstm`` and ``train-transformer`` share: the task says what is learnt, the recipe by which network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from toolkit import ToolkitError
from toolkit.sequences import forecasting, language_models, pretraining, tagging
from toolkit.training import Settings, run_folders

TASKS = {"tag": tagging.run, "forecast": forecasting.run, "language-model": language_models.run}  # beside classify


def learn(table: Any, *, network: str, title: str, output: str | Path, settings: Settings, task: str,
          pretrain_epochs: int, unfreeze: str, resume: bool, build: Callable[..., Any],
          classify: Callable[..., dict[str, Any]], **own: Any) -> dict[str, Any]:
    """Learns a task and writes a run folder.

    Args:
        table: what the task takes.
        network: "lstm" or "transformer": the backbone, whatever the settings say.
        title: of a classifier, for its report.
        output: the new run folder.
        settings: everything else about training.
        task: "classify" or a key of ``TASKS``.
        pretrain_epochs: passes over the texts before a classifier is trained; 0: none.
        unfreeze: as of ``fine_tune.run``.
        resume: continue a run that was stopped.
        build: ``linear_probe.build_backbone``.
        classify: ``fine_tune.classify``.
        **own: further arguments of the task.

    Returns:
        The report.

    Raises:
        ToolkitError: if the folder, the table or the options cannot be used.
    """
    recipe, weights = f"train_{network}", "none" if settings.weights == "imagenet" else settings.weights
    settings = dataclasses.replace(settings, backbone=network, weights=weights)
    if task in TASKS:
        return TASKS[task](table, output=output, settings=settings, network=network, recipe=recipe, resume=resume,
                           **own)
    if task != "classify":
        raise ToolkitError(f"task is {task!r}; it must be one of classify, {', '.join(TASKS)}.")
    options = {**settings.describe(), "task": task, "pretrain_epochs": pretrain_epochs, "unfreeze": unfreeze}
    with run_folders.begin(output, recipe, table, options, resume=resume) as folder:
        if folder.finished:
            return folder.report
        facts: dict[str, Any] = {}
        if pretrain_epochs:
            settings, facts["pretraining"] = pretraining.pretrain(table, partial(build, table, settings), settings,
                                                                  folder, epochs=pretrain_epochs)
        return classify(table, folder, settings, unfreeze=unfreeze, recipe=title, more=facts)
