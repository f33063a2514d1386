"""What the recipes in feature space have in common: views, cross-fitting, the control, the files of a run.

A recipe brings a method and its control (see ``trials``) and the candidates of their settings; ``learn`` does the rest:

    pool -> foreign rows set aside -> views -> settings by cross-fitting -> judged against the control -> head -> files

Rows of every kind have views (see ``feature_views``). Where images may be mirrored, the mirror image is one more weak
view, and a prediction is the mean of that for the image and that for its mirror image; this holds for the method and
for its control. Features are extracted on one device, whatever ``--devices`` says, and heads are fitted on the
processor: nothing here runs under ``tf.distribute``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.evaluation import report
from toolkit.evaluation.baselines import LinearClassifier
from toolkit.evaluation.baselines.reduction import Reduction
from toolkit.models import backbones, classifiers
from toolkit.semisupervised import class_shares, feature_scales, feature_views, foreign, heads, pools, trials
from toolkit.tables import Table
from toolkit.training import Settings, features, reflection, run_folders

if TYPE_CHECKING:
    import keras

LABELS_ONLY = "labels only, in the same views"


@dataclass(frozen=True, eq=False)
class Recipe:
    """What one recipe brings.

    Attributes:
        title: in words, for the report.
        method: learns from labelled rows and pool.
        candidates: its settings, the usual ones first.
        control: learns from labelled rows only.
        control_candidates: its settings; those chosen are the method's too.
        same_head: what the method is without a pool, where the control is another classifier: the better of the two
            by cross-fitting is what the method is held against.
        strong_copies: strongly changed copies of each row.
        facts: for the report's ``training``.
    """

    title: str
    method: trials.Method
    candidates: Sequence[Mapping[str, Any]]
    control: trials.Method
    control_candidates: Sequence[Mapping[str, Any]]
    strong_copies: int
    facts: Mapping[str, Any]
    same_head: trials.Method | None = None


def learn(table: Table, folder: run_folders.RunFolder, backbone: "keras.Model", settings: Settings, recipe: Recipe, *,
          baselines: Mapping[str, np.ndarray], scales: int = 1) -> dict[str, Any]:
    """Learns by a recipe and writes the files of a run.

    Args:
        table: with labelled training rows.
        folder: of the run.
        backbone: from ``backbones.build``.
        settings: seed and reflect are used.
        recipe: the method.
        baselines: name -> (t, C) probabilities of the labelled test rows, from ``linear_probe.fit_controls``.
        scales: 2: features of a second, smaller look at each image stand beside the first; see ``feature_scales``. Not
            for random weights.

    Returns:
        The report, as in ``report.json``.
    """
    pool = pools.pool(table)
    mirrored = reflection.decide(table, backbone, settings.reflect) if table.kind == "image" else {"reflect": False}
    if scales == 2 and table.kind == "image" and not settings.from_scratch:
        backbone = feature_scales.at_two_scales(backbone)
    known, others = (features.extract(backbone, table, rows) for rows in (table.labelled("train"), pool.rows))
    pool = foreign.without(pool, table, known, others)
    reduced, problem = _problem(table, backbone, pool.rows, recipe.strong_copies, mirrored["reflect"], settings.seed)
    control, chosen, judgement = _chosen(table, backbone, recipe, reduced, problem)
    baseline = trials.final(control, problem)
    fit = baseline if chosen is control else trials.final(chosen, problem)
    judgement = pools.unless_swallowed(judgement, fit.pseudo_labels[fit.rounds > 0], problem.prior)
    used, by = (baseline, control) if judgement.fall_back else (fit, chosen)
    of_control, head = (_unfolded(reduced, one.head) for one in (baseline, used))
    looks = [features.extract(backbone, table, reflect=reflect) for reflect in (False, True)[:1 + mirrored["reflect"]]]
    probabilities, by_control = (np.mean([one.probabilities(values) for values in looks], axis=0)
                                 for one in (head, of_control))
    beside = {**baselines, LABELS_ONLY: by_control[table.labelled("test")]}
    classifiers.save_on_frozen(backbone, head.layers, folder.path / "model.keras", table.class_names,
                               test_views=len(looks))
    training = {"rows": len(problem.labels), "pool": len(pool.rows), **backbones.facts(backbone),
                "features": looks[0].shape[1], "mirrored": mirrored, **recipe.facts,
                "settings": dict(by.settings), "candidates": len(recipe.candidates),
                "validation_rows_that_chose": len(table.labelled("validation")), "temperature": by.temperature}
    result = report.build(table, probabilities, recipe=recipe.title, training=training, baselines=beside,
                          control=LABELS_ONLY, seed=settings.seed)
    result = pools.completed(result, pool, trials.audited(fit, chosen, problem, table.class_names), judgement)
    pools.write(folder.path / "pseudo_labels.csv", table, pool.rows, fit.pseudo_labels,
                trials.confidences(fit, problem), fit.rounds * (not judgement.fall_back), table.class_names)
    report.write_control(folder.path, table, beside[LABELS_ONLY])
    report.write(folder.path, table, probabilities, result, params=folder.params, history=fit.history)
    return result


def _problem(table: Table, backbone: "keras.Model", pool: np.ndarray, strong_copies: int, reflect: bool, seed: int
             ) -> tuple[Reduction, trials.Problem]:
    """Labelled rows and pool in all views, in one reduced space. No seed changes the views, so they are drawn once."""
    rows = np.concatenate([table.labelled("train"), pool])
    plain = features.extract(backbone, table, rows)
    reduced = heads.space(plain)
    drawn = [reduced.features]
    if reflect:
        drawn.append(heads.projected(reduced, features.extract(backbone, table, rows, reflect=True)))
    weak, strong = feature_views.changes(table)
    for change, copies in ((weak, int(weak is not None)), (strong, strong_copies)):
        for copy in range(copies):
            view = feature_views.draw(backbone, table, rows, change, copy=copy, reflect=reflect)
            drawn.append(heads.projected(reduced, view))
    views, count = np.stack(drawn), len(rows) - len(pool)
    labels = table.labels[rows[:count]]
    prior = class_shares.of_labels(labels, len(table.class_names))
    return reduced, trials.Problem(views[:, :count], labels, views[:, count:], prior,
                                   num_weak=int(weak is not None) + reflect, seed=seed)


def _chosen(table: Table, backbone: "keras.Model", recipe: Recipe, reduced: Reduction, problem: trials.Problem
            ) -> tuple[trials.Trial, trials.Trial, pools.Judgement]:
    """The control and the method with their settings, and whether the pool gained anything."""
    groups = pools.together(table, table.labelled("train"))
    rows = table.labelled("validation")
    validation = (heads.projected(reduced, features.extract(backbone, table, rows)), table.labels[rows])
    control = trials.choose(recipe.control, recipe.control_candidates, problem, groups=groups, validation=validation,
                            title="cross-fitting the control")
    candidates = [{**control.settings, **settings} for settings in recipe.candidates]
    if recipe.same_head is not None:
        other = trials.choose(recipe.same_head, [{}], problem, groups=groups, validation=validation,
                              title="cross-fitting the method without a pool")
        control = max(control, other, key=lambda one: one.rank)
    if not problem.pool.shape[1]:
        return control, control, pools.UNUSED
    chosen = trials.choose(recipe.method, candidates, problem, groups=groups, validation=validation,
                           title=f"cross-fitting {recipe.title}")
    return control, chosen, pools.judge(chosen.labels, chosen.probabilities, control.probabilities, chosen.rows)


def _unfolded(reduced: Reduction, head: LinearClassifier) -> LinearClassifier:
    """The same classifier on raw features."""
    kernel, bias = reduced.unfold(head.kernel, head.bias)
    return replace(head, kernel=kernel, bias=bias)

