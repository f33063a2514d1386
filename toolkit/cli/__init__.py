"""The command line: reports on stdout, everything else on stderr, refusals in one line.

Exit codes: 0 done, 1 a refusal, 2 wrong usage, 75 stopped by SIGTERM or by the end of another worker (run again with
``--resume``), 130 Ctrl-C.
Commands import TensorFlow and pandas inside their functions, so that ``--help`` answers at once.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import click

import toolkit
from toolkit.cli import (autoencoders, benchmark, doctor, launch, rank_backbones, recipes, runs, semisupervised,
                         sequences, show)

__all__ = ["main"]

RESUME_ME, INTERRUPTED = 75, 130


class Terminated(BaseException):
    """SIGTERM. Not an ``Exception``, so that nothing on the way takes it for a failure that can be handled."""


class Toolkit(click.Group):
    """The group of all commands; turns refusals and signals into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they are added below, not of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # a name that this terminal cannot show is no error
        try:
            with _sigterm_raises():
                return super().invoke(ctx)
        except toolkit.ToolkitError as error:
            _end(ctx, f"Error: {error}", error.exit_code)
        except KeyboardInterrupt as interrupt:  # a recipe that saved its best model has said so
            _end(ctx, "" if str(interrupt) else f"Interrupted. {_advice(ctx)}", INTERRUPTED)
        except EOFError as error:
            raise RuntimeError("a file ended early") from error  # a bug: click would take it for Ctrl-D and be silent
        except Terminated:
            _end(ctx, f"Stopped by SIGTERM. {_advice(ctx)}", RESUME_ME)


@click.group(cls=Toolkit, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(toolkit.__version__, prog_name="toolkit")
def main() -> None:
    """Train the best classifier that a table of images can buy, beside the plain baselines it has to beat."""


for command in (recipes.fine_tune, recipes.linear_probe, *semisupervised.COMMANDS, *autoencoders.COMMANDS,
                *sequences.COMMANDS,
                benchmark.benchmark, benchmark.learning_curve, runs.evaluate, runs.predict, runs.compare, runs.rerun,
                show.show, rank_backbones.rank_backbones, runs.backbones, doctor.doctor, launch.launch):
    main.add_command(command)


def _end(ctx: click.Context, line: str, code: int) -> None:
    """Prints one line to stderr, if there is one to print, and exits."""
    if line:
        click.echo(" ".join(line.splitlines()), err=True)
    ctx.exit(code)


def _advice(ctx: click.Context) -> str:
    """How to go on with a command that was stopped."""
    command = main.commands.get(ctx.invoked_subcommand or "")
    resumes = command is not None and any(parameter.name == "resume" for parameter in command.params)
    return f"Run {'again with --resume to continue' if resumes else 'the same command again'}."


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM raises ``Terminated``: files are closed, the folder is released, checkpoints stay where they are."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # signals belong to the main thread; called from another one, they stay as they are
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
