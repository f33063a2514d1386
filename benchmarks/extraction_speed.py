"""Feature extraction from files against the same network on images already decoded, in interleaved pairs.

    python benchmarks/extraction_speed.py $TOOLKIT_DATA/ants_bees/images.csv --pairs 10 [--onnxruntime]

A: `features.extract` from the JPEG files on disk, cold cache: reading, decoding, resizing, network, cache written.
B: bare `model.predict` of the unfolded Keras network on the same crops, decoded and resized in memory beforehand.
C (needs onnxruntime and tf2onnx): onnxruntime on the same arrays.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np


@click.command(context_settings={"show_default": True})
@click.argument("table")
@click.option("--backbone", default="efficientnet_lite0")
@click.option("--pairs", default=10, help="Interleaved repetitions.")
@click.option("--batch-size", default=64)
@click.option("--onnxruntime", is_flag=True, help="Also time onnxruntime.")
def main(table: str, backbone: str, pairs: int, batch_size: int, onnxruntime: bool) -> None:
    from toolkit import inputs
    from toolkit.models import backbones
    from toolkit.tables import read_table
    from toolkit.training import features

    data = read_table(table)
    rows = np.arange(len(data))
    model = backbones.build(backbone)
    network = backbones.network(model)
    crops = np.concatenate([batch.numpy() for batch in inputs.evaluation_batches(
        data, rows, preprocessing=backbones.preprocessing(model), batch_size=batch_size)])

    def from_files() -> np.ndarray:
        with tempfile.TemporaryDirectory() as cache:
            return features.extract(model, data, rows, batch_size=batch_size, cache=Path(cache))

    ways: dict[str, Callable[[], np.ndarray]] = {
        "features.extract from files": from_files,
        "bare model.predict on arrays": lambda: network.predict(crops, batch_size=batch_size, verbose=0)}
    if onnxruntime:
        ways["onnxruntime on arrays"] = _onnx(network, crops, batch_size)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    expected = None
    for repetition in range(pairs + 1):  # the first one warms up and is not counted
        for name, work in ways.items():
            start = time.monotonic()
            result = work()
            if repetition:
                seconds[name].append(time.monotonic() - start)
            expected = result if expected is None else expected
            assert np.abs(result - expected).max() < 1e-2 * np.abs(expected).max(), name
    first = np.array(seconds["features.extract from files"])
    for name, values in seconds.items():
        ratios = np.array(values) / first
        print(f"{name}: median {len(rows) / np.median(values):.1f} images/s; features.extract reaches "
              f"{np.median(ratios):.2f} of its speed (pairs {ratios.min():.2f} to {ratios.max():.2f})")


def _onnx(network, crops: np.ndarray, batch_size: int) -> Callable[[], np.ndarray]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/network.onnx"
        network.export(path, format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: np.concatenate([session.run(None, {name: crops[i:i + batch_size]})[0]
                                   for i in range(0, len(crops), batch_size)])


if __name__ == "__main__":
    main()
