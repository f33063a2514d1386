"""The commands that train: each reads a table, runs the recipe of its name and prints the report."""

from __future__ import annotations

import importlib
import inspect
import json
import os
from types import ModuleType
from typing import Any

import click

from toolkit import ToolkitError
from toolkit.cli import options, quiet_tensorflow

RECIPES = ("linear_probe", "fine_tune", "spread_labels", "pseudo_label", "fix_match", "mean_teacher",
           "virtual_adversarial", "mix_match", "pretrain_autoencoder", "train_lstm", "train_transformer")
# recipes.fine_tune.UNFREEZE; that module imports TensorFlow
UNFREEZE = ("probe-first", "all", "gradual", "head", "lora", "bias", "norm")


@click.command("linear-probe", cls=options.Command, short_help="Logistic regression on frozen features.")
@options.table
@options.backbone
@options.run
def linear_probe(**values: Any) -> None:
    """Logistic regression on the frozen features of a pretrained network: seconds, and the control of all else.

    TABLE is a CSV (path, text or values, and label[,split][,group]), a folder of class folders, a .npz or .ts file or
    tfds:NAME.
    """
    train("linear_probe", values)


@click.command("fine-tune", cls=options.Command, short_help="Train a whole network, linear probe first.")
@options.table
@options.backbone
@options.option("--unfreeze", family="Training", type=click.Choice(UNFREEZE), default=UNFREEZE[0],
                help="What is trained: all, with the head started as the linear probe (probe-first) or at random "
                     "(all); one more block at a time (gradual); the head alone (head); or, from the probe, low-rank "
                     "corrections of the kernels (lora), shifts (bias) or normalisations (norm) alone.")
@options.option("--lora-rank", family="Training", type=click.IntRange(1, 4096), metavar="N", default=8,
                help="Rank of the corrections of --unfreeze lora.")
@options.training
@options.augmentation
@options.run
def fine_tune(unfreeze: str, lora_rank: int, **values: Any) -> None:
    """Train a whole network on the labelled rows, starting from the linear probe.

    TABLE is a CSV (path, text or values, and label[,split][,group]), a folder of class folders, a .npz or .ts file or
    tfds:NAME.
    """
    train("fine_tune", values, unfreeze=unfreeze, lora_rank=lora_rank)


def repeat(run: str, params: dict[str, Any], output: str) -> None:
    """Does again what a finished run did.

    Args:
        run: its folder, for messages.
        params: its ``params.json``.
        output: the new folder.

    Raises:
        ToolkitError: if its data are no longer the same, or this version cannot do it.
    """
    from toolkit.training import Settings

    if params["recipe"] not in RECIPES:
        raise ToolkitError(f"{run} was made by {params['recipe']}; rerun repeats runs of {', '.join(RECIPES)}.")
    if params["options"].get("task", "classify") != "classify":
        from toolkit.cli import sequences

        return sequences.repeat(run, params, output)
    module = _module(params["recipe"])
    shared = {name: value for name, value in params["options"].items() if name in options.FIELDS}
    own = {name: value for name, value in params["options"].items() if name not in shared}
    unknown = sorted(set(own) - set(inspect.signature(module.run).parameters))
    if unknown:
        raise ToolkitError(f"{run} was made with {', '.join(unknown)}, which this version of toolkit does not know: "
                           f"install toolkit {params['versions'].get('toolkit')}.")
    table = options.read_table(**params["table"], values={})
    if table.fingerprint != params["fingerprint"]:
        raise ToolkitError(f"The data have changed since {run} was made (images, labels or splits of {table.source}), "
                           f"so its numbers cannot repeat: restore them, or begin a new run.")
    module.run(table, output=output, settings=Settings(**shared), **own)


def train(recipe: str, values: dict[str, Any], **own: Any) -> None:
    """Does what the commands of this module have in common.

    Args:
        recipe: module in ``recipes``.
        values: of all options but the recipe's own.
        **own: arguments of the recipe's ``run`` that no other recipe has.

    Raises:
        ToolkitError: if the table, the options or the folder cannot be used.
    """
    from toolkit.training import run_folders, workers

    settings = options.settings(values)
    run_folders.check(values["output"], resume=values["resume"])
    if settings.devices != "auto" or workers.this().count > 1:
        _claim(settings.devices)
    table = options.read_table(values["table"], values)
    if table.rejected:
        rows = "1 row" if len(table.rejected) == 1 else f"{len(table.rejected):,} rows"
        click.echo(f"{rows} set aside, see {os.path.join(values['output'], 'rejected.csv')}", err=True)
    report = _module(recipe).run(table, output=values["output"], settings=settings, resume=values["resume"], **own)
    if workers.this().is_chief:
        show(report, as_json=values["as_json"])


def _claim(devices: str) -> None:
    """Asks for devices before the images are read, and before reading starts TensorFlow."""
    quiet_tensorflow.load()
    from toolkit.training.devices import strategy

    strategy(devices)


def _module(recipe: str) -> ModuleType:
    quiet_tensorflow.load()
    return importlib.import_module(f"recipes.{recipe}")


def show(report: dict[str, Any], *, as_json: bool) -> None:
    """Prints a report on stdout."""
    from toolkit.evaluation import report as reports

    click.echo(json.dumps(report) if as_json else reports.text(report))
