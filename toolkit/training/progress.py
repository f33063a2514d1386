"""Progress of long work on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from toolkit.training import workers


def say(line: str) -> None:
    """Prints one line to stderr at once; stdout belongs to the report. Of several workers the chief speaks."""
    if workers.this().is_chief:
        print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: "8 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """Counts what is done and says when it will end. Use it as a context manager.

    On a terminal it draws one bar; elsewhere it prints a line every half minute, and none for short work.

    Args:
        title: what is being done, e.g. "extracting features".
        total: how many items there are.
        quiet_seconds: time between two plain lines where stderr is no terminal.
    """

    def __init__(self, title: str, total: int, *, quiet_seconds: float = 30.0) -> None:
        self.title, self.total, self.quiet_seconds = title, total, quiet_seconds
        self._terminal = sys.stderr.isatty()
        self._bar = None
        self._start = self._said = time.monotonic()

    def __enter__(self) -> "Progress":
        if self._terminal:
            from tqdm import tqdm

            self._bar = tqdm(desc=self.title, total=self.total, leave=False, dynamic_ncols=True)
        return self

    def __call__(self, done: int, total: int | None = None) -> None:
        """Tells that ``done`` of ``total`` items are done."""
        self.total = total or self.total
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if now - self._said >= self.quiet_seconds and done:
            left = (now - self._start) / done * (self.total - done)
            say(f"{self.title}: {done} of {self.total}, about {duration(left)} left")
            self._said = now

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
