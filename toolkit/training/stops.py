"""SIGTERM while a network trains: the step is finished and a checkpoint written before the process ends.

A machine that is taken away says so seconds before. Only a handler that raises is put off, as that of the command line
does; of several workers all but the chief wait for the chief, who saves.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

from toolkit.training import workers

_waiting: list[Callable[[], None]] = []  # at most one: what the signal would have done


@contextlib.contextmanager
def delayed() -> Iterator[None]:
    """Within, SIGTERM is put off until ``obey`` or the end."""
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: object) -> None:
        if workers.this().is_chief:
            _waiting[:] = [lambda: handler(number, frame)]

    signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
    obey()


def asked() -> bool:
    """Whether the process shall end."""
    return bool(_waiting)


def obey() -> None:
    """Does what the signal asked for, if one came."""
    if _waiting:
        _waiting.pop()()
