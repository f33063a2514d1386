"""Trains methods in pixel space for five steps of SGD: `python two_replicas.py TABLE DEVICES OUTPUT NAME...`."""

import dataclasses
import importlib
import sys
from functools import partial
from pathlib import Path

import numpy as np

from recipes import fine_tune, linear_probe
from toolkit.semisupervised import pixel_training, pools
from toolkit.tables import Table, read_table
from toolkit.training import Settings, devices, run_folders

SETTINGS = Settings(backbone="small_cnn", weights="none", image_size=16, batch_size=8, optimizer="sgd", colour=0.5,
                    reflect="yes", learning_rate=0.01, ema=0.9,
                    backbone_options={"filters": (4, 8), "dropout": 0.0})
OWN = {"fix_match": {"rule": "adamatch", "unlabelled_weight": 1.0, "strength": 1.0},
       "flexmatch": {"rule": "flexmatch", "unlabelled_weight": 1.0, "strength": 1.0},
       "pseudo_label": {"method": "rounds", "rounds": 5, "targets": "soft", "unlabelled_weight": 1.0},
       "lee": {"method": "lee", "rounds": 5, "targets": "hard", "unlabelled_weight": 3.0},
       "mean_teacher": {"unlabelled_weight": 10.0}, "mix_match": {"unlabelled_weight": 7.5},
       "virtual_adversarial": {"unlabelled_weight": 1.0, "radius": 0.02}}
MODULES = {"flexmatch": "fix_match", "lee": "pseudo_label"}


def state(name: str, table: Table, settings: Settings, output: Path) -> list[np.ndarray]:
    """All variables after the training."""
    recipe = importlib.import_module(f"recipes.{MODULES.get(name, name)}").in_pixels(steps=5, per_label=2, **OWN[name])
    with run_folders.begin(output, name, table, settings.describe()) as folder:
        trainer = pixel_training.Trainer(
            table, folder, dataclasses.replace(settings.for_rows(60), label_smoothing=0.0), recipe,
            pools.pool(table).rows, build=partial(linear_probe.build_backbone, table, settings),
            compile_=fine_tune.compile_member, probe=None, stage=None, mirrored={"reflect": True})
        model = trainer.method().model
    return [value.numpy() for value in model.variables if not value.path.endswith("seed_generator_state")]


if __name__ == "__main__":
    settings = dataclasses.replace(SETTINGS, devices=sys.argv[2])
    table, output = read_table(sys.argv[1]), Path(sys.argv[3])
    devices.strategy(settings.devices)
    for name in sys.argv[4:]:
        np.savez(output / f"{name}.npz", *state(name, table, settings, output / name))
