"""The command that trains with several processes of this machine, as on several machines."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from typing import IO

import click

from toolkit import ToolkitError
from toolkit.cli import options

GRACE_SECONDS = 60.0  # for a last step and a checkpoint, or for the slower workers to end
SECONDS_OF_CHIEF = 5.0
RESUME_ME = 75
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


class Stopped(Exception):
    """A signal asked this process to end; its number is the argument."""


@click.command(cls=options.Command, short_help="Train with several processes of this machine.",
               context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@options.option("--workers", family="Workers", type=click.IntRange(2, 256), metavar="N", required=True,
                help="How many processes; the batch is divided among them.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.pass_context
def launch(ctx: click.Context, workers: int, command: tuple[str, ...]) -> None:
    """Train with several processes of this machine, each on its share of the cores, as on several machines.

    COMMAND is a command of toolkit that trains, with its options: toolkit launch --workers 2 -- fine-tune photos.csv
    --output runs/photos. All of them end when one fails; exit code 75 means that the same command with --resume goes
    on.
    """
    _check(ctx, command)
    ports = _free_ports(workers)
    with _signals_raise(), contextlib.ExitStack() as logs:
        streams = [None, *(logs.enter_context(tempfile.TemporaryFile()) for _ in range(1, workers))]
        running: list[subprocess.Popen] = []
        try:
            for index, stream in enumerate(streams):
                running.append(_start(command, ports, index, stream))
            failed = _first_failure(running)
        except Stopped as stop:
            _end(running)
            number = stop.args[0]
            click.echo(f"Stopped by {signal.Signals(number).name}: all workers have ended. Run again with --resume to "
                       f"continue.", err=True)
            ctx.exit(130 if number == signal.SIGINT else RESUME_ME)
        finally:
            _end(running)
        if failed is not None:
            ctx.exit(_explain(failed, running[failed].returncode, streams[failed]))


def _check(ctx: click.Context, command: tuple[str, ...]) -> None:
    """Refuses what no workers can share."""
    shared = [name for name, found in ctx.parent.command.commands.items() if found.trains]
    if command[0] not in shared:
        raise ToolkitError(f"launch cannot run {command[0]!r}: it takes a command that trains, one of "
                           f"{', '.join(shared)}.")
    if "TF_CONFIG" in os.environ:
        raise ToolkitError("TF_CONFIG is set, so this process is a worker already: run the command itself, or unset "
                           "it.")


def _free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _start(command: tuple[str, ...], ports: list[int], index: int, stream: IO[bytes] | None) -> subprocess.Popen:
    """One worker, on its share of the cores, in a session of its own: Ctrl-C reaches this process alone."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    cores = sorted(os.sched_getaffinity(0))
    share = cores[index::len(ports)] or [cores[index % len(cores)]]
    return subprocess.Popen([sys.executable, "-m", "toolkit", *command], env={**os.environ, "TF_CONFIG": config},
                            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
                            preexec_fn=partial(_prepare, share, os.getpid()))


def _prepare(cores: list[int], launcher: int) -> None:
    """In a worker, before it begins: gives it its cores, and lets it end when the process that started it does."""
    os.sched_setaffinity(0, cores)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != launcher:  # it has ended already
            os._exit(RESUME_ME)


def _first_failure(running: list[subprocess.Popen]) -> int | None:
    """Waits for all workers; the number of the first that failed, or None. The others may still run."""
    deadline = None
    while True:
        codes = [worker.poll() for worker in running]
        failed = next((index for index, code in enumerate(codes) if code), None)
        if failed and codes[failed] > 0:  # what is wrong for all of them the chief says too, perhaps a little later
            with contextlib.suppress(subprocess.TimeoutExpired):
                return 0 if running[0].wait(SECONDS_OF_CHIEF) == codes[failed] else failed
        if failed is not None or all(code == 0 for code in codes):
            return failed
        if codes[0] == 0 and deadline is None:  # the chief has written everything
            deadline = time.monotonic() + GRACE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            return None
        time.sleep(0.1)


def _end(running: list[subprocess.Popen]) -> None:
    """Ends the chief, who saves first, and then the others."""
    for wait, worker in zip([GRACE_SECONDS, *[0.0] * len(running)], running, strict=False):
        if worker.poll() is None:
            worker.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(wait)
    for worker in running:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


def _explain(index: int, code: int, stream: IO[bytes] | None) -> int:
    """Says which worker failed, and what it said last unless that was seen; the exit code to end with."""
    last = ""
    if stream is not None:
        stream.seek(0)
        last = (stream.read().decode("utf-8", "replace").strip().splitlines() or [""])[-1]
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    advice = " Run again with --resume to continue." if code < 0 or code == RESUME_ME else ""
    click.echo(f"Worker {index} {how}, and the others were stopped.{advice}{f' It said: {last}' if last else ''}",
               err=True)
    return RESUME_ME if code < 0 else code


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGTERM, Ctrl-C and the end of the terminal raise ``Stopped``."""

    def stop(number: int, frame: object) -> None:
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
