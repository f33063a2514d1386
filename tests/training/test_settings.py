"""Settings refuse what lies outside their ranges, and fill in what depends on the data."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from toolkit import ToolkitError
from toolkit.training.settings import CHOICES, RANGES, Settings


@pytest.mark.parametrize("change", [{"epochs": 0}, {"dropout": 1.0}, {"optimizer": "adagrad"}, {"test_views": 3},
                                    {"learning_rate": float("nan")}, {"image_size": 4}])
def test_values_outside_are_refused(change: dict) -> None:
    with pytest.raises(ToolkitError, match=next(iter(change))):
        Settings(**change)


def test_every_field_is_documented_and_every_range_is_of_a_field() -> None:
    names = {field.name for field in dataclasses.fields(Settings)}
    assert set(re.findall(r"^        ([a-z_0-9]+): ", Settings.__doc__, re.M)) == names
    assert set(CHOICES) | set(RANGES) <= names


@pytest.mark.parametrize("rows, epochs, rate", [(40, 30, 1e-4), (400, 10, 1e-4), (1000, 4, 3e-4), (60_000, 3, 3e-4)])
def test_few_rows_get_more_epochs_and_a_lower_rate(rows: int, epochs: int, rate: float) -> None:
    found = Settings().for_rows(rows)
    assert (found.epochs, found.learning_rate) == (epochs, rate)
    assert Settings(epochs=7, learning_rate=0.5).for_rows(rows).learning_rate == 0.5


def test_the_catalogue_may_know_better_for_a_backbone() -> None:
    found = Settings(backbone="lstm", weights="none").for_rows(1000)
    assert (found.epochs, found.learning_rate) == (50, 0.001)
    assert Settings(backbone="lstm", weights="none", optimizer="sgd").for_rows(1000).learning_rate == 0.1
    assert Settings(backbone="lstm", weights="none", epochs=3).for_rows(1000).epochs == 3


def test_a_network_of_an_autoencoder_is_trained_as_one_from_scratch(tmp_path: Path) -> None:
    options = {"backbone": "mlp", "backbone_options": {"hidden": [8]}}
    for name in ("report.json", "model.keras"):
        (tmp_path / name).write_text("{}")
    found = {}
    for recipe in ("pretrain_autoencoder", "fine_tune"):
        (tmp_path / "params.json").write_text(json.dumps({"recipe": recipe, "options": options}))
        found[recipe] = Settings(backbone=str(tmp_path)).for_rows(400)
    autoencoder, other = found.values()
    scratch = Settings(backbone="mlp", weights="none").for_rows(400)
    for name in ("epochs", "learning_rate", "label_smoothing"):
        assert getattr(autoencoder, name) == getattr(scratch, name) != getattr(other, name)
    (tmp_path / "params.json").write_text(json.dumps({"recipe": "pretrain_autoencoder", "options": options}))
    assert Settings(backbone="mlp", weights=str(tmp_path)).from_autoencoder
    assert not Settings(backbone=str(tmp_path), weights="none").from_autoencoder
