"""Every backbone whose checkpoints are converted: how close to the original, how fast, and in how much memory.

    python benchmarks/conversions.py
    python benchmarks/conversions.py --torch-python PYTHON --only vgg16 --only timm_vgg16

Each full-size network is filled with weights seeded by the tensors' names, written under the original's names as
`.safetensors` and as a zip `.pth`, and loaded from there in a fresh process. Its logits on two pictures are compared
with those of the original: the stored ones, or with --torch-python those that timm and torchvision's definitions
compute now, in a Python that has torch and timm. The embedded weights of EfficientNet-Lite0 come last.

relative error: the largest difference over the largest logit. load: seconds to build the network and load the file,
imports left out. peak: the most memory while that is done, above what the process held after its imports and a first
small network, over the file's size. kept: what is held afterwards, likewise: the network, of which the graph's own
objects count where the file is small. Linux only. Prints a table; the exit status is 1 if an error exceeds 1e-4.
"""

import json
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np

TESTS = Path(__file__).resolve().parents[1] / "tests" / "models"
INPUTS = runpy.run_path(str(TESTS / "goldens" / "inputs.py"))
TOLERANCE = 1e-4
EMBEDDED = "embedded_lite0"
COLUMNS = ("| backbone | original | file | MB | relative error | load, s | peak / file | kept / file |\n"
           "|---|---|---|---|---|---|---|---|")


def photographs_folder() -> Path:
    import sklearn

    return Path(sklearn.__file__).parent / "datasets" / "images"


# ---- One file, in a process of its own ------------------------------------------------------------------------------


def memory(what: str) -> int:
    """Bytes: `VmRSS`, held now, or `VmHWM`, the most since the last `forget_the_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return 1024 * int(line.split()[1])


def forget_the_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def measure(name: str, weights: str, goldens: Path) -> dict[str, float]:
    """Load one file, and compare the logits with the stored ones."""
    from toolkit.models import backbones

    backbones.build("small_cnn", "none", 8, filters=(4,))
    case = None if name == EMBEDDED else INPUTS["CASES"][name]
    build = {"name": "efficientnet_lite0"} if case is None else {
        "name": case.backbone, "image_size": case.image_size, **case.options}
    before, start = memory("VmRSS"), time.perf_counter()
    forget_the_peak()
    model = backbones.build(weights=weights, include_top=True, **build)
    seconds, peak, kept = time.perf_counter() - start, memory("VmHWM") - before, memory("VmRSS") - before
    folder = photographs_folder()
    pictures = INPUTS["photographs"](folder) if case is None else INPUTS["pictures"](folder, case)
    logits = backbones.network(model)(pictures.astype(np.float32), training=False).numpy()
    expected = np.load(goldens / f"{'efficientnet_lite0' if case is None else name}.npz")["logits"]
    error = float(np.abs(logits - expected).max() / np.abs(expected).max())
    return {"error": error, "seconds": seconds, "peak": peak, "kept": kept}


# ---- All files ------------------------------------------------------------------------------------------------------


def write(name: str, folder: Path) -> list[Path]:
    """The checkpoint of a case in both kinds of file."""
    from toolkit.models import backbones, layers, own_networks

    case, writers = INPUTS["CASES"][name], runpy.run_path(str(TESTS / "checkpoint_writers.py"))
    with layers.zeros_at_first():
        model = backbones.build(case.backbone, "none", case.image_size, include_top=True, **case.options)
    counterparts = own_networks.COUNTERPARTS[case.backbone](case.telling_names)
    tensors = INPUTS["seeded"](INPUTS["torch_shapes"](backbones.network(model), counterparts))
    paths = [folder / f"{name}.safetensors", folder / f"{name}.pth"]
    with open(paths[0], "wb") as file:
        file.writelines(writers["safetensors"](tensors))
    paths[1].write_bytes(writers["torch_zip"](tensors))
    return paths


def row(name: str, path: Path, weights: str, original: str, goldens: Path) -> tuple[str, float]:
    """One line of the table, and the relative error."""
    done = subprocess.run([sys.executable, __file__, "--measure", name, weights, str(goldens)], check=True,
                          capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    size = path.stat().st_size
    cells = (name, original, path.suffix if weights != "imagenet" else "embedded, legacy .pth", f"{size / 1e6:.1f}",
             f"{found['error']:.1e}", f"{found['seconds']:.1f}", f"{found['peak'] / size:.2f}",
             f"{found['kept'] / size:.2f}")
    return f"| {' | '.join(cells)} |", found["error"]


def originals(python: str, folder: Path) -> Path:
    """Compute the logits of all originals anew."""
    folder.mkdir()
    subprocess.run([python, str(TESTS / "goldens" / "make_goldens.py"), "--photographs", str(photographs_folder()),
                    "--output", str(folder)], check=True)
    (folder / "efficientnet_lite0.npz").symlink_to(TESTS / "goldens" / "efficientnet_lite0.npz")  # needs its file
    return folder


def rows(names: Iterable[str], goldens: Path, folder: Path) -> Iterable[tuple[str, float]]:
    from toolkit.models.catalogue import ENTRIES

    for name in names:
        if name == EMBEDDED:
            yield row(name, ENTRIES["efficientnet_lite0"].weights_path(), "imagenet", "EfficientNet-PyTorch", goldens)
            continue
        for path in write(name, folder):
            yield row(name, path, str(path), INPUTS["CASES"][name].original.replace(":", " "), goldens)
            path.unlink()


@click.command(context_settings={"show_default": True})
@click.option("--torch-python", metavar="PYTHON", help="A Python with torch and timm, for the originals' logits.")
@click.option("--only", metavar="NAME", multiple=True, type=click.Choice([*INPUTS["CASES"], EMBEDDED]),
              help="Of the cases in tests/models/goldens/inputs.py; repeatable.")
@click.option("--measure", "measured", nargs=3, hidden=True, help="NAME WEIGHTS GOLDENS: what a fresh process does.")
def main(torch_python: str | None, only: tuple[str, ...], measured: tuple[str, str, str] | None) -> None:
    if measured:
        name, weights, goldens = measured
        print(json.dumps(measure(name, weights, Path(goldens))))
        return
    names = only or [name for name in (*INPUTS["CASES"], EMBEDDED) if not name.startswith("narrow")]
    worst = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        goldens = originals(torch_python, folder / "goldens") if torch_python else TESTS / "goldens"
        print(COLUMNS, flush=True)
        for line, error in rows(names, goldens, folder):
            print(line, flush=True)
            worst = max(worst, error)
    sys.exit(not worst <= TOLERANCE)


if __name__ == "__main__":
    main()
