"""Images to batches: order -> read -> resize -> augment -> batch.

Each arrow is one function, so that a recipe with other needs (two views of an unlabelled image, say) composes its own
pipeline from the same pieces:

    rows = images.order(indices, seed=seed)                                       # infinite (number of pass, row)
    read = images.reader(table, indices)
    def load(number, row):
        image = images.resize(read(row), preprocessing)
        return tuple(augment(image, images.row_seed(seed, number, row, view), augmentation, preprocessing.image_size)
                     for view, augmentation in enumerate((weak, strong)))
    dataset = images.batches(rows, load, batch_size)

The order is a pure function of (seed, pass) and augmentation one of (seed, pass, row): any batch can be made again
without making those before it, whatever the parallelism. Nothing in the graph is stateful, which TensorFlow would run
one row at a time under ``enable_op_determinism``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.inputs import shares
from toolkit.inputs.augmentation import Augmentation, augment, centre_crop
from toolkit.tables import image_files

if TYPE_CHECKING:
    from toolkit.tables import Table

PREFETCHED_BATCHES = 2
_FILE_ERRORS = (tf.errors.InvalidArgumentError, tf.errors.NotFoundError, tf.errors.UnknownError,
                tf.errors.FailedPreconditionError, tf.errors.PermissionDeniedError, tf.errors.DataLossError)


class Preprocessing(Protocol):
    """What is used of ``backbones.Preprocessing``, which lies in a room below: sides in pixels, and how to resize."""

    image_size: int
    resize_size: int
    interpolation: str
    antialias: bool


def evaluation_batches(table: "Table", indices: np.ndarray, *, preprocessing: Preprocessing, batch_size: int,
                       reflect: bool = False) -> tf.data.Dataset:
    """Images as the model's own layers "resizing" and "centre_crop" make them, bit for bit.

    Args:
        table: of images.
        indices: (n,) rows of the table.
        preprocessing: has ``image_size``, ``resize_size``, ``interpolation`` and ``antialias``.
        batch_size: images a batch; the last batch holds the rest.
        reflect: mirror the images left to right.

    Returns:
        Dataset of (B, image_size, image_size, 3) float32 in [0, 255] (bicubic interpolation overshoots a little, as it
        does in the model), in the order of ``indices``.
    """
    read = reader(table, indices)

    def load(row: tf.Tensor) -> tf.Tensor:
        image = centre_crop(resize(read(row), preprocessing), preprocessing.image_size)
        return tf.reverse(image, [1]) if reflect else image

    rows = tf.data.Dataset.from_tensor_slices(np.asarray(indices, np.int64))
    return batches(rows, load, batch_size, drop_remainder=False)


def training_batches(table: "Table", indices: np.ndarray, *, preprocessing: Preprocessing, batch_size: int,
                     augmentation: Augmentation, seed: int, first_step: int = 0, labels: np.ndarray | None = None
                     ) -> tf.data.Dataset:
    """An infinite stream of augmented images and labels.

    All passes over the rows follow each other in one stream, and batches are cut from it: all are full, and no row is
    ever left out.

    Args:
        table: of images.
        indices: (n,) rows of the table, at least one.
        preprocessing: as in ``evaluation_batches``.
        batch_size: images a batch.
        augmentation: what is drawn for each image.
        seed: of the order and of the augmentation.
        first_step: number of batches to leave out at the start: those a resumed run has already seen. None of their
            images is read.
        labels: (len(table),) or (len(table), C), one for every row of the table, instead of the table's own:
            pseudo-labels or soft targets.

    Returns:
        Dataset of (images (B, image_size, image_size, 3) float32 in [0, 255], labels): labels are (B,) int32, -1 where
        unlabelled; given ones that are not integers keep their shape and become float32.
    """
    values = np.asarray(table.labels if labels is None else labels)
    kind = np.int32 if np.issubdtype(values.dtype, np.integer) else np.float32
    targets = _constant(values.astype(kind))
    read = reader(table, indices)

    def load(number: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = resize(read(row), preprocessing)
        image = augment(image, row_seed(seed, number, row), augmentation, preprocessing.image_size)
        return image, tf.gather(targets, row)

    return batches(order(indices, seed=seed, first=first_step * batch_size), load, batch_size)


def order(indices: np.ndarray, *, seed: int, first: int = 0) -> tf.data.Dataset:
    """The rows in a new random order in every pass, without end.

    Args:
        indices: (n,) rows of a table, at least one.
        seed: any integer; pass p is shuffled by (seed, p).
        first: number of rows to leave out at the start of the stream.

    Returns:
        Dataset of (number of the pass, row), both () int64.

    Raises:
        ToolkitError: if there is no row.
    """
    rows = np.asarray(indices, np.int64)
    if not len(rows):
        raise ToolkitError("There are no rows to train on: 0 were given, at least 1 is needed. Check the split column "
                           "and the labels.")
    first_pass, passed = divmod(first, len(rows))
    rows = _constant(rows)

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        shuffled = tf.random.experimental.stateless_shuffle(rows, seed=tf.stack([_seed(seed), number]))
        return tf.data.Dataset.from_tensor_slices((tf.fill(tf.shape(shuffled), number), shuffled))

    stream = tf.data.Dataset.counter(first_pass).flat_map(_plain(one_pass)).skip(passed)
    return stream.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def row_seed(seed: int, number: tf.Tensor, row: tf.Tensor, view: int = 0) -> tf.Tensor:
    """The seed of one row's augmentation in one pass.

    Args:
        seed: of the run.
        number: () int64, of the pass.
        row: () int64, position of the row in its table.
        view: tells several views of one row in one pass apart.

    Returns:
        (2,) int64, for the stateless random functions.
    """
    folded = tf.random.fold_in(tf.stack([_seed(seed), number]), row)
    return tf.random.fold_in(folded, tf.constant(view, tf.int64))


def reader(table: "Table", indices: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Makes the function that reads one image inside a graph.

    Files are decoded by TensorFlow where the table's check found that it gives exactly Pillow's pixels
    (``table.decoders``), and by ``image_files.read`` otherwise; only the decoders that occur among ``indices`` enter
    the graph. Images of an array are fetched through NumPy one at a time, so that the array is never copied nor, if it
    is mapped from disk, loaded.

    Args:
        table: of images.
        indices: (n,) the rows that will be asked for.

    Returns:
        Function of a row's position in the table, () int64, to its image, (H, W, 3) uint8.
    """
    return _file_reader(table, indices) if table.array is None else _array_reader(table)


