"""The batches of pixel space: whole, a function of the step, and what they say they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from toolkit.inputs.augmentation import Augmentation
from toolkit.models.backbones import Preprocessing
from toolkit.semisupervised import pixel_views
from toolkit.tables import Table, read_table
from toolkit.training import Settings

PREPROCESSING = Preprocessing(image_size=16, resize_size=16, interpolation="bilinear", antialias=False)
SETTINGS = Settings(batch_size=4, colour=0.3)
WEAK = pixel_views.gentle(SETTINGS, reflect=False)
OTHER = pixel_views.changed(Augmentation(crop="shift", erase=0.8))  # quicker to trace than the strong view
VIEWS = pixel_views.Views(pixel_views.changed(WEAK), OTHER, per_label=2, mixing=0.75)
PLAIN = pixel_views.Views(pixel_views.changed(pixel_views.PLAIN), pixel_views.noise, per_label=3)


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    return read_table(small_table)


def batches(table: Table, views: pixel_views.Views, *, first: int = 0, count: int = 1, seed: int = 0,
            settings: Settings = SETTINGS) -> list[Any]:
    stream = pixel_views.batches(table, table.unlabelled(), PREPROCESSING, settings, views, reflect=False, seed=seed)
    return list(stream(first).take(count).as_numpy_iterator())


def test_a_batch_has_its_parts(table: Table) -> None:
    (x, y, weights), = batches(table, VIEWS)
    shapes = {name: value.shape for name, value in x.items()}
    assert shapes == {"labelled": (4, 16, 16, 3), "weak": (4, 2, 16, 16, 3), "strong": (4, 2, 16, 16, 3),
                      "rows": (4, 2), "shares": (4, 5), "shift": (4,)}
    assert y.shape == (4, 3) and weights.tolist() == [1] * 4
    assert x["shares"].min() >= 0.5 and x["shares"].max() <= 1
    assert x["shift"].min() >= 1 and x["shift"].max() <= 4  # no image is mixed with itself
    assert np.abs(x["weak"] - x["strong"]).mean() > 5


def test_the_position_is_the_step_alone(table: Table) -> None:
    whole, late = batches(table, VIEWS, count=5), batches(table, VIEWS, first=3, count=2)
    for (x, y, _), (again, same, _) in zip(whole[3:], late, strict=True):
        np.testing.assert_array_equal(y, same)
        for name, value in x.items():
            np.testing.assert_array_equal(value, again[name], err_msg=name)
    other = batches(table, VIEWS, seed=1)[0][0]
    assert not np.array_equal(other["weak"], whole[0][0]["weak"])
    assert not np.array_equal(other["shares"], whole[0][0]["shares"])


def test_rows_are_positions_in_the_pool_and_every_row_comes_round(table: Table) -> None:
    pool = table.unlabelled()
    settings = Settings(batch_size=4, crop="none")
    seen = []
    for x, _, _ in batches(table, PLAIN, settings=settings):
        images = tf.stack([tf.io.decode_png(tf.io.read_file(table.inputs[pool[row]]), channels=3)
                           for row in x["rows"].ravel()])
        np.testing.assert_array_equal(x["weak"].reshape(-1, 16, 16, 3), images)
        seen += x["rows"].ravel().tolist()
    assert sorted(seen) == list(range(len(pool)))  # twelve rows, twelve a batch


def test_noise_is_drawn_anew_for_every_row_and_pass(table: Table) -> None:
    directions = np.concatenate([x["strong"].reshape(12, -1) for x, _, _ in batches(table, PLAIN, count=2)])
    assert abs(directions.mean()) < 0.02 and directions.std() == pytest.approx(1, abs=0.02)
    assert np.abs(np.corrcoef(directions) - np.eye(24)).max() < 0.2


def test_strength_scales_the_strong_view() -> None:
    image, seed = tf.constant(np.random.default_rng(0).uniform(0, 255, (16, 16, 3)), tf.float32), tf.constant([3, 4])
    weak = pixel_views.changed(WEAK)(image, seed, 16)
    np.testing.assert_array_equal(pixel_views.strongly(WEAK, strength=0)(image, seed, 16), weak)
    assert np.abs(pixel_views.strongly(WEAK)(image, seed, 16) - weak).mean() > 1


def test_settings_make_the_weak_view() -> None:
    settings = Settings(crop="resized", colour=0.2, rand_augment=0.1)
    assert pixel_views.gentle(settings, reflect=True) == Augmentation("resized", True, 0.2, 0.1)
