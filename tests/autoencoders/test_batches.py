"""Batches are a function of the step alone, whatever came before."""

import dataclasses
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.autoencoders import batches, runs
from toolkit.models.backbones import Preprocessing
from toolkit.tables import read_table

PREPROCESSING = Preprocessing(image_size=16, resize_size=16, interpolation="bilinear", antialias=False)


def draw(target: tf.Tensor, seed: tf.Tensor, step: tf.Tensor) -> batches.Batch:
    return {"target": target, "noise": tf.random.stateless_uniform(tf.shape(target), seed), "step": step[None]}


@pytest.fixture(scope="module")
def stream() -> object:
    return batches.stream(np.arange(10, dtype=np.uint8)[:, None], draw, batch_size=4, seed=3)


def test_a_stream_begins_anywhere(stream: object) -> None:
    whole = [{name: value.numpy() for name, value in batch.items()} for batch in islice(stream(0), 12)]
    for first in (1, 2, 3, 5, 7):
        for batch, expected in zip(stream(first), whole[first:]):
            for name, value in batch.items():
                np.testing.assert_array_equal(value, expected[name])


def test_every_pass_holds_every_row_once_in_a_new_order(stream: object) -> None:
    rows = np.concatenate([batch["target"].numpy()[:, 0] for batch in islice(stream(0), 10)])
    rows = np.rint(255 * rows).astype(int).reshape(4, 10)
    assert all(sorted(one) == list(range(10)) for one in rows.tolist())
    assert len({tuple(one) for one in rows.tolist()}) == 4


def test_whole_grey_levels_become_shares_and_other_values_stay() -> None:
    np.testing.assert_allclose(batches.scaled(tf.constant([0, 51, 255], tf.uint8)), [0, 0.2, 1])
    np.testing.assert_array_equal(batches.scaled(tf.constant([0.5, -3.0])), [0.5, -3.0])


def test_images_are_those_that_the_network_sees(small_table: Path) -> None:
    from toolkit.tables import image_files

    table = read_table(small_table)
    images = batches.images(table, PREPROCESSING, 1)
    assert images.shape == (len(table), 16, 16, 1) and images.dtype == np.uint8
    np.testing.assert_array_equal(images[5, ..., 0], image_files.read(table.inputs[5])[..., 0])


def test_what_does_not_fit_into_memory_is_refused(small_table: Path) -> None:
    large = dataclasses.replace(PREPROCESSING, image_size=4000, resize_size=4000)
    with pytest.raises(ToolkitError, match="smaller --image-size"):
        batches.images(read_table(small_table), large, 3)
    with pytest.raises(ToolkitError, match="name fewer"):
        runs.crops(read_table(small_table), dataclasses.replace(large, image_size=2000, resize_size=2000))


def test_the_mean_input_is_that_of_what_is_drawn_and_the_target_stays() -> None:
    values = np.random.default_rng(0).integers(0, 256, (1000, 3), np.uint8)

    def half(target: tf.Tensor, seed: tf.Tensor, step: tf.Tensor) -> batches.Batch:
        shown = tf.cast(tf.random.stateless_uniform(tf.shape(target), seed) < 0.5, tf.float32)
        return {"input": target * shown, "target": target}

    mean = batches.mean_input(values, half, seed=1)
    np.testing.assert_allclose(mean, values.mean(axis=0) / 255 / 2, atol=0.03)
    np.testing.assert_array_equal(mean, batches.mean_input(values, half, seed=1))
    rows = batches.scaled(tf.constant(values[:5]))
    one, centred = (drawn(rows, tf.constant([0, 1]), tf.constant(0)) for drawn in (half, batches.centred(half, mean)))
    np.testing.assert_allclose(centred["input"], one["input"] - mean)
    np.testing.assert_array_equal(centred["target"], rows)
