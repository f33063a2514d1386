"""Which backbone suits a table: each candidate's frozen features are scored on the labelled training rows.

Nothing is fine-tuned and no test row is looked at. The yardstick is the accuracy of logistic regression on rows that
neither its fit nor its choice of C has seen (nested cross-validation); LogME and the H-score train nothing and stand
beside it. What fine-tuning would cost is predicted from a few real training steps,

    minutes = (steps * t + t * (epochs * validation rows + 2 * rows) / (3 * batch size)) / 60,    t seconds a step

with a third of a training step for a forward pass, as for ``--time-limit``. The features are cached, so that the
``linear-probe`` or ``fine-tune`` that follows finds them.

References:
    Kornblith et al. 2019 (frozen accuracy and fine-tuned accuracy rank networks alike),
    https://arxiv.org/abs/1805.08974; LogME and H-score: ``toolkit.evaluation.transferability``
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from recipes import fine_tune, linear_probe
from toolkit import ToolkitError, inputs
from toolkit.evaluation import rankings, transferability
from toolkit.evaluation.baselines.folds import sample
from toolkit.models import backbones, catalogue, classifiers
from toolkit.tables import Table
from toolkit.training import Settings, calibration, devices, features, plans, streams
from toolkit.training.progress import say

TIMES = ("seconds_per_step", "fine_tuning_minutes")
MAX_ROWS = 5000  # a ranking need not see more
RANDOM = "Random weights ({}): frozen features say little about what such a network would learn from scratch."
TRAINED = ("Weights of a run ({}): if it was trained on rows of this table, its features know their labels, and these "
           "scores flatter it.")


def present(settings: Settings = Settings()) -> list[Settings]:
    """The default candidates: ``settings`` with each backbone whose pretrained weights are on this machine."""
    names = [row["name"] for row in catalogue.describe() if row["weights"] != "none" and row["present"]]
    return [dataclasses.replace(settings, backbone=name, weights="imagenet", image_size=None, backbone_options={})
            for name in names]


def rank(table: Table, *, candidates: Sequence[Settings] | None = None, settings: Settings = Settings(),
         measure_steps: bool = True) -> dict[str, Any]:
    """Ranks backbones by how well their frozen features suit the labelled training rows.

    Args:
        table: of images, with labelled training rows.
        candidates: settings that differ in backbone, weights, image_size and backbone_options; None: those of
            ``present``.
        settings: their seed draws the folds, and the sample above 5,000 labelled training rows; their devices are used.
        measure_steps: take a few training steps of each to predict the time of fine-tuning.

    Returns:
        JSON-ready dict: source, labelled_rows, rows (that were used), num_classes, notes, and what
        ``rankings.build`` returns; each candidate with name, backbone, weights, image_size, num_features, logme,
        h_score, seconds_per_step and fine_tuning_minutes (None where not measured).

    Raises:
        ToolkitError: if there is no candidate, or one of them cannot be built.

    Example:
        >>> from toolkit.tables import read_table
        >>> candidate = Settings(backbone="small_cnn", weights="none", image_size=28)
        >>> ranking = rank(read_table(digits_csv), candidates=[candidate], measure_steps=False)
        >>> ranking["candidates"][0]["accuracy"] > 0.5
        True
    """
    # Data
    devices.strategy(settings.devices)
    chosen = present(settings) if candidates is None else _distinct(candidates)
    if not chosen:
        raise ToolkitError("No pretrained weights are on this machine, so there is nothing to rank: name candidates "
                           "with --backbone NAME[=WEIGHTS][@SIZE].")
    labelled = table.labelled("train")
    rows = labelled[sample(table.labels[labelled], MAX_ROWS, settings.seed)]
    groups = None if table.groups is None else table.groups[rows]
    together = table.checksums[rows] if groups is None else groups  # no copy of a row is held out without it

    # Features and their scores
    for candidate in chosen[1:]:
        linear_probe.build_backbone(table, candidate)  # what cannot be built is refused before hours of work
    found, hits = [], []
    for candidate, name in zip(chosen, _names(chosen), strict=True):
        facts, right = _scored(table, rows, candidate, name, together, settings.seed)
        times = _time_to_fine_tune(table, candidate) if measure_steps else dict.fromkeys(TIMES)
        found.append({**facts, **times})
        hits.append(right)

    # Report
    of_kind = {RANDOM: [row["name"] for row in found if row["weights"] == "none"],
               TRAINED: [row["name"] for row in found if _is_run(row["backbone"]) or _is_run(row["weights"])]}
    notes = [note.format(", ".join(names)) for note, names in of_kind.items() if names]
    return {"recipe": "rank-backbones", "source": table.source, "labelled_rows": len(labelled), "rows": len(rows),
            "num_classes": len(np.unique(table.labels[rows])), "folds": transferability.NUM_FOLDS, "notes": notes,
            **rankings.build(found, hits, table.labels[rows], groups=groups)}


def _scored(table: Table, rows: np.ndarray, candidate: Settings, name: str, groups: np.ndarray, seed: int
            ) -> tuple[dict[str, Any], np.ndarray | None]:
    """What is known of a candidate but its times, and which rows it gets right held out."""
    backbone = linear_probe.build_backbone(table, candidate)
    values, labels = features.extract(backbone, table, rows), table.labels[rows]
    say(f"{name}: scoring {len(rows):,} rows of {values.shape[1]:,} features")
    facts = {"name": name, "backbone": candidate.backbone, "weights": candidate.weights,
             "image_size": backbones.preprocessing(backbone).image_size, "num_features": values.shape[1],
             "logme": transferability.logme(values, labels), "h_score": transferability.h_score(values, labels)}
    return facts, transferability.held_out_hits(values, labels, len(table.class_names), groups=groups, seed=seed)


def _time_to_fine_tune(table: Table, settings: Settings) -> dict[str, float]:
    """Seconds of a training step, measured in float32, and the minutes that ``fine_tune`` would take."""
    num_rows, num_validation = len(table.labelled("train")), len(table.labelled("validation"))
    settings = settings.for_rows(num_rows)
    plan = plans.make(settings, num_rows, seed=settings.seed)
    with devices.strategy(settings.devices).scope():
        backbone = linear_probe.build_backbone(table, settings)
        model = classifiers.with_head(backbones.network(backbone), len(table.class_names), dropout=settings.dropout)
        fine_tune.compile_member(model, settings, plan, unfreeze="probe-first", probe=None)
    batches = streams.labelled(table, backbones.preprocessing(backbone), settings, reflect=False, seed=settings.seed)
    say(f"{settings.backbone}: timing {calibration.TIMED_STEPS} training steps")
    seconds, first = inputs.explained(table, lambda: calibration.seconds_per_step(model, batches))
    forward = seconds / (3 * settings.batch_size)
    total = plan.total_steps * seconds + first + forward * (plan.epochs * num_validation + 2 * len(table))
    return dict(zip(TIMES, (seconds, settings.members * total / 60), strict=True))


def _is_run(source: str) -> bool:
    """Whether a backbone or its weights come from a run: its folder, or a file that Keras wrote."""
    return source.endswith((".keras", ".h5")) or (Path(source) / "model.keras").is_file()


def _distinct(candidates: Sequence[Settings]) -> list[Settings]:
    """Each candidate once, in the order given."""
    return [candidate for place, candidate in enumerate(candidates) if candidate not in candidates[:place]]


def _names(candidates: Sequence[Settings]) -> list[str]:
    """What each is called, as the command line writes it; the whole path of the weights only where it is needed."""
    short, long = ([_name(candidate, whole) for candidate in candidates] for whole in (False, True))
    return [name if short.count(name) == 1 else whole for name, whole in zip(short, long, strict=True)]


def _name(candidate: Settings, whole: bool) -> str:
    backbone, weights = (PurePath(text).name if PurePath(text).is_absolute() and not whole else text
                         for text in (candidate.backbone, candidate.weights))
    options = "".join(f",{key}={value}" for key, value in candidate.backbone_options.items())
    size = "" if candidate.image_size is None else f"@{candidate.image_size}"
    return backbone + options + ("" if candidate.weights == "imagenet" else f"={weights}") + size
