"""Texts and series as batches: padding, order, buckets, augmentation, resume."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError, inputs
from toolkit.inputs import sequences
from toolkit.inputs.sequences import Augmentation
from toolkit.models import backbones, vocabularies
from toolkit.tables import Table

PLAIN = Augmentation()
TEXTS = [" ".join(["word"] * (1 + i * 7 % 13) + [f"w{i}"]) for i in range(24)]


@pytest.fixture
def texts(make_table: Callable[..., Table]) -> Table:
    table = make_table([Path(f"{i}") for i in range(0)], array=np.zeros((len(TEXTS), 1)), kind="text")
    return _replaced(table, inputs=np.array(TEXTS, object), array=None)


@pytest.fixture
def series(make_table: Callable[..., Table]) -> Table:
    generator, values = np.random.default_rng(0), np.empty(9, object)
    for i in range(9):
        values[i] = generator.normal(size=(5 + i, 2)).astype(np.float32)
    values[3][2, 1] = np.nan
    return _replaced(make_table(array=np.zeros((9, 1)), kind="series"), array=values, channels=2)


@pytest.fixture
def preprocessing() -> Any:
    return SimpleNamespace(vectorizer=vocabularies.vectorizer(["word", *(f"w{i}" for i in range(20))]), max_length=0)


def _replaced(table: Table, **values: Any) -> Table:
    import dataclasses

    return dataclasses.replace(table, **values)


def stream(table: Table, preprocessing: Any, *, count: int, first_step: int = 0, **options: Any) -> list[Any]:
    options = {"batch_size": 4, "augmentation": PLAIN, "seed": 3, **options}
    batches = inputs.training_batches(table, np.arange(len(table)), preprocessing=preprocessing, first_step=first_step,
                                      **options)
    return [tuple(part.numpy() for part in batch) for batch in islice(batches, count)]


def test_evaluation_batches_keep_the_order_and_the_last_partial_batch(texts: Table, preprocessing: Any) -> None:
    rows = np.array([5, 3, 8, 0, 21])
    found = [batch.numpy() for batch in inputs.evaluation_batches(texts, rows, preprocessing=preprocessing,
                                                                  batch_size=2)]
    assert [len(batch) for batch in found] == [2, 2, 1]
    for place, row in enumerate(rows):
        tokens = found[place // 2][place % 2]
        assert tokens.dtype == np.int32
        count = len(TEXTS[row].split())
        assert tokens[:count].tolist() == [3] * (count - 1) + [4 + row if row < 20 else 1]  # 1: not in the vocabulary
        assert not tokens[count:].any()


def test_lengths_are_multiples_of_eight_and_cut(texts: Table, preprocessing: Any) -> None:
    for batch in inputs.evaluation_batches(texts, np.arange(24), preprocessing=preprocessing, batch_size=5):
        assert batch.shape[1] % 8 == 0
    preprocessing.max_length = 3
    batch, = inputs.evaluation_batches(texts, np.arange(24), preprocessing=preprocessing, batch_size=24)
    assert (batch.numpy() != 0).sum(axis=1).max() == 3


def test_rows_that_are_cut_are_counted(texts: Table, series: Table) -> None:
    layer = vocabularies.vectorizer(["word"])
    assert inputs.num_cut(texts, backbones.TextPreprocessing(layer, 5)) == sum(len(text.split()) > 5 for text in TEXTS)
    assert inputs.num_cut(texts, backbones.TextPreprocessing(layer, 0)) == 0
    assert inputs.num_cut(series, backbones.SeriesPreprocessing(2, 10)) == 3  # of 11, 12 and 13 steps


def test_a_long_text_is_not_what_all_others_are_padded_to(texts: Table, preprocessing: Any, monkeypatch) -> None:
    found = sequences.read(texts, np.arange(len(texts)), preprocessing)
    monkeypatch.setattr(sequences, "_CHUNK_BYTES", 200)
    parts = list(sequences._in_parts([text.encode() for text in texts.inputs]))
    assert len(parts) > 1 and all(len(part) == 1 or len(part) * max(map(len, part)) <= 200 for part in parts)
    for one, other in zip(found, sequences.read(texts, np.arange(len(texts)), preprocessing), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_text_without_tokens_is_a_row_of_padding(texts: Table, preprocessing: Any) -> None:
    table = _replaced(texts, inputs=np.array(["...", *TEXTS[1:]], object))
    batch, = inputs.evaluation_batches(table, np.array([0]), preprocessing=preprocessing, batch_size=1)
    assert batch.numpy().tolist() == [[0] * 8]


def test_series_are_padded_with_missing_values(series: Table) -> None:
    batch, = inputs.evaluation_batches(series, np.array([3, 0]), preprocessing=SimpleNamespace(max_length=0),
                                       batch_size=2)
    assert batch.shape == (2, 8, 2)
    np.testing.assert_array_equal(batch[0], series.array[3])
    np.testing.assert_array_equal(batch[1, :5], series.array[0])
    assert np.isnan(batch[1, 5:]).all()


def test_series_have_no_mirror_image(series: Table) -> None:
    with pytest.raises(ToolkitError, match="no mirror images"):
        inputs.evaluation_batches(series, np.array([0]), preprocessing=SimpleNamespace(max_length=0), batch_size=1,
                                  reflect=True)


def test_every_pass_shows_every_row_once(texts: Table, preprocessing: Any) -> None:
    rows = np.concatenate([labels for _, labels in stream(texts, preprocessing, count=18, labels=np.arange(24))])
    for start in (0, 24, 48):
        assert sorted(rows[start:start + 24]) == list(range(24))
    assert rows[:24].tolist() != rows[24:48].tolist()


@pytest.mark.parametrize("augmentation", [PLAIN, Augmentation(word_dropout=0.3)])
def test_a_stream_can_begin_anywhere(texts: Table, preprocessing: Any, augmentation: Augmentation) -> None:
    whole = stream(texts, preprocessing, count=11, augmentation=augmentation)
    resumed = stream(texts, preprocessing, count=4, first_step=7, augmentation=augmentation)
    for (tokens, labels), (again, same) in zip(whole[7:], resumed, strict=True):
        np.testing.assert_array_equal(tokens, again)
        np.testing.assert_array_equal(labels, same)


def test_soft_targets_keep_their_shape(series: Table) -> None:
    soft = np.random.default_rng(0).random((9, 3))
    batch, labels = stream(series, SimpleNamespace(max_length=0), count=1, labels=soft)[0]
    assert labels.dtype == np.float32
    assert labels.shape == (4, 3)


def test_no_rows_are_refused(texts: Table, preprocessing: Any) -> None:
    with pytest.raises(ToolkitError, match="no rows to train on"):
        inputs.training_batches(texts, np.zeros(0, int), preprocessing=preprocessing, batch_size=4, augmentation=PLAIN,
                                seed=0)


def test_examples_are_the_training_rows(texts: Table) -> None:
    splits = texts.splits.copy()
    splits[4:] = "test"
    assert inputs.examples(_replaced(texts, splits=splits)) == TEXTS[:4]


# ---- Augmentation -------------------------------------------------------------------------------------------------


def test_word_dropout_hides_its_share() -> None:
    hidden = sequences.augmented(np.full(10_000, 7, np.int32), Augmentation(word_dropout=0.2), (0, 1, 2))
    assert set(hidden.tolist()) == {1, 7}
    assert (hidden == 1).mean() == pytest.approx(0.2, abs=0.02)
    assert sequences.augmented(np.array([7]), PLAIN, (0,)).tolist() == [7]


def test_series_are_varied_in_units_of_their_channels() -> None:
    long = np.stack([np.random.default_rng(0).normal(size=5000), 100 * np.random.default_rng(1).normal(size=5000)],
                    axis=1).astype(np.float32)
    long[10, 0] = np.nan
    noise = sequences.augmented(long, Augmentation(jitter=0.1), (1,)) - long
    assert np.nanstd(noise, axis=0) == pytest.approx([0.1, 10], rel=0.05)
    assert np.isnan(noise[10, 0])
    ratio = sequences.augmented(long, Augmentation(scaling=0.2), (2,)) / long
    assert np.nanstd(ratio, axis=0) == pytest.approx([0, 0], abs=1e-3)
    assert np.nanmean(ratio, axis=0)[0] != pytest.approx(1, abs=1e-3)
    window = sequences.augmented(long, Augmentation(window=0.25), (3,))
    assert len(window) == 1250
    assert any(np.array_equal(window, long[start:start + 1250], equal_nan=True) for start in range(3751))


def test_a_window_is_never_without_values() -> None:
    sparse = np.full((20, 1), np.nan, np.float32)
    sparse[0] = 1
    for seed in range(20):
        assert np.isfinite(sequences.augmented(sparse, Augmentation(window=0.2), (seed,))).any()


def test_batches_are_tensors_of_unknown_length(texts: Table, preprocessing: Any) -> None:
    batches = inputs.training_batches(texts, np.arange(24), preprocessing=preprocessing, batch_size=4,
                                      augmentation=PLAIN, seed=0)
    assert batches.element_spec == (tf.TensorSpec((4, None), tf.int32), tf.TensorSpec((4,), tf.int32))
