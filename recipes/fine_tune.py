"""Fine-tuning: linear probe first, then the whole network (LP-FT), with rates that fall from block to block.

A random head sends random gradients into a pretrained network and distorts its features. So the head starts as the
logistic regression of ``linear_probe``, and only then does everything move:

    theta_block <- theta_block - rate(step) * decay^(blocks to the head) * update

with BatchNorm kept in inference mode. A probe that separates few training rows leaves a loss of zero, and Adam then
walks at random; label smoothing gives it something to learn, and the result lies on the line back to the probe,

    theta = (1 - a) * theta_probe + a * theta_end,    a in {0.5, 0.75, 1, 0} by 200 validation rows or more, else 0.5

so that on such rows fine-tuning ends no lower than the probe. From scratch, validation rows choose the epoch. In place
of all weights, low-rank corrections of the kernels, the biases or the normalisations alone may move (``adapters``).

The network of an autoencoder is trained as long as one from scratch, and off the line. Its control is the same network
without pretraining: drawn anew by the initialisers that its layers name, a random head, and all else alike.

Measured (commands in ``benchmarks/RESULTS.md``): MNIST with 1,000 labels, five draws: error 5.1 %, the probe 8.7 %,
63 s. cifar10_small, 4,500 labels at 96 pixels: 18.3 %, the plain method on frozen features that is best on validation
27.2 %, 4 min. Ants/bees, 220 labels, five seeds: 94.1 %, not distinguishable from the probe (94.4 %).

References:
    WiSE-FT (the line): Wortsman et al. 2022, https://arxiv.org/abs/2109.01903
    LP-FT: Kumar et al. 2022, https://arxiv.org/abs/2202.10054; gradual unfreezing and rates by layer: Howard and
    Ruder 2018, https://arxiv.org/abs/1801.06146
"""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes import linear_probe
from toolkit import ToolkitError, inputs
from toolkit.autoencoders import networks
from toolkit.evaluation import report
from toolkit.models import adapters, backbones, classifiers, synchronisation
from toolkit.tables import Table
from toolkit.training import (Settings, calibration, checkpoints, devices, interpolation, loop, optimizers, plans,
                              prediction, reflection, run_folders, streams)
from toolkit.training.progress import say
from toolkit.training.settings import RANGES

UNFREEZE = ("probe-first", "all", "gradual", "head", *adapters.ADAPTERS)
WITHOUT_PRETRAINING = "the same network without pretraining"


def compile_member(model: keras.Model, settings: Settings, plan: plans.Plan, *, unfreeze: str, probe: Any,
                   lora_rank: int = 8) -> None:
    """Freezes, starts and compiles a classifier as ``unfreeze`` says.

    Args:
        model: from ``classifiers.with_head``.
        settings: optimizer, rates, loss.
        plan: its length is the length of the schedule.
        unfreeze: ``"probe-first"`` and ``"gradual"`` start the head as the probe, ``"all"`` at random; ``"gradual"``
            lets one more block move at a time, from the head down; ``"head"`` leaves the network as it is;
            ``"lora"``, ``"bias"`` and ``"norm"`` start as the probe and train few weights of the network.
        probe: the LinearClassifier the head starts as; None: random.
        lora_rank: of the corrections of ``"lora"``.
    """
    network, head = model.get_layer("network"), model.get_layer("head")
    frozen = settings.batch_norm == "frozen" or settings.batch_norm == "auto" and not settings.trains_long
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = not frozen  # in Keras a frozen one is in inference mode too
    synchronisation.synchronise(network, several=tf.distribute.get_strategy().num_replicas_in_sync > 1)
    if probe is not None and unfreeze != "all":
        head.set_weights([probe.kernel.astype(np.float32), probe.bias.astype(np.float32)])
    blocks = backbones.blocks(network)
    if unfreeze == "head":
        network.trainable, blocks = False, []
    elif unfreeze in adapters.ADAPTERS:
        adapters.adapt(network, unfreeze, rank=lora_rank)
    rates = optimizers.layer_rates(
        blocks, [head], layer_decay=1.0 if settings.from_scratch else settings.layer_decay,
        gradual_steps=plan.total_steps // (2 * len(blocks)) if unfreeze == "gradual" else 0)
    model.compile(optimizer=optimizers.build(settings, total_steps=plan.total_steps, rates=rates),
                  loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing))


