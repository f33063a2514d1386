"""What `toolkit rank-backbones` says of backbones beside the test accuracy of a linear probe with each of them.

    python benchmarks/ranking.py $TOOLKIT_DATA/ants_bees/images.csv --backbone efficientnet_lite0@224 \
        --backbone efficientnet_lite0@96 --backbone small_cnn=none

The ranking sees the labelled training rows only; the test rows are read by the probes. Prints Kendall's rank
correlation of each score with the test accuracy.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any

import click
from scipy import stats

SCORES = {"accuracy": "held-out accuracy", "logme": "LogME", "h_score": "H-score"}


@click.command()
@click.argument("table")
@click.option("--backbone", "backbones", multiple=True, required=True, help="NAME[=WEIGHTS][@SIZE]; repeat it.")
def main(table: str, backbones: tuple[str, ...]) -> None:
    named = [word for name in backbones for word in ("--backbone", name)]
    ranked = {row["name"]: row for row in toolkit("rank-backbones", table, *named, "--no-measure-steps")["candidates"]}
    found = []
    for row in ranked.values():
        size = ["--image-size", str(row["image_size"])]
        with tempfile.TemporaryDirectory() as folder:
            probe = toolkit("linear-probe", table, "--backbone", row["backbone"], "--weights", row["weights"], *size,
                            "--output", f"{folder}/run")
        found.append(probe["test"]["accuracy"])
        print(f"{row['name']}: test {100 * found[-1]:.1f} %, held out {100 * row['accuracy']:.1f} %, "
              f"LogME {row['logme']:.3f}, H-score {row['h_score']:.3f}")
    for score, name in SCORES.items():
        tau = stats.kendalltau([row[score] for row in ranked.values()], found).statistic
        print(f"Kendall's tau of {name} with the test accuracy: {tau:+.2f}")


def toolkit(*words: str) -> dict[str, Any]:
    """The JSON that a command prints."""
    done = subprocess.run([sys.executable, "-m", "toolkit", *words, "--json"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
