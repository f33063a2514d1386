"""The command that says what this machine offers, and what is missing."""

from __future__ import annotations

import json

import click

from toolkit.cli import options, quiet_tensorflow


@click.command(cls=options.Command, short_help="What this machine offers a training, and what is missing.")
@options.setting("devices", family="Run")
@options.as_json
@click.pass_context
def doctor(ctx: click.Context, devices: str, as_json: bool) -> None:
    """Check packages, devices, memory, disk and embedded weights, and measure a small throughput.

    Exit code 1 if a training would suffer from what was found.
    """
    quiet_tensorflow.load()
    from toolkit.training import diagnosis

    found = diagnosis.findings(devices)
    width = max(len(one["name"]) for one in found)
    lines = (f"{'ok ' if one['ok'] else 'NOT'}  {one['name']:<{width}}  {one['text']}" for one in found)
    click.echo(json.dumps(found) if as_json else "\n".join(lines))
    ctx.exit(int(not all(one["ok"] for one in found)))
