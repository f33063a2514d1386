"""Runs one command of toolkit with several seeds and prints mean, spread and cost: a row of RESULTS.md.

    python benchmarks/repeat_seeds.py --seeds 5 --vary seed,split-seed -- fine-tune $TOOLKIT_DATA/ants_bees/images.csv
    python benchmarks/repeat_seeds.py --seeds 5 --vary seed,label-seed -- linear-probe $TOOLKIT_DATA/mnist.npz \
        --labels-per-class 100

Every run is a process of its own in a folder of its own, so the seconds hold everything: imports, reading, features
(cached from the second run on, unless TOOLKIT_CACHE changes), training and the report.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
from scipy import stats


@click.command(context_settings={"ignore_unknown_options": True, "show_default": True})
@click.option("--seeds", default=5, help="Number of runs.")
@click.option("--vary", default="seed", help="Options that get the seed, with commas: seed, split-seed, label-seed.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("runs/repeated"), help="Folder of the runs.")
@click.option("--keep", is_flag=True, help="Keep the run folders.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def main(seeds: int, vary: str, output: Path, keep: bool, command: tuple[str, ...]) -> None:
    """Runs COMMAND with --seed 0, 1, ... and prints the test scores of the runs; {seed} in it becomes the seed."""
    scores: dict[str, list[float]] = {}
    for seed in range(seeds):
        folder = output / f"seed-{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        varied = [word for name in vary.split(",") for word in (f"--{name}", str(seed))]
        start = time.monotonic()
        words = [word.replace("{seed}", str(seed)) for word in command]
        subprocess.run([sys.executable, "-m", "toolkit", *words, *varied, "--output", str(folder)], check=True,
                       stdout=subprocess.DEVNULL)
        report = json.loads((folder / "report.json").read_text())
        rows = {report["recipe"]: report["test"], **report["baselines"]}
        for name, row in rows.items():
            scores.setdefault(name, []).append(row["accuracy"])
        scores.setdefault("seconds", []).append(time.monotonic() - start)
        print(f"seed {seed}: {report['test']['accuracy']:.4f} on {report['test']['count']} test rows, "
              f"{scores['seconds'][-1]:.0f} s; {report['verdict']['sentence']}", flush=True)
        if not keep:
            shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    seconds = scores.pop("seconds")
    print("\n| method | mean accuracy | sd | 95 % interval of the mean | worst |\n|---|---|---|---|---|")
    for name, values in scores.items():
        half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5 if seeds > 1 else 0
        print(f"| {name} | {np.mean(values):.4f} | {np.std(values, ddof=seeds > 1):.4f} | "
              f"{np.mean(values) - half:.4f} to {np.mean(values) + half:.4f} | {min(values):.4f} |")
    print(f"\nseconds: first {seconds[0]:.0f}, median of all {np.median(seconds):.0f}; peak memory {peak:.2f} GB")


if __name__ == "__main__":
    main()
