"""The commands on finished runs, and the list of backbones."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from toolkit import ToolkitError
from toolkit.cli import options, quiet_tensorflow, recipes, sequences

if TYPE_CHECKING:
    import numpy as np

    from toolkit.tables import Table

_RUN = "Run"


# ---- A run on other rows ------------------------------------------------------------------------------------------


@click.command(cls=options.Command, short_help="Score a run on the labelled rows of a table.")
@click.argument("run")
@click.argument("table")
@options.reading
@options.option("--split", family=_RUN, type=click.Choice(["test", "validation", "train", "all"]), default="test",
                help="Rows to score; in a table without splits all rows are test rows.")
@options.option("--output", family=_RUN, type=click.Path(), metavar="DIR",
                help="New folder for predictions and report.", show_default="none, the report is only printed")
@options.as_json
def evaluate(run: str, table: str, split: str, output: str | None, as_json: bool, **values: Any) -> None:
    """Score a run on the labelled rows of a table.

    RUN is the folder of a run, or its model.keras. TABLE is a CSV (path|text|values,label[,split][,group]), a folder of
    class folders, a .npz or .ts file or tfds:NAME.
    """
    from toolkit.evaluation import report
    from toolkit.training import run_folders

    if output is not None:
        run_folders.check(output, resume=None)
    sequences.refuse_tasks([run], "evaluate")
    model, found = _model_and_table(run, table, values)
    found, scored = _scored(_unseen(run, found) if split == "test" else found, split)
    probabilities = _predict(model, found)
    result = report.build(scored, probabilities, recipe=run, training={}, baselines={}, control=None)
    if output is not None:
        with run_folders.begin(output, "evaluate", found, {"run": os.path.abspath(run), "split": split}) as folder:
            report.write(folder.path, found, probabilities, result, params=folder.params, history=[])
    recipes.show(result, as_json=as_json)


@click.command(cls=options.Command, short_help="Predict with a run, a line for every row.")
@click.argument("run")
@click.argument("inputs", nargs=-1, required=True, metavar="TABLE_OR_FILES...")
@options.reading
@sequences.columns
@options.option("--output", family=_RUN, type=click.Path(), metavar="FILE", help="New CSV file for the predictions.",
                show_default="stdout")
def predict(run: str, inputs: tuple[str, ...], output: str | None, **values: Any) -> None:
    """Predict with a run, a line for every row: those of inputs that cannot be used say so.

    RUN is the folder of a run, or its model.keras; what follows is a table, or for a run on images also a folder of
    images or image files. Labels are not needed.
    """
    from pathlib import Path

    from toolkit.evaluation.report import files

    if output is not None and os.path.lexists(output):
        raise ToolkitError(f"--output {output} exists already, and nothing is overwritten: choose another name.")
    if sequences.task_of(run) == "classify":
        source = inputs[0] if len(inputs) == 1 else list(inputs)
        model, found = _model_and_table(run, source, values, unknown_labels="blank")
        lines = files.prediction_lines(found, _predict(model, found))
    else:
        lines = sequences.prediction_lines(run, inputs, values)
    if output is None:
        _print_csv(lines)
    else:
        files.write_csv(Path(output), next(lines), lines)


def _model_and_table(run: str, source: str | list[str], values: dict[str, Any], *, unknown_labels: str = "refuse"
                     ) -> tuple[Any, "Table"]:
    """The model of a run, and a table whose labels are its classes and may be missing; others are refused or blank."""
    from pathlib import Path

    quiet_tensorflow.load()
    from toolkit.models import classifiers

    path = Path(run)
    model, class_names = classifiers.load(path / "model.keras" if path.is_dir() else path)
    if model.name in sequences.MODELS:
        raise ToolkitError(f"{run} is the model of a run with --task {sequences.MODELS[model.name]}, which needs the "
                           f"files beside it: name the folder of the run.")
    kind = model.inputs[0].name  # "image", "text" or "series"
    if values.get("kind") not in (None, kind):
        raise ToolkitError(f"{run} was trained on rows of kind {kind}, so --kind {values['kind']} cannot be: leave it "
                           "out.")
    found = options.read_table(source, {**values, "kind": kind}, class_names=class_names, require_labels=False,
                               unknown_labels=unknown_labels)
    channels = model.input_shape[-1]
    if kind == "series" and len(found) and found.channels != channels:
        raise ToolkitError(f"{found.source} holds series of {found.channels} channels, and {run} was trained on "
                           f"{channels}: name a table with as many.")
    return model, found


def _unseen(run: str, table: "Table") -> "Table":
    """A table without splits, less the rows whose labels the run has learnt from: they test nothing."""
    import numpy as np

    from toolkit.evaluation.report import files

    if (table.splits != "test").any():
        return table
    learnt = files.learnt(run)
    seen = np.array([checksum in learnt for checksum in table.checksums], bool) & (table.labels >= 0)
    if not seen.any():
        return table
    if seen.sum() == (table.labels >= 0).sum():
        raise ToolkitError(f"{run} has learnt from all labelled rows of {table.source} or was chosen by them, so none "
                           f"can test it: name other rows, or --split all to score these all the same.")
    note = (f"{int(seen.sum()):,} of {len(table):,} rows are left out: {run} has learnt from their labels or was "
            f"chosen by them (--split all scores them too).")
    return dataclasses.replace(table.select(np.flatnonzero(~seen)), notes=(*table.notes, note))


def _scored(table: "Table", split: str) -> tuple["Table", "Table"]:
    """The rows to predict, and the same rows as the report wants them, which scores test rows."""
    chosen, scored = table, table
    if split in ("train", "validation"):
        rejected = tuple(row for row in table.rejected if row.split in (split, ""))
        chosen = dataclasses.replace(table.select(table.in_split(split)), rejected=rejected)
    if split != "test":
        what = "every row" if split == "all" else f"the {split} split"
        note = f"What is called test here is {what} of {table.source}."
        scored = dataclasses.replace(chosen, splits=_all_test(chosen), notes=(*table.notes, note))
    if not len(scored.labelled("test")):
        rows = "rows" if split == "all" else f"{split} rows"
        raise ToolkitError(f"{table.source} has no labelled {rows} that can be used, so there is nothing to score: "
                           f"name its columns with --label-column and --split-column, or other rows with --split.")
    return chosen, scored


def _all_test(table: "Table") -> "np.ndarray":
    import numpy as np

    return np.full(len(table), "test", dtype=object)


def _predict(model: Any, table: "Table") -> "np.ndarray":
    """Probabilities (n, C) of all rows of a table."""
    from toolkit.training import prediction

    return prediction.predict(model, table)


def _print_csv(lines: Iterable[list[Any]]) -> None:
    """Writes on stdout the bytes that ``predictions.csv`` would hold."""
    from toolkit.evaluation.report import files

    sys.stdout.flush()
    stdout = sys.stdout.buffer

    class Encoded:
        @staticmethod
        def write(text: str) -> None:
            stdout.write(text.encode("utf-8", "surrogateescape"))

    files.csv_writer(Encoded).writerows(lines)
    stdout.flush()


# ---- Runs beside each other ---------------------------------------------------------------------------------------


@click.command(cls=options.Command, short_help="Compare runs on the test rows they share.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@options.as_json
def compare(runs: tuple[str, ...], as_json: bool) -> None:
    """Compare finished runs on the test rows they share, each with the first, by paired tests."""
    from toolkit.evaluation import run_comparison

    sequences.refuse_tasks(runs, "compare")
    result = run_comparison.compare_runs(runs)
    click.echo(json.dumps(result) if as_json else run_comparison.text(result))


@click.command(cls=options.Command, short_help="Run again and check that the numbers repeat.")
@click.argument("run")
@options.option("--output", family=_RUN, type=click.Path(), metavar="DIR", help="New folder for the second run.",
                show_default="RUN-rerun")
@click.pass_context
def rerun(ctx: click.Context, run: str, output: str | None) -> None:
    """Run again what a finished run did and check that its numbers repeat; exit code 1 if they do not."""
    from toolkit.evaluation import run_comparison
    from toolkit.training import run_folders

    params = _params(run)
    if not os.path.isfile(os.path.join(run, "predictions.csv")):
        raise ToolkitError(f"{run} holds no predictions.csv, since its table has no labels: there is nothing to check "
                           f"a second run against. Train again with its command and another --output.")
    output = output or f"{run.rstrip('/')}-rerun"
    run_folders.check(output, resume=None)
    recipes.repeat(run, params, output)
    found = run_comparison.compare_predictions(os.path.join(run, "predictions.csv"),
                                               os.path.join(output, "predictions.csv"))
    if found["identical_predictions"] and found["max_difference"] == 0:
        click.echo(f"The numbers repeat: {output} predicts {found['rows']:,} rows exactly as {run} did.")
        return
    labels = "all predicted labels are the same" if found["identical_predictions"] else "predicted labels differ too"
    reasons = "".join(f" {reason}" for reason in _reasons(params, _params(output)))
    click.echo(f"The numbers differ by up to {found['max_difference']:.2g} in a probability, and {labels}.{reasons}")
    ctx.exit(1)


def _params(run: str) -> dict[str, Any]:
    """``params.json`` of a finished run."""
    path = os.path.join(run, "params.json")
    if not os.path.isfile(os.path.join(run, "report.json")):
        raise ToolkitError(f"{run} is not the folder of a finished run: it holds no report.json. Correct the path, or "
                           f"finish the run with --resume.")
    try:
        with open(path, encoding="utf-8") as file:
            params = json.load(file)
        known = {name: params[name] for name in ("recipe", "table", "options", "fingerprint", "versions")}
        return {**known, "weights_checksum": params.get("weights_checksum")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolkitError(f"{path} cannot be used ({error!r}): expected what a run wrote there.") from error


def _reasons(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What may have made two runs differ, in sentences."""
    reasons = [f"{name} was {version}, now {new['versions'].get(name)}." for name, version in old["versions"].items()
               if new["versions"].get(name) != version]
    if old["weights_checksum"] != new["weights_checksum"]:
        reasons.append("The file or folder that its weights come from has changed.")
    if old["options"].get("time_limit") is not None:
        reasons.append("With --time-limit the length of training depends on the speed of the machine.")
    return reasons


# ---- Backbones ----------------------------------------------------------------------------------------------------


@click.command(cls=options.Command, short_help="List the backbones.")
@options.as_json
def backbones(as_json: bool) -> None:
    """List the backbones: input size, features, parameters, where the weights come from, whether they are here."""
    from toolkit.models import catalogue

    found = catalogue.describe()
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [["name", "size", "features", "parameters", "weights", "present", "note"]]
    rows += [[row["name"], str(row["image_size"] or "-"), f"{row['num_features']:,}", f"{row['num_parameters']:,}",
              row["weights"], "yes" if row["present"] else "no", row["note"]] for row in found]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(row, "<>>><<<", widths, strict=True))
        click.echo("  ".join(cells).rstrip())