def train_member(table: Table, settings: Settings, folder: run_folders.RunFolder, member: int, *, unfreeze: str,
                 probe: Any, lora_rank: int, reflect: bool, fresh: bool = False
                 ) -> tuple[keras.Model, list[dict[str, Any]], Settings]:
    """Trains one network and returns it in float32, with its history and the settings found for it.

    Args:
        table: with labelled training rows.
        settings: of the training.
        folder: of the run.
        member: its number, added to the seed.
        unfreeze: as for ``compile_member``.
        probe: likewise.
        lora_rank: likewise.
        reflect: whether images are mirrored.
        fresh: whether the network's weights are drawn anew: the control of a pretrained one, as long as that and with
            what was measured for it.

    Raises:
        loop.Interrupted: on Ctrl-C; its ``model`` is the best so far.
    """
    seed, num_classes = settings.seed + member, len(table.class_names)
    plan = plans.make(settings, len(table.labelled("train")), folder=folder.checkpoints / f"member-{member}",
                      title=_title(settings, member, fresh), seed=seed)
    line = probe is not None and unfreeze != "all" and (not settings.trains_long or settings.interpolation is not None)
    if line and settings.patience is None:
        plan.keep = "last"
    keras.config.set_dtype_policy(settings.precision)
    try:
        with devices.strategy(settings.devices).scope():
            backbone = linear_probe.build_backbone(table, settings, member=member)
            preprocessing = backbones.preprocessing(backbone)
            network = backbones.network(backbone)
            model = classifiers.with_head(networks.redrawn(network, seed) if fresh else network, num_classes,
                                          dropout=settings.dropout)
            compiled = partial(compile_member, model, unfreeze=unfreeze, probe=probe, lora_rank=lora_rank)
            compiled(settings, plan)
            batches = streams.labelled(table, preprocessing, settings, reflect=reflect, seed=seed)
            validation = streams.validation(table, preprocessing, settings)
            if settings.time_limit is not None or settings.find_learning_rate:
                judge = (lambda: validation.scores(model)) if validation else (lambda: None)
                plan, settings = calibration.calibrate(model, batches, plan, settings, end_epoch=judge,
                                                       num_rows=len(table))
                compiled(settings, plan)
    finally:
        keras.config.set_dtype_policy("float32")
    start = adapters.merged_weights(model)
    if fresh:
        plan.folder = folder.checkpoints / f"fresh-{member}"
    try:
        history = inputs.explained(table, lambda: loop.fit(model, batches, plan, validation))
    except loop.Interrupted as stop:
        stop.model = in_float32(model, table, settings, name=f"member_{member}")
        raise
    plain = in_float32(model, table, settings, name=f"member_{member}")
    if line:
        share = interpolation.interpolate(plain, start, validation, settings.interpolation,
                                          num_rows=len(table.labelled("train")))
        settings = dataclasses.replace(settings, interpolation=share)
    return plain, [{"member": member, **row} for row in history], settings


def _title(settings: Settings, member: int, fresh: bool) -> str:
    title = f"member {member + 1} of {settings.members}" if settings.members > 1 else "fine-tuning"
    return f"{title}, without pretraining" if fresh else title


def in_float32(model: keras.Model, table: Table, settings: Settings, *, name: str) -> keras.Model:
    """The same classifier for prediction: plain float32, whatever precision, devices, adapters it was trained with."""
    backbone = linear_probe.build_backbone(table, settings)
    plain = classifiers.with_head(backbones.network(backbone), len(table.class_names), dropout=settings.dropout,
                                  name=name)
    checkpoints.set_weights(plain, adapters.merged_weights(model))
    return plain


def train_members(table: Table, settings: Settings, folder: run_folders.RunFolder, preprocessing: Any, *,
                  fresh: bool = False, **own: Any) -> tuple[keras.Model, list[dict[str, Any]], Settings]:
    """Trains all networks of a run, or of its control, one after the other.

    Args:
        table: with labelled training rows.
        settings: of the training.
        folder: of the run, where the classifier is saved, unless it is that of the control.
        preprocessing: of the backbone.
        fresh: as for ``train_member``.
        **own: its other arguments.

    Returns:
        The classifier, the history and the settings found.

    Raises:
        loop.Interrupted: on Ctrl-C, after the best classifier so far was saved.
    """
    members: list[keras.Model] = []
    history: list[dict[str, Any]] = []
    path, assembled = folder.path / "model.keras", partial(classifiers.assemble, preprocessing=preprocessing,
                                                           test_views=settings.test_views)
    try:
        for member in range(settings.members):
            model, rows, found = train_member(table, settings, folder, member, fresh=fresh, **own)
            members.append(model)
            history += rows
    except loop.Interrupted as stop:
        if not fresh:
            classifiers.save(assembled([*members, stop.model]), path, table.class_names)
        say(f"{stop}. {'The fine-tuned model' if fresh else 'It'} is saved as {path}; the same command with --resume "
            f"continues.")
        raise
    classifier = assembled(members)
    if not fresh:
        classifiers.save(classifier, path, table.class_names)
    return classifier, history, found


