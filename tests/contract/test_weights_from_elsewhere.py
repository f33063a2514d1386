"""A checkpoint of the PyTorch world through the whole program: cached features, fine-tuning, resume, saved model."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest

from recipes import fine_tune, linear_probe
from toolkit.models import backbones
from toolkit.tables import Table, image_files, read_table
from toolkit.training import Settings, checkpoints, loop

pytestmark = pytest.mark.contract

MODELS = Path(__file__).parents[1] / "models"
TIMM = {"architecture": "mobilenetv3_small_100", "pretrained_cfg": {
    "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.25], "crop_pct": 0.95, "input_size": [3, 32, 32],
    "interpolation": "bilinear"}}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A directory as a hub cache holds it, as the backbone."""
    folder = tmp_path_factory.mktemp("hub") / "mobilenet"
    folder.mkdir()
    writers = SimpleNamespace(**runpy.run_path(str(MODELS / "checkpoint_writers.py")))
    as_torch = runpy.run_path(str(MODELS / "test_weight_sources.py"))["as_torch"]
    keras.utils.set_random_seed(3)
    tensors = as_torch(backbones.network(backbones.build("mobilenetv3_small_100", "none", 32)))
    (folder / "model.safetensors").write_bytes(b"".join(writers.safetensors(tensors)))
    (folder / "config.json").write_text(json.dumps(TIMM))
    return Settings(backbone=str(folder), batch_size=16, epochs=2, reflect="no", devices="cpu")


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    return read_table(small_table)


def test_the_probe_uses_its_preprocessing_and_caches_its_features(table: Table, settings: Settings, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    report = linear_probe.run(table, output=tmp_path / "probe", settings=settings)
    found = report["training"]["preprocessing"]
    assert found["preprocessing"] == "the checkpoint's own configuration"
    assert (found["image_size"], found["resize_size"], found["interpolation"]) == (32, 33, "bilinear")
    np.testing.assert_allclose(found["mean"], 255 * np.array([0.5, 0.4, 0.3]), rtol=1e-6)

    def no_need(*_: object, **__: object) -> None:
        raise AssertionError("an image passed through the network again")

    monkeypatch.setattr(loop, "predict", no_need)
    again = linear_probe.run(table, output=tmp_path / "again", settings=settings)
    assert again["test"] == report["test"]


def test_a_stopped_run_ends_in_the_same_weights_and_saves_a_plain_model(
        table: Table, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine_tune.run(table, output=tmp_path / "whole", settings=settings, unfreeze="lora", lora_rank=2)
    real = loop._Keeper.on_epoch_end

    def interrupted(keeper: loop._Keeper, epoch: int, logs: dict | None = None) -> None:
        real(keeper, epoch, logs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop._Keeper, "on_epoch_end", interrupted)
        fine_tune.run(table, output=tmp_path / "stopped", settings=settings, unfreeze="lora", lora_rank=2)
    fine_tune.run(table, output=tmp_path / "stopped", settings=settings, unfreeze="lora", lora_rank=2, resume=True)
    whole, stopped = (keras.models.load_model(tmp_path / name / "model.keras") for name in ("whole", "stopped"))
    for ours, theirs in zip(checkpoints.get_weights(stopped), checkpoints.get_weights(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    lines = pd.read_csv(tmp_path / "whole" / "predictions.csv")
    printed = lines.filter(like="probability_").to_numpy()[0]
    image = image_files.read(str(Path(table.source).parent / lines["input"][0]))
    np.testing.assert_allclose(whole(image[None], training=False)[0], printed, atol=1e-5)


def test_a_run_is_the_backbone_of_the_next(table: Table, settings: Settings, tmp_path: Path) -> None:
    fine_tune.run(table, output=tmp_path / "first", settings=settings)
    following = Settings(backbone=str(tmp_path / "first"), devices="cpu")
    report = linear_probe.run(table, output=tmp_path / "second", settings=following)
    assert report["training"]["backbone"] == "mobilenetv3_small_100"
    assert report["training"]["preprocessing"]["preprocessing"] == "the run's"
    assert report["training"]["preprocessing"]["image_size"] == 32
