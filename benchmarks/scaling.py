"""Two workers on one core each against one worker on one core: images a second, extracting and fine-tuning.

    python benchmarks/scaling.py $TOOLKIT_DATA/ants_bees/images.csv --pairs 5

Both see the same rows in batches of the same size. Each measurement is a process of its own for every worker, pinned to
its core; starting, reading the table and tracing the graphs are not counted. Pairs are interleaved.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click


def measure(table: str, size: int, batch_size: int, steps: int, cache: str) -> dict[str, float]:
    """Images a second over all workers, in this process as one of them."""
    import numpy as np

    from recipes import fine_tune, linear_probe
    from toolkit.models import backbones, classifiers
    from toolkit.tables import read_table
    from toolkit.training import Settings, devices, features, loop, plans, streams, workers

    scope = devices.strategy("cpu").scope
    settings = Settings(image_size=size, batch_size=batch_size, reflect="no").for_rows(200)
    found = read_table(table)
    backbone = linear_probe.build_backbone(found, settings)
    features.extract(backbone, found, np.arange(4), cache=Path(cache, "warm"))
    start = time.monotonic()
    features.extract(backbone, found, cache=Path(cache, "rows"))
    extracted = len(set(found.checksums)) / (time.monotonic() - start)

    with scope():
        model = classifiers.with_head(backbones.network(linear_probe.build_backbone(found, settings)),
                                      len(found.class_names))
        plan = plans.Plan(steps + 3, 1, from_start=False)
        fine_tune.compile_member(model, settings, plan, unfreeze="all", probe=None)
    import keras

    times: list[float] = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: times.append(time.monotonic()))
    loop.fit(model, streams.labelled(found, backbones.preprocessing(backbone), settings, reflect=False, seed=0), plan,
             callbacks=[note])
    workers.wait()
    return {"extraction": extracted, "fine-tuning": steps * batch_size / (times[-1] - times[2])}


def measured(count: int, arguments: list[str], folder: str) -> dict[str, float]:
    """Starts the workers, each on a core of its own; what the first found."""
    ports = []
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
            ports.append(one.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports[:count]]}
    cores = sorted(os.sched_getaffinity(0))
    running = []
    for index in range(count):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        running.append(subprocess.Popen([sys.executable, __file__, *arguments, "--cache", folder], text=True,
                                        env={**os.environ, **({"TF_CONFIG": config} if count > 1 else {})},
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        preexec_fn=lambda index=index: os.sched_setaffinity(0, {cores[index]})))
    said = [worker.communicate()[0] for worker in running]
    if any(worker.returncode for worker in running):
        raise click.ClickException(f"a worker failed; run {' '.join(arguments)} --cache FOLDER to see why.")
    return json.loads(said[0].splitlines()[-1])


@click.command()
@click.argument("table")
@click.option("--pairs", default=5, show_default=True)
@click.option("--image-size", default=224, show_default=True)
@click.option("--batch-size", default=32, show_default=True)
@click.option("--steps", default=8, show_default=True)
@click.option("--cache", hidden=True)
def main(table: str, pairs: int, image_size: int, batch_size: int, steps: int, cache: str | None) -> None:
    """Measure one worker and two, pair by pair."""
    if cache is not None:
        click.echo(json.dumps(measure(table, image_size, batch_size, steps, cache)))
        return
    arguments = [table, "--image-size", str(image_size), "--batch-size", str(batch_size), "--steps", str(steps)]
    ratios: dict[str, list[float]] = {}
    speeds: dict[str, list[tuple[float, float]]] = {}
    for pair in range(pairs):
        found = []
        for count in (1, 2) if pair % 2 == 0 else (2, 1):
            with tempfile.TemporaryDirectory() as folder:
                found.append((count, measured(count, arguments, folder)))
        one, two = (speed for _, speed in sorted(found, key=lambda item: item[0]))
        for name in one:
            ratios.setdefault(name, []).append(two[name] / one[name])
            speeds.setdefault(name, []).append((one[name], two[name]))
    for name, values in ratios.items():
        one, two = (statistics.median(speed) for speed in zip(*speeds[name], strict=True))
        click.echo(f"{name}: {one:.1f} images/s with one worker, {two:.1f} with two; ratio "
                   f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}) over {pairs} pairs")


if __name__ == "__main__":
    main()
