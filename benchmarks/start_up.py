"""How long `toolkit --help` and `toolkit fine-tune --help` take beside a Python that only imports click, interleaved.

    python benchmarks/start_up.py --pairs 21
"""

from __future__ import annotations

import subprocess
import sys
import time

import click
import numpy as np

PROGRAM = "import sys; from toolkit.cli import main; sys.argv = ['toolkit', *{words!r}]; main()"
WAYS = {
    "import click": "import click",
    "toolkit --help": PROGRAM.format(words=["--help"]),
    "toolkit fine-tune --help": PROGRAM.format(words=["fine-tune", "--help"]),
}


@click.command(context_settings={"show_default": True})
@click.option("--pairs", default=21, help="Interleaved repetitions.")
def main(pairs: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for repetition in range(pairs + 1):  # the first one fills the disk's cache and is not counted
        for name, code in WAYS.items():
            start = time.monotonic()
            subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
            if repetition:
                seconds[name].append(time.monotonic() - start)
    least = np.array(seconds["import click"])
    for name, values in seconds.items():
        ratios = np.array(values) / least
        print(f"{name}: median {1000 * np.median(values):.0f} ms, {np.median(ratios):.2f} times the import "
              f"({ratios.min():.2f} to {ratios.max():.2f})")


if __name__ == "__main__":
    main()
