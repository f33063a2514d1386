"""From a table to batches: pixels, order, resuming, errors."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError, inputs
from toolkit.inputs import images
from toolkit.inputs.augmentation import Augmentation, augment, identity
from toolkit.tables import image_files

SMALL = SimpleNamespace(image_size=12, resize_size=14, interpolation="bilinear", antialias=False)
EVERYTHING = Augmentation("resized", True, 0.5, 0.5, 1, 0.5)


def _arrays(dataset: tf.data.Dataset, count: int) -> list[tuple[np.ndarray, ...]]:
    return list(dataset.take(count).as_numpy_iterator())


# ---- Pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_resizing_equals_the_layers_of_a_model_bit_for_bit(interpolation, antialias):
    preprocessing = SimpleNamespace(image_size=13, resize_size=16, interpolation=interpolation, antialias=antialias)
    image = keras.Input((None, None, 3))
    resized = keras.layers.Resizing(16, 16, crop_to_aspect_ratio=True, interpolation=interpolation,
                                    antialias=antialias)(image)
    model = keras.Model(image, [resized, keras.layers.CenterCrop(13, 13)(resized)])
    compiled = tf.function(model)

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    def resize(pixels: tf.Tensor) -> tf.Tensor:
        return images.resize(pixels, preprocessing)

    for shape in [(37, 50), (50, 37), (9, 40), (16, 16), (5, 4), (16, 17), (1, 1)]:
        pixels = np.random.default_rng(shape[0]).integers(0, 256, (*shape, 3), np.uint8)
        whole, centre = compiled(tf.constant(pixels[None], tf.float32))
        ours = resize(pixels)
        np.testing.assert_array_equal(ours, whole[0])
        np.testing.assert_array_equal(images.centre_crop(ours, 13), centre[0])
        if shape == (16, 16):
            np.testing.assert_array_equal(ours, pixels)


def test_evaluation_batches_are_the_resized_pixels_of_pillow(photographs):
    batches = _arrays(inputs.evaluation_batches(photographs, np.array([5, 0, 1, 2, 3, 4, 0]), preprocessing=SMALL,
                                                batch_size=3), 9)
    assert [len(batch) for batch in batches] == [3, 3, 1]
    found = np.concatenate(batches)
    for image, row in zip(found, [5, 0, 1, 2, 3, 4, 0], strict=True):
        pixels = image_files.read(photographs.inputs[row])
        np.testing.assert_array_equal(image, images.centre_crop(images.resize(pixels, SMALL), 12))


def test_reflected_evaluation_batches_are_mirrored(photographs):
    options = {"preprocessing": SMALL, "batch_size": 6}
    (plain,) = _arrays(inputs.evaluation_batches(photographs, np.arange(6), **options), 2)
    (mirrored,) = _arrays(inputs.evaluation_batches(photographs, np.arange(6), reflect=True, **options), 2)
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])


def test_no_rows_give_no_evaluation_batch(photographs):
    assert not _arrays(images.evaluation_batches(photographs, np.array([], int), preprocessing=SMALL, batch_size=6), 1)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_array_tables(make_table, channels, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (5, 14, 14, *channels), np.uint8)
    np.save(tmp_path / "array.npy", array)
    table = make_table(array=np.load(tmp_path / "array.npy", mmap_mode="r"))
    (found,) = _arrays(images.evaluation_batches(table, np.array([4, 0]), preprocessing=SMALL, batch_size=4), 2)
    expected = np.broadcast_to(array.reshape(5, 14, 14, -1), (5, 14, 14, 3))[[4, 0], 1:-1, 1:-1]
    np.testing.assert_array_equal(found, expected)


def test_only_needed_decoders_are_in_the_graph_and_nothing_is_stateful(photographs, make_table, operations_in):
    row = tf.TensorSpec((), tf.int64)
    jpeg, stateful = operations_in(images.reader(photographs, np.array([0, 1])), row)
    assert "DecodeJpeg" in jpeg and not {"DecodePng", "PyFuncStateless", "StatelessCase"} & jpeg and not stateful
    every, stateful = operations_in(images.reader(photographs, np.arange(6)), row)
    assert {"DecodeJpeg", "DecodePng", "PyFuncStateless", "StatelessCase"} <= every and not stateful
    array = make_table(array=np.zeros((2, 4, 4), np.uint8))
    assert operations_in(images.reader(array, np.arange(2)), row)[1] == set()


# ---- Order and resuming ----------------------------------------------------------------------------------------------


def test_every_pass_is_another_permutation_and_a_function_of_the_seed():
    rows = np.array([3, 5, 8, 13, 21])
    stream = _arrays(images.order(rows, seed=1), 20)
    assert [int(number) for number, _ in stream] == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    passes = np.array([row for _, row in stream]).reshape(4, 5)
    assert (np.sort(passes, axis=1) == rows).all()
    assert len({tuple(one) for one in passes}) > 1
    assert stream == _arrays(images.order(rows, seed=1), 20)
    assert stream != _arrays(images.order(rows, seed=2), 20)


@pytest.mark.parametrize("first", [1, 5, 12, 10_003])
def test_order_starts_anywhere(first):
    rows = np.arange(5)
    whole = images.order(rows, seed=-7)
    assert _arrays(images.order(rows, seed=-7, first=first), 7) == list(whole.skip(first).take(7).as_numpy_iterator())


@pytest.mark.parametrize("first_step", [1, 2, 5])
def test_a_resumed_stream_is_the_same_bit_for_bit(photographs, first_step):
    def batches(first_step: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        return _arrays(images.training_batches(photographs, np.arange(6), preprocessing=SMALL, batch_size=4, seed=3,
                                               augmentation=EVERYTHING, first_step=first_step), count)

    whole, resumed = batches(0, first_step + 3)[first_step:], batches(first_step, 3)
    for (image, label), (expected_image, expected_label) in zip(resumed, whole, strict=True):
        assert image.shape == (4, 12, 12, 3) and image.dtype == np.float32 and label.dtype == np.int32
        np.testing.assert_array_equal(image, expected_image)
        np.testing.assert_array_equal(label, expected_label)


def test_a_resumed_stream_reads_nothing_that_came_before(make_table):
    class Counted(np.ndarray):
        reads = 0

        def __getitem__(self, key):
            Counted.reads += 1
            return np.asarray(self)[key]

    table = make_table(array=np.zeros((50, 14, 14), np.uint8).view(Counted))
    _arrays(images.training_batches(table, np.arange(50), preprocessing=SMALL, batch_size=4, seed=3,
                                    augmentation=identity, first_step=100_000), 1)
    assert 4 <= Counted.reads < 500


def test_augmentation_of_a_row_does_not_depend_on_batches_or_other_rows(photographs):
    def pass_two(indices: list[int], batch_size: int) -> dict[int, np.ndarray]:
        stream = images.training_batches(photographs, np.array(indices), preprocessing=SMALL, batch_size=batch_size,
                                         seed=3, augmentation=EVERYTHING, labels=np.arange(6))
        rows = [pair for batch in _arrays(stream, 12 // batch_size) for pair in zip(*batch, strict=True)]
        return {int(label): image for image, label in rows[len(indices):2 * len(indices)]}

    few, all_of_them = pass_two([4, 0, 2], 1), pass_two([0, 1, 2, 3, 4, 5], 4)
    assert sorted(few) == [0, 2, 4]
    for row, image in few.items():
        np.testing.assert_array_equal(image, all_of_them[row])


def test_seeds_differ_by_pass_row_and_view():
    seeds = [images.row_seed(seed, tf.constant(number, tf.int64), tf.constant(row, tf.int64), view).numpy().tobytes()
             for seed in (0, 1, 2 ** 40) for number in (0, 1) for row in (0, 1) for view in (0, 1)]
    assert len(set(seeds)) == 24


def test_given_labels_replace_those_of_the_table(photographs):
    options = {"preprocessing": SMALL, "batch_size": 6, "augmentation": identity, "seed": 0}
    ((_, own),) = _arrays(images.training_batches(photographs, np.arange(6), **options), 1)
    assert sorted(own) == [0, 0, 1, 1, 2, 2]
    soft = np.eye(6)
    ((_, given),) = _arrays(images.training_batches(photographs, np.arange(6), labels=soft, **options), 1)
    assert given.shape == (6, 6) and given.dtype == np.float32
    np.testing.assert_array_equal(given.argmax(1) % 3, own)


def test_two_views_are_easily_composed(photographs):
    read = images.reader(photographs, np.arange(6))

    def load(number: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = images.resize(read(row), SMALL)
        return tuple(augment(image, images.row_seed(0, number, row, view), change, 12)
                     for view, change in enumerate((Augmentation("shift"), EVERYTHING)))

    ((weak, strong),) = _arrays(images.batches(images.order(np.arange(6), seed=0), load, 4), 1)
    assert weak.shape == strong.shape == (4, 12, 12, 3) and (weak != strong).any()


# ---- Errors ----------------------------------------------------------------------------------------------------------


def test_training_on_no_rows_is_refused(photographs):
    with pytest.raises(ToolkitError, match="no rows to train on"):
        inputs.training_batches(photographs, np.array([], int), preprocessing=SMALL, batch_size=4, seed=0,
                                augmentation=identity)


def test_unknown_kinds_are_refused(make_table):
    table = make_table(array=np.zeros((2, 4, 4), np.uint8), kind="smell")
    with pytest.raises(ToolkitError, match="'smell'"):
        inputs.evaluation_batches(table, np.arange(2))


@pytest.mark.parametrize(("row", "name"), [(0, "0.jpg"), (2, "2.png"), (4, "4.png")])
@pytest.mark.parametrize("damage", ["missing", "changed", "unreadable"])
def test_a_file_that_broke_after_the_check_is_named(photographs, tmp_path, row, name, damage):
    path = tmp_path / name
    content = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(content[:len(content) // 2])
    if damage == "unreadable":
        path.mkdir()
    batches = images.evaluation_batches(photographs, np.arange(6), preprocessing=SMALL, batch_size=2)
    with pytest.raises(ToolkitError, match=rf"photos.csv, row {row + 1}: {name} .* {damage}") as caught:
        inputs.explained(photographs, lambda: _arrays(batches, 3))
    assert "\n" not in str(caught.value)


def test_other_errors_stay_as_they_are(photographs):
    def fail():
        raise tf.errors.InvalidArgumentError(None, None, "shapes do not match")

    with pytest.raises(tf.errors.InvalidArgumentError, match="shapes"):
        inputs.explained(photographs, fail)
    assert inputs.explained(photographs, lambda: 3) == 3
