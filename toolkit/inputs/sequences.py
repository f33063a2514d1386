"""Texts and series to batches: order -> windows sorted by length -> read -> augment -> pad.

As for images the order is a pure function of (seed, pass) and what is drawn for a row one of (seed, pass, row), so that
any batch can be made again without making those before it. A batch is as long as its longest sequence, and steps of
padding cost as much as others: so the stream of rows is cut into windows of some fifty batches, each window is sorted
by length before batches are cut from it, and the batches of a window are shuffled again. Lengths are rounded up to
multiples of eight, so that few shapes occur.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.inputs import shares
from toolkit.inputs.buckets import Order

if TYPE_CHECKING:
    from toolkit.tables import Table

LENGTH_STEP = 8
PREFETCHED_BATCHES = 2
UNKNOWN = 1  # the number of a token that is not in the vocabulary
_CHUNK, _CHUNK_BYTES = 1024, 1 << 24  # texts that are cut into tokens at a time, padded to the longest
_NOISE = 1  # what random numbers are drawn for: see also buckets


class TextPreprocessing(Protocol):
    """What is used of ``backbones.TextPreprocessing``: strings (B,) to numbers (B, T), and steps to keep (0: all)."""

    vectorizer: Callable[[Any], Any]
    max_length: int

    def longer(self) -> "TextPreprocessing":
        """With a step more."""


class SeriesPreprocessing(Protocol):
    """What is used of ``backbones.SeriesPreprocessing``: steps to keep (0: all)."""

    max_length: int

    def longer(self) -> "SeriesPreprocessing":
        """With a step more."""


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for each sequence of a training batch.

    Attributes:
        word_dropout: share of the tokens of a text that become unknown.
        jitter: deviation of the noise added to a series, in deviations of the series' own channel.
        scaling: deviation of the factor, about 1, that each channel of a series is multiplied by.
        window: share of a series that is kept, from a random place on; 1: all.
    """

    word_dropout: float = 0.0
    jitter: float = 0.0
    scaling: float = 0.0
    window: float = 1.0


def examples(table: "Table", indices: np.ndarray | None = None) -> list[Any]:
    """The texts, or the series (T, C) float32, of rows of a table.

    Args:
        table: of texts or series.
        indices: (n,) rows; None: the training rows, labelled or not, from which vocabulary and statistics are learnt.
    """
    rows = table.in_split("train") if indices is None else np.asarray(indices, np.int64)
    if table.kind == "text":
        return [table.inputs[row] for row in rows]
    return [table.array[position] for position in table.inputs[rows]]


def evaluation_batches(table: "Table", indices: np.ndarray, *,
                       preprocessing: TextPreprocessing | SeriesPreprocessing, batch_size: int, reflect: bool = False
                       ) -> tf.data.Dataset:
    """Sequences as the model's own layers make them, without labels or randomness.

    Args:
        table: of texts or series.
        indices: (n,) rows of the table.
        preprocessing: of the backbone.
        batch_size: sequences a batch; the last batch holds the rest.
        reflect: for images only.

    Returns:
        Dataset of tokens (B, T) int32, 0 = padding, or series (B, T, C) float32, NaN = missing or padding, in the order
        of ``indices``.
    """
    if reflect:
        raise ToolkitError(f"{table.source}: rows of kind {table.kind} have no mirror images; use --reflect no.")
    rows = np.asarray(indices, np.int64)
    sequences = read(table, rows, preprocessing)

    def batch(start: np.ndarray) -> np.ndarray:
        return padded(sequences[int(start):int(start) + batch_size], _empty(table))

    starts = tf.data.Dataset.range(0, len(rows), batch_size)
    return _made(starts, batch, (_spec(table),)).prefetch(PREFETCHED_BATCHES)


