"""Images per second of training and of extraction on the device at hand, in one call and one table.

    python benchmarks/device_speed.py --torch-python PYTHON    # a GPU; on a CPU, say:
    python benchmarks/device_speed.py --backbone resnet18 --image-size 96 --batch-size 8 --precision float32 --no-xla

Random images in memory, everything trainable, SGD with momentum; a process for each line, so that memory is its own.
The lines of PyTorch are timm's networks of the same name with channels last, automatic mixed precision and, on a GPU,
`torch.compile`, in the Python named (which has torch and timm).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import click

BACKBONES = ("resnet50", "resnet18", "efficientnet_lite0", "alexnet")
OF_TIMM = {"resnet50": "resnet50", "resnet18": "resnet18", "efficientnet_lite0": "tf_efficientnet_lite0"}
WARM_STEPS = 5
TORCH = """
import sys, time, json
sys.path.insert(0, {stub!r})
import torchvision_stub; torchvision_stub.install()
import contextlib, torch, timm
device = "cuda" if torch.cuda.is_available() else "cpu"
model = timm.create_model({name!r}, num_classes=1000).to(device, memory_format=torch.channels_last)
step_model = torch.compile(model) if device == "cuda" else model
half = {{"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}}.get({precision!r})
cast = lambda: torch.autocast(device, half) if half else contextlib.nullcontext()
scaler = torch.amp.GradScaler(device, enabled=half is torch.float16)
optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
images = torch.rand({batch}, 3, {size}, {size}, device=device).to(memory_format=torch.channels_last)
labels = torch.randint(0, 1000, ({batch},), device=device)
def train():
    optimizer.zero_grad()
    with cast():
        loss = torch.nn.functional.cross_entropy(step_model(images), labels)
    scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update()
def extract():
    with torch.no_grad(), cast():
        step_model(images)
found = {{}}
for what, work in (("training", train), ("extraction", extract)):
    model.train(what == "training")
    for _ in range({warm}): work()
    if device == "cuda": torch.cuda.synchronize()
    start = time.monotonic()
    for _ in range({steps}): work()
    if device == "cuda": torch.cuda.synchronize()
    found[what] = {batch} * {steps} / (time.monotonic() - start)
print(json.dumps(found))
"""


def measure(name: str, precision: str, xla: bool, size: int, batch_size: int, steps: int) -> dict[str, float]:
    """Images a second of one network in this process."""
    import keras
    import numpy as np
    import tensorflow as tf

    from toolkit.models import backbones, classifiers

    keras.config.set_dtype_policy(precision)
    model = classifiers.with_head(backbones.network(backbones.build(name, "none", size)), 1000)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.CategoricalCrossentropy(from_logits=True),
                  jit_compile=xla)
    random = np.random.default_rng(0)
    images = tf.constant(random.uniform(0, 255, (batch_size, size, size, 3)).astype(np.float32))
    labels = tf.one_hot(random.integers(0, 1000, batch_size), 1000)
    model.make_train_function()
    extract = tf.function(lambda: model(images, training=False), jit_compile=xla)
    batches = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())
    found = {}
    for what, work in (("training", lambda: model.train_function(batches)), ("extraction", extract)):
        for _ in range(WARM_STEPS):
            last = work()
        _finish(last)
        start = time.monotonic()
        for _ in range(steps):
            last = work()
        _finish(last)
        found[what] = batch_size * steps / (time.monotonic() - start)
    return found


def _finish(last) -> None:
    """Waits for what a device was given."""
    import tensorflow as tf

    values = last.get_value() if isinstance(last, tf.experimental.Optional) else last
    for value in tf.nest.flatten(values):
        value.numpy()


def in_a_process(python: str, arguments: list[str]) -> dict[str, float] | None:
    """What a process prints as its last line; None if it failed."""
    done = subprocess.run([python, *arguments], capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


@click.command(context_settings={"show_default": True})
@click.option("--backbone", "names", multiple=True, default=BACKBONES)
@click.option("--precision", "precisions", multiple=True, default=("float32", "mixed_bfloat16"))
@click.option("--image-size", "size", default=224)
@click.option("--batch-size", default=128)
@click.option("--steps", default=30)
@click.option("--xla/--no-xla", default=True, help="Also with XLA.")
@click.option("--torch-python", default=None, help="A Python that has torch and timm.")
@click.option("--torch-stub", default="tests/models/goldens", help="Folder with a stub of torchvision for timm.")
@click.option("--only", hidden=True, help="One line, as JSON.")
def main(names: tuple[str, ...], precisions: tuple[str, ...], size: int, batch_size: int, steps: int, xla: bool,
         torch_python: str | None, torch_stub: str, only: str | None) -> None:
    """Measure each network, precision and compiler, and PyTorch beside."""
    if only:
        click.echo(json.dumps(measure(**json.loads(only), size=size, batch_size=batch_size, steps=steps)))
        return
    click.echo("| network | precision | by | training, images/s | extraction, images/s |\n|---|---|---|---|---|")
    shared = ["--image-size", str(size), "--batch-size", str(batch_size), "--steps", str(steps)]
    for name in names:
        for precision in precisions:
            found = {}
            for compiled in (False, True)[:1 + xla]:
                line = json.dumps({"name": name, "precision": precision, "xla": compiled})
                found[f"toolkit{', XLA' if compiled else ''}"] = in_a_process(
                    sys.executable, [os.path.abspath(__file__), *shared, "--only", line])
            if torch_python and name in OF_TIMM:
                code = TORCH.format(stub=torch_stub, name=OF_TIMM[name], precision=precision, batch=batch_size,
                                    size=size, steps=steps, warm=WARM_STEPS)
                found["PyTorch, timm"] = in_a_process(torch_python, ["-c", code])
            for by, speeds in found.items():
                numbers = " | ".join(f"{value:.1f}" for value in speeds.values()) if speeds else "failed | failed"
                click.echo(f"| {name} | {precision} | {by} | {numbers} |")


if __name__ == "__main__":
    main()
