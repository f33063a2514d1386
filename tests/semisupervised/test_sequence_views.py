"""Changed copies of texts and series: functions of content, change, copy and seed, and no row is lost in them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from toolkit.semisupervised import sequence_views
from toolkit.tables import Table, read_table

TEXTS = ["not one good moment in it", "the best film of the year", "short", "a b", "good good good good", "so so , no"]


@pytest.fixture
def texts(tmp_path: Path) -> Table:
    lines = [f'"{text}",{"xy"[number % 2]},train' for number, text in enumerate(TEXTS)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label,split", *lines]) + "\n", encoding="utf-8")
    return read_table(tmp_path / "texts.csv")


@pytest.fixture
def series(tmp_path: Path) -> Table:
    random = np.random.default_rng(0)
    arrays = {"x_train": random.normal(size=(6, 20, 2)).astype(np.float32), "y_train": np.arange(6) % 2,
              "x_test": random.normal(size=(2, 20, 2)).astype(np.float32), "y_test": np.arange(2)}
    arrays["x_train"][0, 3] = np.nan
    np.savez(tmp_path / "series.npz", **arrays)
    return read_table(tmp_path / "series.npz", kind="series")


def test_a_text_loses_words_but_never_all(texts: Table) -> None:
    rows = np.arange(len(texts))
    for copy in range(20):
        copies = sequence_views.changed(texts, rows, sequence_views.STRONG, copy=copy)
        for before, after in zip(texts.inputs, copies.inputs, strict=True):
            left = iter(before.split())
            assert after.split() and all(word in left for word in after.split())  # in their order
    heavy = dataclasses.replace(sequence_views.STRONG, word_dropout=0.999)
    assert all(text.split() for text in sequence_views.changed(texts, rows, heavy).inputs)


def test_about_the_share_of_words_is_left_out() -> None:
    random, text = np.random.default_rng(0), " ".join("w" * 3 for _ in range(5000))
    assert abs(len(sequence_views.fewer_words(text, 0.3, random).split()) / 5000 - 0.7) < 0.03


def test_copies_depend_on_content_not_on_place(texts: Table) -> None:
    rows = np.array([1, 4])
    found = sequence_views.changed(texts, rows, sequence_views.STRONG, copy=3).inputs[rows]
    alone = sequence_views.changed(texts.select(rows[::-1]), np.arange(2), sequence_views.STRONG, copy=3).inputs
    assert found.tolist() == alone[::-1].tolist()
    others = [sequence_views.changed(texts, rows, sequence_views.STRONG, copy=copy, seed=seed).inputs[rows].tolist()
              for copy in range(6) for seed in range(2)]
    assert len({tuple(one) for one in others}) > 3


def test_only_the_rows_asked_for_change_and_the_table_does_not(texts: Table) -> None:
    before = texts.inputs.copy()
    copies = sequence_views.changed(texts, np.array([0]), dataclasses.replace(sequence_views.STRONG, word_dropout=0.9))
    assert texts.inputs.tolist() == before.tolist() and copies.inputs[1:].tolist() == before[1:].tolist()
    assert copies.inputs[0] != before[0] and copies.checksums.tolist() == texts.checksums.tolist()


def test_series_are_scaled_and_seen_through_a_window(series: Table) -> None:
    rows = np.arange(len(series))
    copies = sequence_views.changed(series, rows, sequence_views.STRONG, copy=1)
    again = sequence_views.changed(series, rows, sequence_views.STRONG, copy=1)
    for row in rows:
        before, after = series.array[series.inputs[row]], copies.array[copies.inputs[row]]
        assert after.shape == (18, 2) and after.dtype == np.float32
        np.testing.assert_array_equal(after, again.array[series.inputs[row]])
        assert np.isfinite(after).sum() >= np.isfinite(before).sum() - 4  # the window leaves two steps out
    weak = sequence_views.changed(series, rows, sequence_views.WEAK)
    change = [np.nanmean(np.abs(weak.array[place] - series.array[place])) for place in series.inputs]
    assert 0 < max(change) < 0.2  # whole, and near what it was
