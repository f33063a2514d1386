"""The commands that train: each reads a table, runs the recipe of its name and prints the report."""

from __future__ import annotations

import importlib
import json
from typing import Any

import click

from toolkit.cli import options

RECIPES = ("linear_probe", "fine_tune")
UNFREEZE = ("probe-first", "all", "gradual", "head")  # recipes.fine_tune.UNFREEZE; that module imports TensorFlow


@click.command("linear-probe", cls=options.Command)
@options.table
@options.backbone
@options.run
def linear_probe(**values: Any) -> None:
    """Logistic regression on the frozen features of a pretrained network: seconds, and the control of all else.

    TABLE is a CSV (path,label[,split][,group]), a folder of class folders, a .npz file or tfds:NAME.
    """
    train("linear_probe", values)


@click.command("fine-tune", cls=options.Command)
@options.table
@options.backbone
@options.option("--unfreeze", family="Training", type=click.Choice(UNFREEZE), default=UNFREEZE[0],
                help="What is trained: all, with the head started as the linear probe (probe-first) or at random (all); "
                     "one more block at a time (gradual); the head alone (head).")
@options.training
@options.augmentation
@options.run
def fine_tune(unfreeze: str, **values: Any) -> None:
    """Train a whole network on the labelled rows, starting from the linear probe.

    TABLE is a CSV (path,label[,split][,group]), a folder of class folders, a .npz file or tfds:NAME.
    """
    train("fine_tune", values, unfreeze=unfreeze)


def train(recipe: str, values: dict[str, Any], **own: Any) -> None:
    """Does what the commands of this module have in common.

    Args:
        recipe: module in ``recipes``.
        values: of all options but the recipe's own.
        **own: arguments of the recipe's ``run`` that no other recipe has.

    Raises:
        ToolkitError: if the table, the options or the folder cannot be used.
    """
    from toolkit.training import devices, run_folders

    settings = options.settings(values)
    run_folders.check(values["output"], resume=values["resume"])
    if settings.devices != "auto":
        devices.strategy(settings.devices)  # before the images are read, and before anything starts TensorFlow
    table = options.read_table(values["table"], values)
    if table.rejected:
        click.echo(f"{len(table.rejected)} rows set aside, see rejected.csv", err=True)
    module = importlib.import_module(f"recipes.{recipe}")
    report = module.run(table, output=values["output"], settings=settings, resume=values["resume"], **own)
    show(report, as_json=values["as_json"])


def show(report: dict[str, Any], *, as_json: bool) -> None:
    """Prints a report on stdout."""
    from toolkit.evaluation import report as reports

    click.echo(json.dumps(report, indent=2) if as_json else reports.text(report))
