"""The commands on finished runs, and the list of backbones."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from toolkit import ToolkitError
from toolkit.cli import options, recipes

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from toolkit.tables import Table

_RUN = "Run"
_INDENT = 2


# ---- A run on other rows ------------------------------------------------------------------------------------------


@click.command(cls=options.Command)
@click.argument("run")
@click.argument("table")
@options.reading
@options.option("--split", family=_RUN, type=click.Choice(["test", "validation", "train", "all"]), default="test",
                help="Rows to score; in a table without splits all rows are test rows.")
@options.option("--output", family=_RUN, type=click.Path(), metavar="DIR", help="New folder for predictions and report.",
                show_default="none, the report is only printed")
@options.as_json
def evaluate(run: str, table: str, split: str, output: str | None, as_json: bool, **values: Any) -> None:
    """Score a finished run on the labelled rows of a table.

    RUN is the folder of a run, or its model.keras; TABLE is a CSV, a folder of class folders, a .npz file or tfds:NAME.
    """
    from toolkit.evaluation import report
    from toolkit.training import run_folders

    if output is not None:
        run_folders.check(output)
    model = _model_file(run)
    found, probabilities = _predictions(model, table, values)
    scored, note = _as_test(found, split)
    result = report.build(found.select(scored) if note else found, probabilities, recipe=f"{run}", training={},
                          baselines={}, control=None)
    recipes.show(result, as_json=as_json)


@click.command(cls=options.Command)
@click.argument("run")
@click.argument("inputs", nargs=-1, required=True, metavar="TABLE_OR_FILES...")
@options.reading
@options.option("--output", family=_RUN, type=click.Path(), metavar="FILE", help="New CSV file for the predictions.",
                show_default="stdout")
def predict(run: str, inputs: tuple[str, ...], output: str | None, **values: Any) -> None:
    """Predict with a finished run: one line for every row, unusable images included.

    RUN is the folder of a run, or its model.keras; then a table, or a folder of images, or image files.
    """


# ---- Runs beside each other ---------------------------------------------------------------------------------------


@click.command(cls=options.Command)
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@options.as_json
def compare(runs: tuple[str, ...], as_json: bool) -> None:
    """Compare finished runs on the test rows they share, each with the first."""
    from toolkit.evaluation import run_comparison

    result = run_comparison.compare_runs(runs)
    click.echo(json.dumps(result) if as_json else run_comparison.text(result))