def training_batches(table: "Table", indices: np.ndarray, *, preprocessing: TextPreprocessing | SeriesPreprocessing,
                     batch_size: int, augmentation: Augmentation, seed: int, first_step: int = 0,
                     labels: np.ndarray | None = None) -> tf.data.Dataset:
    """An infinite stream of augmented sequences, of like length within a batch, and labels.

    All passes over the rows follow each other in one stream, from which windows are cut: all batches are full, and no
    row is ever left out.

    Args:
        table: of texts or series.
        indices: (n,) rows of the table, at least one.
        preprocessing: of the backbone.
        batch_size: sequences a batch.
        augmentation: what is drawn for each sequence.
        seed: of the order and of the augmentation.
        first_step: number of batches to leave out at the start: those a resumed run has already seen.
        labels: (len(table),) or (len(table), C), one for every row of the table, instead of the table's own.

    Returns:
        Dataset of (sequences as from ``evaluation_batches``, labels): labels are (B,) int32, -1 where unlabelled; given
        ones that are not integers keep their shape and become float32.

    Raises:
        ToolkitError: if there is no row.
    """
    rows = np.asarray(indices, np.int64)
    if not len(rows):
        raise ToolkitError("There are no rows to train on: 0 were given, at least 1 is needed. Check the split column "
                           "and the labels.")
    values = np.asarray(table.labels if labels is None else labels)
    values = values.astype(np.int32 if np.issubdtype(values.dtype, np.integer) else np.float32)
    sequences = read(table, rows, preprocessing)
    order, own = Order([len(sequence) for sequence in sequences], batch_size, seed), shares.rows(batch_size)

    def batch(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chosen = order.batch(int(step))[own]
        drawn = [augmented(sequences[place], augmentation, (seed, number, int(rows[place]), _NOISE))
                 for number, place in chosen]
        return padded(drawn, _empty(table)), values[rows[[place for _, place in chosen]]]

    size = shares.size(batch_size)
    targets = tf.TensorSpec((size, *values.shape[1:]), values.dtype)
    return _made(tf.data.Dataset.counter(first_step), batch, (_spec(table, size), targets)).prefetch(PREFETCHED_BATCHES)


def num_cut(table: "Table", preprocessing: TextPreprocessing | SeriesPreprocessing) -> int:
    """How many rows of a table are longer than what is kept of them."""
    kept = preprocessing.max_length
    if not kept:
        return 0
    return sum(len(sequence) > kept for sequence in read(table, np.arange(len(table)), preprocessing.longer()))


def explained(table: "Table", work: Callable[[], Any]) -> Any:
    """Runs ``work()``: the sequences are in memory, and nothing can have happened to them."""
    return work()


# ---- Sequences ----------------------------------------------------------------------------------------------------


def augmented(sequence: np.ndarray, augmentation: Augmentation, seed: tuple[int, ...]) -> np.ndarray:
    """A sequence as one pass shows it.

    Args:
        sequence: (T,) int32 tokens, or (T, C) float32 with NaN where a value is missing.
        augmentation: what is drawn.
        seed: whole numbers, of which the result is a function.
    """
    if sequence.ndim == 1 and augmentation.word_dropout:
        hidden = np.random.default_rng(seed).random(len(sequence)) < augmentation.word_dropout
        return np.where(hidden, np.int32(UNKNOWN), sequence)
    if sequence.ndim == 2 and (augmentation.jitter or augmentation.scaling or augmentation.window < 1):
        return _varied(sequence, augmentation, np.random.default_rng(seed))
    return sequence


def _varied(series: np.ndarray, augmentation: Augmentation, generator: np.random.Generator) -> np.ndarray:
    """A window of a series, its channels scaled, with noise; a window without any value is not taken."""
    length = max(1, round(augmentation.window * len(series)))
    start = int(generator.integers(len(series) - length + 1))
    factors = 1 + augmentation.scaling * generator.standard_normal(series.shape[1])
    noise = augmentation.jitter * generator.standard_normal((length, series.shape[1]))
    known = np.isfinite(series)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, series - np.where(known, series, 0).sum(axis=0) / count, 0)
    deviation = np.sqrt((centred**2).sum(axis=0) / count)
    window = series[start:start + length]
    window = window if np.isfinite(window).any() else series[:length]
    return (window * factors + noise * deviation).astype(np.float32)


