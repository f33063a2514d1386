"""A step of fine-tuning from files against a bare Keras `fit` on arrays, and against PyTorch, interleaved.

    python benchmarks/training_speed.py $TOOLKIT_DATA/ants_bees/images.csv --pairs 10 [--torch-python PYTHON]
    python benchmarks/training_speed.py $TOOLKIT_DATA/ants_bees/images.csv --pairs 10 --devices cpu:2

A: the steps of the fine_tune recipe from JPEG files: decoding, augmentation, layer-wise AdamW, frozen BatchNorm.
B: `fit` of the same Keras network and head, all trainable, stock AdamW, on the same images decoded in memory, under
   the same strategy.
C: as B, with BatchNorm frozen as in A.
D: timm's tf_efficientnet_lite0, channels last, AdamW, on random arrays, in the Python named (which has torch and timm).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

import click
import numpy as np

TORCH = """
import sys, time
sys.path.insert(0, {stub!r})
import torchvision_stub; torchvision_stub.install()
import torch, timm
torch.set_num_threads({threads})
model = timm.create_model('tf_efficientnet_lite0', num_classes=2).train().to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
images = torch.rand({batch}, 3, 224, 224).to(memory_format=torch.channels_last)
labels = torch.randint(0, 2, ({batch},))
for line in sys.stdin:
    start = time.monotonic()
    for _ in range({steps}):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    print(time.monotonic() - start, flush=True)
"""


@click.command(context_settings={"show_default": True})
@click.argument("table")
@click.option("--pairs", default=10, help="Interleaved repetitions.")
@click.option("--steps", default=6, help="Steps a repetition.")
@click.option("--batch-size", default=32)
@click.option("--devices", default="cpu", help="As of toolkit fine-tune; A, B and C run under this strategy.")
@click.option("--torch-python", default=None, help="A Python that has torch and timm.")
@click.option("--torch-stub", default="tests/models/goldens", help="Folder with a stub of torchvision for timm.")
def main(table: str, pairs: int, steps: int, batch_size: int, devices: str, torch_python: str | None, torch_stub: str
         ) -> None:
    from toolkit.tables import read_table
    from toolkit.training.devices import strategy

    data = read_table(table)
    with strategy(devices).scope():
        ways = {"toolkit fine-tune step": _ours(data, batch_size, steps),
                "bare Keras fit": _bare(data, batch_size, steps, frozen=False),
                "bare Keras fit, BatchNorm frozen": _bare(data, batch_size, steps, frozen=True)}
    if torch_python:
        ways["PyTorch, channels last"] = _torch(torch_python, torch_stub, batch_size, steps)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(pairs + 1):  # the first one traces and is not counted
        for name, work in ways.items():
            taken = work()
            if repetition:
                seconds[name].append(taken)
    ours = np.array(seconds["toolkit fine-tune step"])
    for name, values in seconds.items():
        ratios = np.array(values) / ours
        print(f"{name}: median {batch_size * steps / np.median(values):.2f} images/s; toolkit reaches "
              f"{np.median(ratios):.2f} of its speed (pairs {ratios.min():.2f} to {ratios.max():.2f})")


def _ours(data, batch_size: int, steps: int) -> Callable[[], float]:
    """The recipe's own model, compiled by the recipe, on the recipe's own stream."""
    from recipes import fine_tune
    from toolkit.models import backbones, classifiers
    from toolkit.training import Settings, plans, streams

    settings = Settings(batch_size=batch_size).for_rows(len(data.labelled("train")))
    backbone = backbones.build(settings.backbone)
    model = classifiers.with_head(backbones.network(backbone), len(data.class_names))
    fine_tune.compile_member(model, settings, plans.Plan(steps, 100), unfreeze="probe-first", probe=None)
    batches = streams.labelled(data, backbones.preprocessing(backbone), settings, reflect=True, seed=0)(0)
    return lambda: _fit(model, batches, steps)


def _bare(data, batch_size: int, steps: int, *, frozen: bool) -> Callable[[], float]:
    """What a user of plain Keras writes: everything trainable, or all but BatchNorm, stock AdamW, arrays in memory."""
    import keras
    import tensorflow as tf

    from toolkit import inputs
    from toolkit.models import backbones, blocks, classifiers

    backbone = backbones.build("efficientnet_lite0")
    rows = data.labelled("train")
    images = np.concatenate([batch.numpy() for batch in inputs.evaluation_batches(
        data, rows, preprocessing=backbones.preprocessing(backbone), batch_size=batch_size)])
    model = classifiers.with_head(backbones.network(backbone), len(data.class_names))
    for layer in blocks.batch_normalisations(model):
        layer.trainable = not frozen
    model.compile(keras.optimizers.AdamW(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    batches = tf.data.Dataset.from_tensor_slices((images, data.labels[rows])).repeat().batch(batch_size).prefetch(2)
    return lambda: _fit(model, batches, steps)


def _fit(model, batches, steps: int) -> float:
    start = time.monotonic()
    model.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False)
    return time.monotonic() - start


def _torch(python: str, stub: str, batch_size: int, steps: int) -> Callable[[], float]:
    """A process that trains one repetition for every line it reads, idle in between."""
    code = TORCH.format(stub=stub, threads=os.cpu_count(), batch=batch_size, steps=steps)
    process = subprocess.Popen([python, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def once() -> float:
        process.stdin.write("go\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return once


if __name__ == "__main__":
    main()
