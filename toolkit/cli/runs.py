"""The commands on finished runs, and the list of backbones."""

from __future__ import annotations

import json

import click

from toolkit.cli import options


@click.command(cls=options.Command)
def evaluate() -> None:
    """Score a run on a table."""


@click.command(cls=options.Command)
def predict() -> None:
    """Predict."""


@click.command(cls=options.Command)
def compare() -> None:
    """Compare."""


@click.command(cls=options.Command)
def rerun() -> None:
    """Rerun."""


@click.command(cls=options.Command)
@options.as_json
def backbones(as_json: bool) -> None:
    """List the backbones: input size, features, parameters, source of the weights, whether they are here."""
    from toolkit.models import catalogue

    rows = catalogue.describe()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    header = ("name", "size", "features", "parameters", "weights", "present", "note")
    lines = [header] + [(row["name"], str(row["image_size"]), f"{row['num_features']:,}", f"{row['num_parameters']:,}",
                         row["weights"], "yes" if row["present"] else "no", row["note"]) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [cell.rjust(width) if column in (1, 2, 3) else cell.ljust(width)
                 for column, (cell, width) in enumerate(zip(line, widths, strict=True))]
        click.echo("  ".join(cells).rstrip())
