"""Splits: sizes, strata, groups, seeds; and few labels."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.tables import TableError, splits
from toolkit.tables.splits import Policy, assign


def split(labels, declared=None, checksums=None, groups=None, **policy):
    labels = np.asarray(labels, np.int64)
    names = [f"class{i}" for i in range(labels.max(initial=0) + 1)]
    checksums = [f"{i:06d}" for i in range(len(labels))] if checksums is None else checksums
    declared = None if declared is None else np.array(declared, object)
    groups = None if groups is None else np.array(groups, object)
    return assign(labels, declared, checksums, groups, names, Policy(**policy))


def counts(found, of=None):
    labels = found.labels if of is None else np.asarray(of)
    return {name: Counter(labels[(found.splits == name) & (labels >= 0)].tolist())
            for name in ("train", "validation", "test")}


# ---- Sizes -----------------------------------------------------------------------------------------------------------


def test_seventy_ten_twenty():
    found = split([0] * 600 + [1] * 300 + [2] * 100)
    assert counts(found) == {"train": {0: 420, 1: 210, 2: 70}, "validation": {0: 60, 1: 30, 2: 10},
                             "test": {0: 120, 1: 60, 2: 20}}
    assert found.notes == ["The table names no splits. Its labelled rows were split by seed 0, class by class: 700 "
                           "training, 100 validation, 200 test."]


def test_no_validation_below_two_hundred_training_labels():
    assert Counter(split([0, 1] * 124).splits) == {"train": 198, "test": 50}
    assert Counter(split([0, 1] * 126).splits) == {"train": 177, "validation": 25, "test": 50}
    assert "fewer than 200" in split([0, 1] * 20).notes[0]


@pytest.mark.parametrize(("sizes", "tested"), [
    ([3, 3], [1, 1]), ([5, 5], [1, 1]), ([10, 4], [2, 1]), ([1, 9], [0, 2]), ([2, 2, 2, 2, 2], 2), ([20, 20], [4, 4])])
def test_tiny_tables(sizes, tested):
    found = counts(split(np.repeat(np.arange(len(sizes)), sizes)))
    per_class = [found["test"][number] for number in range(len(sizes))]
    assert per_class == tested if isinstance(tested, list) else sum(per_class) == tested
    assert all(found["train"][number] >= 1 for number in range(len(sizes)))


def test_unlabelled_rows_stay_in_training():
    labels = np.array([0, 1, -1, -1] * 100)
    found = split(labels)
    assert set(found.splits[labels < 0]) == {"train"} and (found.splits[labels >= 0] == "test").sum() == 40


def test_many_small_classes_keep_the_ratio():
    found = split(np.repeat(np.arange(100), 10))
    totals = {name: some.total() for name, some in counts(found).items()}
    assert totals == {"train": 700, "validation": 100, "test": 200}


def test_ratios():
    labels = [0] * 60 + [1] * 40
    assert Counter(split(labels, test_ratio=0.3, validation_ratio=0.2).splits) == {"train": 50, "validation": 20,
                                                                                   "test": 30}
    assert Counter(split(labels, test_ratio=0).splits) == {"train": 100}
    all_learn = split(labels * 3, validation_ratio=0)
    assert Counter(all_learn.splits) == {"train": 240, "test": 60}
    assert all_learn.notes[0].endswith("60 test. There is no validation: its ratio is 0.")
    declared = split(labels, ["train"] * 100, validation_ratio=0.05, test_ratio=0.5)
    assert Counter(declared.splits) == {"train": 95, "validation": 5}
    assert "no ratio of test rows" in declared.notes[0]
    named = split(labels, ["train"] * 80 + ["validation"] * 20, validation_ratio=0.5)
    assert Counter(named.splits) == {"train": 80, "validation": 20} and "no ratio of them" in named.notes[0]


@pytest.mark.parametrize(("ratios", "message"), [
    ({"test_ratio": -0.1}, "is -0.1"), ({"validation_ratio": float("nan")}, "is nan"),
    ({"validation_ratio": 1}, "is 1"), ({"test_ratio": 0.9}, "0.9 and 0.1"),
    ({"validation_ratio": 0.8}, "0.2 and 0.8")])
def test_ratios_that_leave_nothing_to_learn_from(ratios, message):
    with pytest.raises(TableError, match=message):
        split([0] * 60 + [1] * 40, **ratios)


# ---- Declared splits -------------------------------------------------------------------------------------------------


def test_validation_comes_from_training_when_there_is_none():
    labels, declared = [0, 1] * 200, ["train"] * 300 + ["test"] * 100
    found = split(labels, declared)
    assert Counter(found.splits) == {"train": 270, "validation": 30, "test": 100}
    assert set(found.splits[300:]) == {"test"} and counts(found)["validation"] == {0: 15, 1: 15}
    assert found.notes == ["The table names no validation rows: 30 of 300 labelled training rows became validation "
                           "(split seed 0)."]
    few = split(labels[:150], ["train"] * 150)
    assert set(few.splits) == {"train"} and "fewer than 200" in few.notes[0] and "no labelled test row" in few.notes[1]


def test_declared_splits_stay():
    declared = ["train", "validation", "test"] * 100
    found = split([0, 1, 0] * 100, declared)
    assert found.splits.tolist() == declared and found.notes == []


def test_nothing_is_chosen_for_prediction():
    found = split([0, -1, 1], choose=False)
    assert found.splits.tolist() == ["test"] * 3 and found.notes == []
    assert split([0, 1] * 200, ["train"] * 400, choose=False).splits.tolist() == ["train"] * 400


# ---- Groups and equal images -----------------------------------------------------------------------------------------


ROWS = st.tuples(st.integers(-1, 3), st.integers(0, 25), st.integers(0, 200))  # label, group, image


@given(st.lists(ROWS, min_size=2, max_size=400), st.integers(0, 9))
def test_groups_and_equal_images_are_never_parted(rows, seed):
    labels, groups, images = (np.array(column) for column in zip(*rows))
    names = [f"g{group}" if group else "" for group in groups]
    found = split(labels, checksums=[f"{image:04d}" for image in images], groups=names, seed=seed)
    for keys in (images, np.where(groups == 0, -np.arange(len(groups)), groups)):
        for key in set(keys.tolist()):
            assert len(set(found.splits[keys == key])) == 1
    for label in set(labels.tolist()) - {-1}:
        assert "train" in found.splits[labels == label]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=300), st.integers(0, 3))
def test_each_class_of_three_is_trained_on_and_tested(labels, seed):
    found = counts(split(labels, seed=seed))
    for label, total in Counter(labels).items():
        assert found["train"][label] >= 1 and (found["test"][label] >= 1 or total < 3)
        assert abs(found["test"][label] - 0.2 * total) < 1 or total < 5


def test_groups_of_equal_size_keep_the_ratio():
    groups = [f"patient{i}" for i in np.repeat(np.arange(100), 10)]
    found = split(np.repeat([0, 1], 500), groups=groups)
    sizes = Counter(found.splits)
    assert 180 <= sizes["test"] <= 220 and 80 <= sizes["validation"] <= 120
    mixed = split(np.tile([0, 1], 500), groups=groups)  # both classes in every group
    assert 180 <= Counter(mixed.splits)["test"] <= 220 and counts(mixed)["test"][0] == counts(mixed)["test"][1]


def test_a_class_in_one_group_stays_in_training():
    found = split([0] * 60 + [1] * 60, groups=[f"g{i}" for i in range(60)] + ["all"] * 60)
    assert set(found.splits[60:]) == {"train"} and Counter(found.splits[:60])["test"] > 10


def test_unlabelled_rows_go_with_their_group():
    labels = np.array([0, -1, 1, -1] * 100)
    groups = [f"g{i // 2}" for i in range(400)]
    found = split(labels, groups=groups)
    assert (found.splits[::2] == found.splits[1::2]).all() and Counter(found.splits)["test"] == 80


# ---- Seeds -----------------------------------------------------------------------------------------------------------


def test_seeds():
    labels = np.repeat([0, 1, 2], 150)
    first, again, other = (split(labels, seed=seed).splits for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any() and Counter(first) == Counter(other)


def test_the_share_of_each_row_is_fair():
    taken = sum((split([0, 1] * 10, seed=seed).splits == "test").astype(int) for seed in range(300))
    assert 30 <= taken.min() and taken.max() <= 95  # 60 expected


def test_labels_decide_only_the_class_shares():
    """Which rows of a class are tested does not depend on the other classes."""
    alone = split([0] * 50 + [1] * 50).splits[:50]
    beside = split([0] * 50 + [1] * 10 + [2] * 40).splits[:50]
    assert (alone == beside).all()


# ---- Few labels ------------------------------------------------------------------------------------------------------


def test_few_labels():
    labels = np.repeat([0, 1, 2], [300, 300, 5])
    found = split(labels, ["train", "train", "test", "validation", "train"] * 121, labels_per_class=4)
    kept = counts(found)
    assert kept["train"] == {0: 4, 1: 4, 2: 3} and kept["test"].total() == 121 and kept["validation"].total() == 121
    assert "11 of 363 training labels are kept, 4 a class (label seed 0)" in found.notes[0]
    assert "1 class has fewer: class2" in found.notes[0]


def test_few_labels_come_before_validation_and_after_test():
    labels = np.repeat([0, 1], 500)
    plain, few = split(labels), split(labels, labels_per_class=20)
    assert ((plain.splits == "test") == (few.splits == "test")).all()
    assert counts(few)["train"] == {0: 20, 1: 20} and "validation" not in few.splits
    some = split(labels, labels_per_class=100)
    assert counts(some)["validation"] == {0: 12, 1: 12} or counts(some)["validation"].total() == 25


def test_more_labels_contain_the_fewer():
    labels = np.repeat([0, 1], 100)
    sets = [set(np.flatnonzero((split(labels, labels_per_class=n).labels >= 0) & (split(labels).splits == "train")))
            for n in (1, 4, 25)]
    assert sets[0] < sets[1] < sets[2] and [len(some) for some in sets] == [2, 8, 50]
    other = split(labels, labels_per_class=4, label_seed=1)
    assert (other.labels != split(labels, labels_per_class=4).labels).any()


def test_large_tables_are_split_in_seconds():
    generator = np.random.default_rng(0)
    labels = generator.integers(-1, 1000, 100_000)
    found = split(labels, groups=[f"g{i}" for i in generator.integers(0, 30_000, 100_000)])
    labelled = found.splits[labels >= 0]
    assert 0.18 < (labelled == "test").mean() < 0.24 and 0.08 < (labelled == "validation").mean() < 0.12
    assert len(splits.choose(labels, [str(i) for i in range(100_000)], None, seed=0)) == 100_000
