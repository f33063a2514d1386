"""What only fine-tuning promises: LP-FT, members, views, schedules, time limits, precision, earlier runs as weights."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recipes import fine_tune, linear_probe
from toolkit import ToolkitError
from toolkit.tables import Table, read_table
from toolkit.training import Settings

pytestmark = pytest.mark.contract

SCRATCH = Settings(backbone="small_cnn", weights="none", image_size=16, epochs=6, batch_size=16, reflect="no",
                   devices="cpu", backbone_options={"filters": (4, 8)})


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    return read_table(small_table)


@pytest.fixture(scope="module")
def pretrained(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose weights are those of an earlier run."""
    folder = tmp_path_factory.mktemp("earlier") / "run"
    fine_tune.run(table, output=folder, settings=SCRATCH)
    return dataclasses.replace(SCRATCH, weights=str(folder / "model.keras"), epochs=2)


def probabilities(folder: Path) -> np.ndarray:
    return pd.read_csv(folder / "predictions.csv").filter(like="probability_").to_numpy(float)


def history(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv")


def test_it_starts_as_the_linear_probe(table: Table, pretrained: Settings, tmp_path: Path) -> None:
    probe = linear_probe.run(table, output=tmp_path / "probe", settings=pretrained)
    fine_tune.run(table, output=tmp_path / "tuned", settings=pretrained)
    first = history(tmp_path / "tuned").iloc[0]
    assert first["epoch"] == 0
    assert first["validation_accuracy"] == pytest.approx(probe["validation"]["accuracy"])
    assert first["validation_log_loss"] == pytest.approx(probe["validation"]["log_loss"], rel=1e-3)


def test_head_alone_leaves_the_network_as_it_is(table: Table, pretrained: Settings, tmp_path: Path) -> None:
    import keras

    fine_tune.run(table, output=tmp_path / "head", settings=dataclasses.replace(pretrained, ema=0), unfreeze="head")
    before, after = (keras.models.load_model(path, compile=False).get_weights()
                     for path in (pretrained.weights, tmp_path / "head" / "model.keras"))
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed[:-2] == [False] * (len(changed) - 2)  # all but kernel and bias of the head


@pytest.mark.parametrize("unfreeze", ["gradual", "all"])
def test_the_network_moves_but_frozen_batch_norm_does_not(table: Table, pretrained: Settings, tmp_path: Path,
                                                          unfreeze: str) -> None:
    import keras

    settings = dataclasses.replace(pretrained, epochs=4, batch_norm="frozen", patience=None, monitor="log_loss",
                                   learning_rate=0.01, ema=0)
    without_validation = table.select(np.flatnonzero(table.splits != "validation"))
    fine_tune.run(without_validation, output=tmp_path / "run", settings=settings, unfreeze=unfreeze)
    before, after = (keras.models.load_model(path, compile=False)
                     for path in (pretrained.weights, tmp_path / "run" / "model.keras"))
    moved = {weight.path.rsplit("network/")[-1]: not np.array_equal(weight, old)
             for weight, old in zip(after.weights, before.weights, strict=True)}
    assert not any(moved[name] for name in moved if "norm" in name)
    assert all(moved[name] for name in moved if name.endswith("kernel"))


@pytest.mark.parametrize(("unfreeze", "endings"), [
    ("lora", ("kernel",)), ("bias", ("bias", "beta")), ("norm", ("gamma", "beta"))])
def test_adapters_move_their_weights_only_and_are_merged_on_saving(table: Table, pretrained: Settings, tmp_path: Path,
                                                                   unfreeze: str, endings: tuple[str, ...]) -> None:
    import keras

    settings = dataclasses.replace(pretrained, learning_rate=0.01, ema=0, interpolation=1.0)
    report = fine_tune.run(table, output=tmp_path / "run", settings=settings, unfreeze=unfreeze, lora_rank=2)
    before, after = (keras.models.load_model(path, compile=False)
                     for path in (pretrained.weights, tmp_path / "run" / "model.keras"))
    moved = {weight.path.rsplit("network/")[-1]: not np.array_equal(weight, old)
             for weight, old in zip(after.weights, before.weights, strict=True) if "head" not in weight.path}
    assert {name for name, has in moved.items() if has} == {name for name in moved if name.endswith(endings)}
    assert report["training"]["unfreeze"] == unfreeze


def test_members_vote_over_views(table: Table, tmp_path: Path) -> None:
    settings = dataclasses.replace(SCRATCH, members=2, test_views=2, mixup=0.2, class_weights=True, rand_augment=0.3,
                                   label_smoothing=0.1, crop="resized", epochs=2)
    fine_tune.run(table, output=tmp_path / "run", settings=settings)
    assert list(history(tmp_path / "run")["member"].unique()) == [0, 1]
    import keras

    from toolkit.tables import image_files
    model = keras.models.load_model(tmp_path / "run" / "model.keras", compile=False)
    image = image_files.read(table.inputs[0])
    plain, mirrored = model(image[None])[0], model(image[None, :, ::-1])[0]
    np.testing.assert_allclose(plain, mirrored, atol=1e-6)  # both views are averaged, so mirroring changes nothing
    members = [layer for layer in model.get_layer("prediction").layers if layer.name.startswith("member_")]
    assert len(members) == 2


def test_corners_need_a_margin(table: Table, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="needs a margin"):
        fine_tune.run(table, output=tmp_path / "run", settings=dataclasses.replace(SCRATCH, test_views=5, epochs=1))


def test_a_time_limit_shortens_the_whole_schedule(table: Table, tmp_path: Path) -> None:
    settings = dataclasses.replace(SCRATCH, epochs=100_000, time_limit=0.2, schedule="cosine")
    start = time.monotonic()
    report = fine_tune.run(table, output=tmp_path / "run", settings=settings)
    assert time.monotonic() - start < 60  # 100,000 epochs would take an hour
    rates = history(tmp_path / "run")["learning_rate"]
    assert len(rates) < 10_000 and rates.iloc[-1] < 0.01 * report["training"]["learning_rate"]  # the cosine ended


@pytest.mark.parametrize("changes", [
    {"find_learning_rate": True, "optimizer": "sgd", "l2": 1e-4}, {"precision": "mixed_bfloat16", "schedule": "step"},
    {"precision": "mixed_float16", "schedule": "restarts"},
    {"optimizer": "adam", "patience": 1, "schedule": "constant"},
    {"backbone": "mlp", "backbone_options": {"hidden": (8,), "activation": "maxout"}}])
def test_other_settings_run_to_the_end(table: Table, tmp_path: Path, changes: dict[str, Any]) -> None:
    report = fine_tune.run(table, output=tmp_path / "run", settings=dataclasses.replace(SCRATCH, **changes))
    assert np.isfinite(report["test"]["log_loss"])
    found = probabilities(tmp_path / "run")
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_a_finished_run_is_not_repeated_on_resume(table: Table, tmp_path: Path) -> None:
    first = fine_tune.run(table, output=tmp_path / "run", settings=SCRATCH)
    stamp = (tmp_path / "run" / "model.keras").stat().st_mtime_ns
    again = fine_tune.run(table, output=tmp_path / "run", settings=SCRATCH, resume=True)
    assert again == json.loads(json.dumps(first))
    assert (tmp_path / "run" / "model.keras").stat().st_mtime_ns == stamp
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_network_from_scratch_cannot_stay_frozen(table: Table, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="random weights"):
        fine_tune.run(table, output=tmp_path / "run", settings=SCRATCH, unfreeze="head")