def _epochs(history: list[dict[str, Any]]) -> dict[str, Any]:
    """How long it was trained, and the epochs whose weights were taken."""
    return {"epochs": history[-1]["epoch"], "chosen_epochs": [row["epoch"] for row in history if row["chosen"]]}


def run(table: Table, *, output: str | Path, settings: Settings = Settings(), unfreeze: str = "probe-first",
        lora_rank: int = 8, resume: bool = False) -> dict[str, Any]:
    """Fine-tunes a network on the labelled training rows and writes a run folder.

    The verdict is against logistic regression: on the frozen features, or from scratch on the rows as they are. Against
    the same network without pretraining where the backbone is an autoencoder's run, all of whose weights move.

    Args:
        table: with labelled training rows.
        output: the new run folder.
        settings: everything else about training.
        unfreeze: one of ``UNFREEZE``; see ``compile_member``.
        lora_rank: rank of the corrections that ``unfreeze="lora"`` trains.
        resume: continue a run that was stopped, to the same weights.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder, the backbone, the weights or the options cannot be used.
        KeyboardInterrupt: on Ctrl-C, after the best model so far was saved.
    """
    if unfreeze not in UNFREEZE:
        raise ToolkitError(f"unfreeze is {unfreeze!r}; it must be one of {', '.join(UNFREEZE)}.")
    if settings.from_scratch and unfreeze in ("head", *adapters.ADAPTERS):
        raise ToolkitError(f"--unfreeze {unfreeze} would leave a network from scratch at its random weights: use all.")
    options = {**settings.describe(), "unfreeze": unfreeze, "lora_rank": lora_rank}
    with run_folders.begin(output, "fine_tune", table, options, resume=resume) as folder:
        if folder.finished:
            return folder.report
        return classify(table, folder, settings, unfreeze=unfreeze, lora_rank=lora_rank)


def classify(table: Table, folder: run_folders.RunFolder, settings: Settings, *, unfreeze: str = "probe-first",
             lora_rank: int = 8, recipe: str = "fine-tuning", more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Trains in a folder that was begun, and writes the report: ``run``, and the end of the recipes for sequences.

    Args:
        table: with labelled training rows.
        folder: of the run.
        settings: everything else about training.
        unfreeze: one of ``UNFREEZE``; see ``compile_member``.
        lora_rank: rank of the corrections that ``unfreeze="lora"`` trains.
        recipe: what the report calls it.
        more: for the report's "training".

    Returns:
        The report.

    Raises:
        ToolkitError: if the backbone, the weights or the options cannot be used.
        KeyboardInterrupt: on Ctrl-C, after the best model so far was saved.
    """
    started = time.monotonic()
    settings = settings.for_rows(len(table.labelled("train")), few_weights=unfreeze in adapters.ADAPTERS)

    # Data
    devices.strategy(settings.devices)
    backbone = linear_probe.build_backbone(table, settings)
    preprocessing = backbones.preprocessing(backbone)
    classifiers.check_views(preprocessing, settings.test_views)
    frozen = None if settings.from_scratch else backbone
    controls = linear_probe.fit_controls(table, frozen, settings)
    mirrored = reflection.decide(table, frozen, settings.reflect)

    # Model and training
    own = {"lora_rank": lora_rank, "reflect": mirrored["reflect"]}
    beside = settings.from_autoencoder and unfreeze in ("probe-first", "all", "gradual")
    if beside and settings.time_limit is not None:
        settings = dataclasses.replace(settings, time_limit=max(settings.time_limit / 2, RANGES["time_limit"][0]))
    classifier, history, found = train_members(table, settings, folder, preprocessing, unfreeze=unfreeze,
                                               probe=controls.classifiers.get(linear_probe.ON_FEATURES), **own)
    main, more = controls.main, dict(more or {})
    if beside:
        control, rows, _ = train_members(table, settings, folder, preprocessing, unfreeze="all", probe=None, fresh=True,
                                         **own)
        main, more["without_pretraining"] = WITHOUT_PRETRAINING, _epochs(rows)
        controls.probabilities[main] = prediction.predict(control, table, table.labelled("test"))

    # Report
    probabilities = prediction.predict(classifier, table)
    cut = inputs.num_cut(table, preprocessing)
    training = {"rows": len(table.labelled("train")), **backbones.facts(backbone), **({"rows_cut": cut} if cut else {}),
                "unfreeze": unfreeze, **({"mirrored": mirrored} if table.kind == "image" else {}),
                **_epochs(history), "learning_rate": found.learning_rate, "label_smoothing": found.label_smoothing,
                "interpolation": found.interpolation, **more, "seconds": round(time.monotonic() - started, 1)}
    result = report.build(table, probabilities, recipe=recipe, training=training,
                          baselines=controls.probabilities, control=main, seed=settings.seed)
    report.write(folder.path, table, probabilities, result, params=folder.params, history=history)
    return result
