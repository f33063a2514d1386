"""Does antialiasing help when images are made smaller? Measured by a linear probe on validation rows only.

    python benchmarks/antialiasing.py $TOOLKIT_DATA/ants_bees/images.csv --image-size 96

The table's test rows are not read: cross-validated accuracy of logistic regression on the frozen features of all
labelled training and validation rows, with the images resized by each way, and the time to extract them.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click
import numpy as np


@click.command(context_settings={"show_default": True})
@click.argument("table")
@click.option("--backbone", default="efficientnet_lite0")
@click.option("--image-size", multiple=True, type=int, default=(224, 160, 96))
@click.option("--repeats", default=5, help="Repetitions of the cross-validation.")
def main(table: str, backbone: str, image_size: tuple[int, ...], repeats: int) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from toolkit.models import backbones
    from toolkit.tables import read_table
    from toolkit.training import features

    data = read_table(table)
    rows = np.sort(np.concatenate([data.labelled("train"), data.labelled("validation")]))
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=repeats, random_state=0)
    for size in image_size:
        for antialias in (False, True):
            model = backbones.build(backbone, image_size=size, antialias=antialias)
            with tempfile.TemporaryDirectory() as cache:
                start = time.monotonic()
                values = features.extract(model, data, rows, cache=Path(cache))
                seconds = time.monotonic() - start
            scores = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)), values,
                                     data.labels[rows], cv=folds)
            means = scores.reshape(repeats, -1).mean(axis=1)
            print(f"{size} px, antialias {antialias!s:5}: accuracy {means.mean():.4f} (sd over repetitions "
                  f"{means.std(ddof=1):.4f}), {len(rows)} rows, {len(rows) / seconds:.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