def padded(sequences: Sequence[np.ndarray], filling: float) -> np.ndarray:
    """Sequences (T_i, ...) as one array (B, T, ...), T the longest rounded up to a multiple of eight.

    Example:
        >>> padded([np.array([5, 6]), np.array([7])], 0).tolist()
        [[5, 6, 0, 0, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0, 0, 0]]
    """
    longest = max(1, *map(len, sequences))
    shape = (len(sequences), -(-longest // LENGTH_STEP) * LENGTH_STEP, *sequences[0].shape[1:])
    result = np.full(shape, filling, sequences[0].dtype)
    for row, sequence in enumerate(sequences):
        result[row, :len(sequence)] = sequence
    return result


def read(table: "Table", rows: np.ndarray, preprocessing: Any) -> list[np.ndarray]:
    """The sequences of rows, cut.

    Args:
        table: of texts or series.
        rows: (n,) of the table.
        preprocessing: of the backbone.

    Returns:
        Token numbers (T,) int32, none for a text without tokens; or series (T, C) float32, NaN = missing.
    """
    longest = preprocessing.max_length or None
    found = examples(table, rows)
    if table.kind == "series":
        return [series[:longest] for series in found]
    vectorize = _in_a_graph(preprocessing.vectorizer)
    sequences: list[np.ndarray] = []
    for texts in _in_parts([text.encode("utf-8", "replace") for text in found]):
        numbers = vectorize(tf.constant(texts, tf.string))
        numbers = np.asarray(numbers.numpy(), np.int32)[:, :longest]
        lengths = numbers.shape[1] - np.argmax(numbers[:, ::-1] != 0, axis=1) if numbers.shape[1] else [0] * len(texts)
        sequences += [row[:length].copy() if row.any() else row[:0].copy()
                      for row, length in zip(numbers, lengths, strict=True)]
    return sequences


def _in_parts(texts: list[bytes]) -> Iterator[list[bytes]]:
    """The texts in parts, each small enough to be padded to its longest."""
    part, longest = [], 0
    for text in texts:
        longest = max(longest, len(text))
        if part and (len(part) == _CHUNK or longest * (len(part) + 1) > _CHUNK_BYTES):
            yield part
            part, longest = [], len(text)
        part.append(text)
    if part:
        yield part


def _in_a_graph(vectorizer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function, traced once: KerasHub's tokenizer takes fifty times as long outside of a graph."""
    if not hasattr(vectorizer, "_toolkit_call"):
        vectorizer._toolkit_call = tf.function(vectorizer, input_signature=[tf.TensorSpec((None,), tf.string)])
    return vectorizer._toolkit_call


def _empty(table: "Table") -> float:
    return 0 if table.kind == "text" else np.nan


def _spec(table: "Table", batch_size: int | None = None) -> tf.TensorSpec:
    if table.kind == "text":
        return tf.TensorSpec((batch_size, None), tf.int32)
    return tf.TensorSpec((batch_size, None, table.channels), tf.float32)


def _made(numbers: tf.data.Dataset, make: Callable, specs: tuple[tf.TensorSpec, ...]) -> tf.data.Dataset:
    """A dataset of what a NumPy function makes of numbers, in order."""

    def one(number: tf.Tensor) -> Any:
        types = [spec.dtype for spec in specs]
        arrays = tf.numpy_function(make, [number], types if len(specs) > 1 else types[0], stateful=False)
        arrays = [arrays] if len(specs) == 1 else arrays
        shaped = tuple(tf.ensure_shape(array, spec.shape) for array, spec in zip(arrays, specs, strict=True))
        return shaped if len(specs) > 1 else shaped[0]

    options = tf.data.Options()
    options.deterministic = True
    plain = tf.autograph.experimental.do_not_convert(one)
    return numbers.map(plain, num_parallel_calls=1, deterministic=True).with_options(options)