def resize(image: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Resizes the largest centred square, by the function that ``keras.layers.Resizing`` calls.

    Args:
        image: (H, W, 3), any size and type.
        preprocessing: has ``resize_size``, ``interpolation`` and ``antialias``.

    Returns:
        (resize_size, resize_size, 3) float32, not rounded; the same pixels if the image has this size already.
    """
    side = preprocessing.resize_size
    return keras.ops.image.resize(tf.cast(image, tf.float32), (side, side), interpolation=preprocessing.interpolation,
                                  antialias=preprocessing.antialias, crop_to_aspect_ratio=True,
                                  data_format="channels_last")


def batches(rows: tf.data.Dataset, load: Callable, batch_size: int, *, drop_remainder: bool = True) -> tf.data.Dataset:
    """Loads rows in parallel, in order, and batches them; memory stays bounded however many rows there are.

    Of an endless stream, whose batches are all full, only this process's part is loaded (see ``shares``).
    """
    options = tf.data.Options()
    options.deterministic = True
    if drop_remainder:
        own = shares.size(batch_size)
        rows, batch_size = shares.of_rows(rows, batch_size), own
    loaded = rows.map(_plain(load), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return loaded.batch(batch_size, drop_remainder=drop_remainder).prefetch(PREFETCHED_BATCHES).with_options(options)


def explained(table: "Table", work: Callable[[], Any]) -> Any:
    """Runs ``work()``, which reads images of ``table``, and says which file broke if one did.

    Args:
        table: whose images are read.
        work: without arguments.

    Returns:
        What ``work`` returns.

    Raises:
        ToolkitError: one sentence with the file's name and row, if it vanished or changed since it was checked. An
            error with another cause is raised as it is.
    """
    try:
        return work()
    except _FILE_ERRORS as error:
        row = _broken_row(table, error.message)
        if row is None:
            raise
        raise ToolkitError(f"{table.source}, row {table.rows[row]}: {table.names[row]} was a readable image when it "
                           f"was checked, and is now {_change(table, row)}. Restore it, or start again without it."
                           ) from error


def _broken_row(table: "Table", message: str) -> int | None:
    """The row whose file the message names, else the first whose bytes are no longer those that were checked."""
    if table.array is not None:
        return None
    named = [row for row, path in enumerate(table.inputs) if path in message]
    changed = (row for row in [*named, *range(len(table))] if _change(table, row))
    return next(changed, None)


def _change(table: "Table", row: int) -> str:
    """What happened to a file since it was checked: "missing", "unreadable (...)", "changed", or "" for nothing."""
    try:
        with open(table.inputs[row], "rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"unreadable ({error.strerror})"
    return "" if checksum == table.checksums[row] else "a different file (its content changed)"


def _file_reader(table: "Table", indices: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    paths = _constant([os.fsencode(path) for path in table.inputs])
    needed = sorted(set(table.decoders[np.asarray(indices, np.int64)].tolist())) or [0]
    branches = _constant(np.searchsorted(needed, table.decoders).astype(np.int32))

    def read(row: tf.Tensor) -> tf.Tensor:
        path = tf.gather(paths, row)
        decoders = [partial(_DECODERS[decoder], path) for decoder in needed]
        image = decoders[0]() if len(decoders) == 1 else tf.switch_case(tf.gather(branches, row), decoders)
        return tf.ensure_shape(image, (None, None, 3))

    return read


def _decode_jpeg(path: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True)


def _decode_png(path: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_png(tf.io.read_file(path), channels=3)


def _decode_other(path: tf.Tensor) -> tf.Tensor:
    return tf.numpy_function(lambda name: image_files.read(os.fsdecode(name)), [path], tf.uint8, stateful=False)


_DECODERS = {0: _decode_jpeg, 1: _decode_png, 2: _decode_other}


def _array_reader(table: "Table") -> Callable[[tf.Tensor], tf.Tensor]:
    positions, array = _constant(table.inputs.astype(np.int64)), table.array
    height, width, *channels = array.shape[1:]

    def read(row: tf.Tensor) -> tf.Tensor:
        image = tf.numpy_function(lambda position: np.asarray(array[position]), [tf.gather(positions, row)], tf.uint8,
                                  stateful=False)
        image = tf.reshape(image, (height, width, *(channels or [1])))
        return image if channels == [3] else tf.tile(image, (1, 1, 3))

    return read


_plain = tf.autograph.experimental.do_not_convert  # nothing here needs AutoGraph, which only slows tracing


def _seed(seed: int) -> tf.Tensor:
    return tf.constant(seed, tf.int64)


def _constant(value: Any) -> tf.Tensor:
    """A tensor in main memory: without the scope, a GPU would hold it and every batch fetch it from there."""
    with tf.device("CPU:0"):
        return tf.constant(value)
