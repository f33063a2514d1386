"""Label spreading: the labels of few rows reach the others along a nearest-neighbour graph of frozen features.

Images, texts or series whose features point the same way are joined, and Poisson learning spreads the labels,

    L U = sum over labelled rows j of (y_j - mean of y) at j,    L the Laplacian of the graph,

(``toolkit.semisupervised.graph`` has Laplace learning and label spreading too). The scores, brought in line with the
classes' shares, become soft labels of the unlabelled rows, and a classifier of all rows predicts new ones: logistic
regression, or a network with a hidden layer where no line parts the classes. What can be chosen is chosen by
cross-fitting: labelled rows are hidden in the pool and scored. The control is logistic regression on the labelled rows
alone, or the network on them alone where that does better on the hidden rows; where these show no gain over it, the run
falls back to it.

Measured (commands in ``benchmarks/RESULTS.md``): cifar10_small, frozen features, 40 labels, five draws: 55.7 % right,
labels only 49.3 %; 250 labels: 62.7 and 60.6 %, not distinguishable; a minute. MNIST on variational codes, 50 labels,
20 draws: 4.3 % of the unlabelled rows wrong (published: 4.7), in 2 s once the graph stands.

References:
    Calder, Cook, Thorpe, Slepčev 2020, https://arxiv.org/abs/2006.11184; Zhou et al. 2003,
    https://papers.nips.cc/paper/2506-learning-with-local-and-global-consistency
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from recipes import linear_probe
from toolkit import ToolkitError
from toolkit.evaluation import baselines, report
from toolkit.models import backbones, classifiers
from toolkit.semisupervised import class_shares, foreign, pools, spreading
from toolkit.semisupervised.hidden_layer import HiddenLayerClassifier
from toolkit.tables import Table
from toolkit.training import Settings, devices, features, run_folders
from toolkit.training.progress import say

AUTO = "auto"
NETWORK_ON_LABELS = "network with a hidden layer on labels only"
SHARES = ("labels", "unknown")
MANY_LABELS, MANY_ROWS = 1000, 10_000  # above, one fold judges; above, a sample of the pool does for choosing

Classifier = baselines.LinearClassifier | HiddenLayerClassifier


@dataclass(frozen=True, eq=False)
class Spread:
    """What came of spreading.

    Attributes:
        classifier: of labelled and pseudo-labelled rows.
        control: name and classifier of what it is held against.
        judgement: whether it is used.
        audited: from ``audit.audit``.
        facts: what was chosen, for the report.
        pseudo_labels: (p, C) probabilities of the pool.
        used: (p,) bool, which of them are confident enough.
    """

    classifier: Classifier
    control: tuple[str, Classifier]
    judgement: pools.Judgement
    audited: dict[str, Any]
    facts: dict[str, Any]
    pseudo_labels: np.ndarray
    used: np.ndarray


def spread(table: Table, pool: pools.Pool, values: np.ndarray, probe: baselines.LinearClassifier, *, method: str,
           neighbours: int, shares: str, classifiers: Sequence[str], seed: int) -> Spread:
    """Spreads labels, fits the classifier and judges it by cross-fitting and on validation rows.

    Args:
        table: with labelled training rows.
        pool: of it.
        values: (len(table), F) features of all rows.
        probe: the control, unless a hidden layer on labels alone is the better one.
        method: as for ``run``.
        neighbours: as for ``run``.
        shares: as for ``run``.
        classifiers: that may predict new rows; the first where nothing can be chosen.
        seed: of folds, samples and hidden layers.
    """
    train, num_classes = table.labelled("train"), len(table.class_names)
    labels = table.labels[train]
    control = (linear_probe.ON_FEATURES, probe)
    if not len(pool.rows):
        return Spread(probe, control, pools.UNUSED, pools.unaudited(num_classes), {}, np.zeros((0, num_classes)),
                      np.zeros(0, bool))
    guessed = probe.probabilities(values[pool.rows]).argmax(axis=1)
    align = shares == "labels" and not class_shares.differ(guessed, class_shares.of_labels(labels, num_classes))

    def joined(some: np.ndarray) -> tuple[spreading.Rows, np.ndarray, np.ndarray]:
        every = np.sort(np.concatenate([train, some]))  # so that another draw of the labels finds the same graph
        rows = spreading.join(values[every], table.labels[every], num_classes, neighbours=neighbours, align=align,
                              contents=table.checksums[every])
        return rows, values[every], np.searchsorted(every, train)

    say(f"spreading {len(train):,} labels to {len(pool.rows):,} unlabelled rows")
    sample = np.sort(np.random.default_rng(seed).permutation(pool.rows)[:MANY_ROWS])
    rows, own, known = joined(sample)
    folds = pools.hidden_folds(labels, num_classes, groups=pools.together(table, train), seed=seed)
    folds = folds[:1] if len(labels) > MANY_LABELS else folds
    hiding = [(known[kept], known[out]) for kept, out in folds]
    choice, hidden = spreading.choose(rows, own, hiding, spreading.TO_CHOOSE_FROM if method == AUTO else (method,),
                                      classifiers, seed=seed)
    if len(sample) < len(pool.rows):
        rows = joined(pool.rows)[0]
    found = softmax(spreading.spread(rows, rows.labels, choice.method) / choice.temperature, axis=1)
    fitted = spreading.fit(rows, rows.labels, found, choice, seed=seed)

    of_hidden = _by_probe(table, values, folds, seed)
    if hidden.alone is not None and not pools.judge(hidden.labels, hidden.alone[1], of_hidden, hidden.rows).fall_back:
        alone, of_hidden = hidden.alone
        control = (NETWORK_ON_LABELS, spreading.fit(rows, rows.labels, found, alone, seed=seed))
    judgement = _judged(table, values, hidden, fitted, of_hidden, control[1])
    by = f"cross-fitting on {len(np.unique(hidden.rows)):,} labelled rows" if folds else "nothing: too few labels"
    facts = {"method": choice.method, "neighbours": min(neighbours, rows.weights.shape[0] - 1),
             "class_shares": "those of the labels" if align else "not assumed",
             "temperature": choice.temperature, "threshold": choice.threshold, "spread_to": choice.classifier,
             "penalty": choice.penalty if choice.classifier == "linear" else None, "chosen_by": by}
    pseudo = found[rows.labels < 0]
    return Spread(fitted, control, judgement, spreading.audited(rows, choice, hidden, found, table.class_names), facts,
                  pseudo, pseudo.max(axis=1) >= choice.threshold)


def _by_probe(table: Table, values: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]], seed: int) -> np.ndarray:
    """What logistic regression on the labelled rows that are kept says of the hidden ones, (h, C)."""
    train, num_classes = table.labelled("train"), len(table.class_names)
    known, labels, together = values[train], table.labels[train], pools.together(table, train)
    found = [baselines.logistic_regression(known[kept], labels[kept], num_classes, groups=together[kept],
                                           seed=seed).probabilities(known[out]) for kept, out in folds]
    return np.concatenate([*found, np.zeros((0, num_classes))])


def _judged(table: Table, values: np.ndarray, hidden: spreading.Hidden, classifier: Classifier,
            by_control: np.ndarray, control: Classifier) -> pools.Judgement:
    """Whether the unlabelled rows are used: by hidden rows, what the method said of them beside a control that has seen
    the same labels (h, C), and by validation rows."""
    validation = table.labelled("validation")
    rows = np.concatenate([hidden.rows, -1 - np.arange(len(validation))])
    return pools.judge(np.concatenate([hidden.labels, table.labels[validation]]), *(
        np.concatenate([of_hidden, one.probabilities(values[validation])])
        for of_hidden, one in ((hidden.classifier, classifier), (by_control, control))), rows)


def run(table: Table, *, output: str | Path, settings: Settings = Settings(), method: str = "poisson",
        neighbours: int = 25, shares: str = "labels", classifier: str = AUTO, resume: bool = False) -> dict[str, Any]:
    """Spreads labels to the unlabelled training rows and writes a run folder.

    Args:
        table: with labelled and unlabelled training rows.
        output: the new run folder.
        settings: backbone, weights, image_size, seed and devices are used.
        method: ``"poisson"``, ``"laplace"``, ``"label-spreading"`` or ``"label-propagation"`` (which converges to
            ``"laplace"``); ``"auto"``: chosen by cross-fitting.
        neighbours: that each row is joined to.
        shares: ``"labels"``: the classes have the same shares among unlabelled rows as among labels, unless these are
            visibly others; ``"unknown"``: nothing is taken for granted.
        classifier: that predicts new rows, ``"linear"`` or ``"mlp"`` (a hidden layer); ``"auto"``: chosen by
            cross-fitting; where too few labels leave nothing to choose by, linear, but on an autoencoder's codes mlp.
        resume: go on with a run that was stopped.

    Returns:
        The report, as in ``report.json``; ``unlabelled`` says what the unlabelled rows were worth.

    Raises:
        ToolkitError: if the folder, the backbone, the weights or the options cannot be used.
    """
    check(method, neighbours, shares, classifier)
    options = {**settings.describe(), "method": method, "neighbours": neighbours, "shares": shares,
               "classifier": classifier}
    with run_folders.begin(output, "spread_labels", table, options, resume=resume) as folder:
        if folder.finished:
            return folder.report

        # Data
        devices.strategy(settings.devices)
        pool = pools.pool(table)
        backbone = linear_probe.build_backbone(table, settings)
        values = features.extract(backbone, table)
        pool = foreign.without(pool, table, values[table.labelled("train")], values[pool.rows])

        # Training
        controls = linear_probe.fit_controls(table, backbone, settings)
        probe = controls.classifiers[linear_probe.ON_FEATURES]
        may_predict = spreading.CLASSIFIERS[::-1 if settings.from_autoencoder else 1]
        found = spread(table, pool, values, probe, method=method, neighbours=neighbours, shares=shares,
                       classifiers=may_predict if classifier == AUTO else (classifier,), seed=settings.seed)

        # Model
        name, control = found.control
        used = control if found.judgement.fall_back else found.classifier
        classifiers.save_on_frozen(backbone, used.layers, folder.path / "model.keras", table.class_names)

        # Report
        training = {"rows": len(table.labelled("train")), "pool": len(pool.rows), **backbones.facts(backbone),
                    **found.facts, "classifier": used.details}
        probabilities = used.probabilities(values)
        beside = {**controls.probabilities, name: control.probabilities(values[table.labelled("test")])}
        result = report.build(table, probabilities, recipe="label spreading", training=training, baselines=beside,
                              control=name, seed=settings.seed)
        result = pools.completed(result, pool, found.audited, found.judgement)
        rounds = (found.used & (not found.judgement.fall_back)).astype(int)
        pools.write(folder.path / "pseudo_labels.csv", table, pool.rows, found.pseudo_labels.argmax(axis=1),
                    found.pseudo_labels.max(axis=1, initial=0), rounds, table.class_names)
        report.write_control(folder.path, table, beside[name])
        report.write(folder.path, table, probabilities, result, params=folder.params, history=[])
        return result


def check(method: str, neighbours: int, shares: str, classifier: str) -> None:
    """Refuses options that have no meaning.

    Args:
        method: of ``run``.
        neighbours: of ``run``.
        shares: of ``run``.
        classifier: of ``run``.

    Raises:
        ToolkitError: then.
    """
    for name, value, known in (("method", method, (AUTO, *spreading.METHODS)), ("shares", shares, SHARES),
                               ("classifier", classifier, (AUTO, *spreading.CLASSIFIERS))):
        if value not in known:
            raise ToolkitError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
    if neighbours < 1:
        raise ToolkitError(f"neighbours is {neighbours}; it must be 1 or more.")
