"""SIGKILL at random moments over the recipes: does every run end, after --resume, as if it had never been killed?

    python benchmarks/kills.py --kills 100

Each recipe trains on real digits of a few pixels (scikit-learn's; for networks on series, their 64 grey levels one
after another), once undisturbed. Then a run is killed at a moment drawn from the time that took, is killed again with
probability one third, and is resumed; the SHA-256 of its `predictions.csv` and of all weights in its `model.keras` must
be those of the undisturbed run. With `--workers 2` one of two workers is killed.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

FROZEN = "--backbone small_cnn --weights none --image-size 12 --filters 4,8"
SMALL = f"{FROZEN} --reflect no"
COMMANDS = {
    "fine-tune": f"fine-tune {SMALL} --epochs 6 --batch-size 8",
    "fine-tune, two networks": f"fine-tune {SMALL} --epochs 3 --batch-size 8 --members 2 --mixup 0.2",
    "linear-probe": f"linear-probe {FROZEN}",
    "spread-labels": f"spread-labels {FROZEN}",
    "pseudo-label": f"pseudo-label {SMALL}",
    "pseudo-label in pixels": f"pseudo-label {SMALL} --space pixels --steps 40 --batch-size 8 --per-label 2",
    "fix-match": f"fix-match {SMALL} --steps 100",
    "fix-match in pixels": f"fix-match {SMALL} --space pixels --steps 40 --batch-size 8 --per-label 2",
    "mean-teacher": f"mean-teacher {SMALL} --space pixels --steps 40 --batch-size 8 --per-label 2",
    "mix-match": f"mix-match {SMALL} --space pixels --steps 40 --batch-size 8 --per-label 2",
    "virtual-adversarial": f"virtual-adversarial {SMALL} --space pixels --steps 40 --batch-size 8 --per-label 2",
    "pretrain-autoencoder": "pretrain-autoencoder --method k-sparse --hidden 30 --kept 5 --image-size 12 --epochs 6",
    "train-lstm": "train-lstm --kind series --units 8 --epochs 6 --batch-size 8",
    "train-transformer": "train-transformer --kind series --units 8 --heads 2 --layers 1 --epochs 6 --batch-size 8",
}


def digits(folder: Path) -> None:
    """180 digits of three classes, a third of the training rows unlabelled, as digits.csv (images) and series.csv."""
    from PIL import Image
    from sklearn.datasets import load_digits

    data, lines, series = load_digits(), ["path,label,split"], ["values,label,split"]
    chosen = [index for index in range(len(data.target)) if data.target[index] < 3][:180]
    for number, index in enumerate(chosen):
        Image.fromarray((data.images[index] * 15.9).astype("uint8")).save(folder / f"{number}.png")
        split = "train" if number < 120 else "validation" if number < 150 else "test"
        label = "" if split == "train" and number % 3 == 0 else data.target[index]
        lines.append(f"{number}.png,{label},{split}")
        series.append(f"{' '.join(map(str, data.data[index]))},{label},{split}")
    (folder / "digits.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "series.csv").write_text("\n".join(series) + "\n", encoding="utf-8")


def begin(command: str, data: Path, output: Path, cache: Path, *, workers: int, resume: bool) -> subprocess.Popen:
    """Starts a run in a session of its own."""
    table = data / ("series.csv" if "--kind series" in command else "digits.csv")
    arguments = [*command.split(), str(table), "--output", str(output), *(["--resume"] if resume else [])]
    launched = ["launch", "--workers", str(workers), "--"] if workers > 1 else []
    return subprocess.Popen([sys.executable, "-m", "toolkit", *launched, *arguments], start_new_session=True,
                            env={**os.environ, "TOOLKIT_CACHE": str(cache)}, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen, draw: random.Random) -> bool:
    """SIGKILL to the process, or to one of the workers it has started; whether there was one to kill."""
    if process.poll() is not None:
        return False
    try:
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(draw.choice(workers)) if workers else process.pid, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True


def ending(output: Path) -> tuple[str, str]:
    """SHA-256 of the predictions and of all weights."""
    import keras

    weights = hashlib.sha256()
    for weight in keras.saving.load_model(output / "model.keras", compile=False).weights:
        weights.update(weight.numpy().tobytes())
    predictions = output / "predictions.csv"
    return hashlib.sha256(predictions.read_bytes()).hexdigest() if predictions.is_file() else "", weights.hexdigest()


@click.command()
@click.option("--kills", default=100, show_default=True)
@click.option("--workers", default=1, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(COMMANDS)), help="These recipes; default: all.")
@click.option("--seed", default=0, show_default=True)
def main(kills: int, workers: int, only: tuple[str, ...], seed: int) -> None:
    """Kill runs and count the identical endings."""
    draw, names = random.Random(seed), list(only or COMMANDS)
    done = {name: [0, 0, 0] for name in names}  # killed, identical, seconds
    with tempfile.TemporaryDirectory() as temporary:
        folder, whole = Path(temporary), {}
        digits(folder)
        for number in range(kills):
            name = names[number % len(names)]
            cache = folder / f"cache-{number}"
            if name not in whole:
                start = time.monotonic()
                first = begin(COMMANDS[name], folder, folder / name, cache, workers=workers, resume=False)
                said = first.communicate()[1]
                if first.returncode:
                    raise click.ClickException(f"{name}: {said.strip().splitlines()[-1]}")
                whole[name] = ending(folder / name), time.monotonic() - start
            output, again = folder / f"killed-{number}", True
            while again:
                process = begin(COMMANDS[name], folder, output, cache, workers=workers, resume=True)
                time.sleep(draw.uniform(0.2, 1.0) * whole[name][1])
                done[name][0] += kill(process, draw)
                process.communicate()
                again = draw.random() < 1 / 3
            process = begin(COMMANDS[name], folder, output, cache, workers=workers, resume=True)
            said = process.communicate()[1]
            same = process.returncode == 0 and ending(output) == whole[name][0]
            done[name][1] += same
            done[name][2] += 1
            found = "the same ending" if same else f"DIFFERENT {said}"
            click.echo(f"{number + 1} of {kills}, {name}: {found}", err=True)
    click.echo("| recipe | runs killed | kills that hit | identical endings |\n|---|---|---|---|")
    for name, (hit, same, runs) in done.items():
        click.echo(f"| {name} | {runs} | {hit} | {same} |")


if __name__ == "__main__":
    main()
