"""Memory of a table of 100,000 image rows: reading it, looking at every file, and drawing training batches.

    python benchmarks/memory.py --rows 100000

Writes that many distinct small JPEG files to a temporary folder, and prints the peak memory above the imports.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import click
import numpy as np


def peak() -> float:
    """Peak memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@click.command(context_settings={"show_default": True})
@click.option("--rows", default=100_000)
@click.option("--side", default=96, help="Pixels of each image.")
@click.option("--steps", default=50, help="Training batches to draw.")
def main(rows: int, side: int, steps: int) -> None:
    import pandas as pd
    from PIL import Image

    from toolkit.models import backbones
    from toolkit.tables import read_table
    from toolkit.training import Settings, devices, streams

    devices.strategy("cpu")
    preprocessing = backbones.Preprocessing(image_size=64, resize_size=64, interpolation="bilinear", antialias=False)
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(rows):
            small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(small).resize((side, side)).save(f"{folder}/image_{i:07d}.jpg", quality=80)
        table = pd.DataFrame({"path": [f"image_{i:07d}.jpg" for i in range(rows)],
                              "label": [("cat", "dog", "owl")[i % 3] for i in range(rows)]})
        table.to_csv(f"{folder}/table.csv", index=False)
        imports = peak()
        start = time.monotonic()
        data = read_table(Path(folder) / "table.csv")
        print(f"read and looked at {len(data)} rows in {time.monotonic() - start:.0f} s; "
              f"peak {peak() - imports:.2f} GB above the imports ({imports:.2f} GB)", flush=True)
        batches = streams.labelled(data, preprocessing, Settings(batch_size=256), reflect=False, seed=0)(0)
        for _ in batches.take(steps):
            pass
        print(f"after {steps} training batches of 256: peak {peak() - imports:.2f} GB above the imports")


if __name__ == "__main__":
    main()
