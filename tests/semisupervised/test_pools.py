"""Which unlabelled rows are used, how labelled rows are hidden, when the control is kept, what the report says."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from toolkit.semisupervised import pools
from toolkit.semisupervised.audit import audit
from toolkit.tables import Table, read_table


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    return read_table(small_table)


def test_the_pool_is_the_unlabelled_training_rows(table: Table) -> None:
    found = pools.pool(table)
    np.testing.assert_array_equal(found.rows, table.unlabelled())
    assert (len(found.rows), found.dropped, found.notes) == (12, 0, ())


def test_images_of_validation_and_test_rows_are_dropped(table: Table) -> None:
    rows, checksums = table.unlabelled(), table.checksums.copy()
    checksums[rows[0]], checksums[rows[1]] = (checksums[table.in_split(split)[0]] for split in ("validation", "test"))
    checksums[rows[2]] = checksums[table.labelled("train")[0]]  # a copy of a training row stays
    found = pools.pool(dataclasses.replace(table, checksums=checksums))
    np.testing.assert_array_equal(found.rows, rows[2:])
    assert found.dropped == 2 and found.notes[0].startswith("2 of 12 unlabelled rows show an image")


def test_without_unlabelled_rows_a_note(table: Table) -> None:
    found = pools.pool(table.select(np.flatnonzero(table.labels >= 0)))
    assert len(found.rows) == 0 and found.notes[0].startswith("No training row is unlabelled")


@pytest.mark.parametrize(("counts", "num_folds"), [
    ((4,) * 10, 4), ((25,) * 10, 5), ((2,) * 5, 6), ((3,) * 4, 9), ((1, 5, 30), 5), ((1, 2), 6), ((1, 1, 1), 0)])
def test_folds_hide_every_class_alike_and_lose_none(counts: tuple[int, ...], num_folds: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    found = pools.hidden_folds(labels, len(counts), seed=3)
    assert len(found) == num_folds
    for kept, hidden in found:
        np.testing.assert_array_equal(np.sort(np.concatenate([kept, hidden])), np.arange(len(labels)))
        assert set(labels[kept]) == set(labels)
    often = np.bincount(np.concatenate([hidden for _, hidden in found] or [np.zeros(0, np.int64)]),
                        minlength=len(labels))
    several = np.array(counts)[labels] >= 2
    assert len(set(often[several])) <= 1 and not often[~several].any()
    if len(set(counts)) == 1 and num_folds in (4, 6, 9):
        assert all(set(labels[hidden]) == set(labels) for _, hidden in found)


def test_folds_keep_groups_together_and_repeat_by_seed() -> None:
    labels, groups = np.arange(60) % 3, np.array([f"patient {i // 6}" for i in range(60)])
    found = pools.hidden_folds(labels, 3, groups=groups)
    assert all(not set(groups[kept]) & set(groups[hidden]) for kept, hidden in found)
    again, other = pools.hidden_folds(labels, 3, groups=groups), pools.hidden_folds(labels, 3, groups=groups, seed=1)
    assert all((one[1] == two[1]).all() for one, two in zip(found, again, strict=True))
    assert any(len(one[1]) != len(two[1]) or (one[1] != two[1]).any() for one, two in zip(found, other))
    lonely = np.array(["a"] * 4 + ["b"] * 4)  # a class of one group is never hidden
    assert pools.hidden_folds(np.arange(8) // 4, 2, groups=lonely) == []


def test_copies_are_hidden_together(table: Table) -> None:
    rows = table.labelled("train")
    np.testing.assert_array_equal(pools.together(table, rows), table.checksums[rows])
    groups = np.array(["", "ward"] * (len(table) // 2), dtype=object)
    found = pools.together(dataclasses.replace(table, groups=groups), rows)
    names = ["ward" if row % 2 else table.checksums[row] for row in rows]
    assert [names.index(name) for name in names] == [found.tolist().index(number) for number in found]


def test_the_control_is_kept_without_a_gain() -> None:
    labels, sure, right = np.array([0, 1]), np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.6, 0.4], [0.4, 0.6]])
    wrong = right[::-1]
    assert not pools.judge(labels, right, wrong).fall_back and pools.judge(labels, right, wrong).gain == 1
    assert pools.judge(labels, wrong, right).fall_back and "not used" in pools.judge(labels, wrong, right).why
    assert not pools.judge(labels, sure, right).fall_back and pools.judge(labels, right, sure).fall_back
    assert pools.judge(labels, right, right).fall_back  # no gain at all
    none = pools.judge(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 2)))
    assert (none.gain, none.rows, none.fall_back) == (None, 0, False)


def test_a_row_that_was_hidden_several_times_has_one_vote() -> None:
    labels, sure = np.zeros(4, int), np.array([[0.9, 0.1], [0.1, 0.9]])
    found = pools.judge(labels, sure[[0, 0, 0, 1]], sure[[1, 1, 1, 0]], np.array([7, 7, 7, 9]))
    assert found.rows == 2 and found.gain == 0 and found.why.startswith("On 2 labelled rows")
    assert pools.judge(labels, sure[[0, 0, 0, 1]], sure[[1, 1, 1, 0]]).gain == 0.5


def test_pseudo_labels_are_written_in_the_order_of_the_input(table: Table, tmp_path: Path) -> None:
    rows = table.unlabelled()
    labels = np.arange(len(rows)) % 3
    pools.write(tmp_path / "pseudo_labels.csv", table, rows, labels, np.full(len(rows), 0.1), np.ones(len(rows)),
                table.class_names)
    with open(tmp_path / "pseudo_labels.csv") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["row", "input", "label", "confidence", "round"]
    assert [line["row"] for line in lines] == [str(row) for row in range(49, 61)]
    own = {str(table.rows[row]): (table.names[row], table.class_names[label]) for row, label in zip(rows, labels)}
    assert all((line["input"], line["label"]) == own[line["row"]] for line in lines)
    assert {(line["confidence"], line["round"]) for line in lines} == {("0.1", "1")}


def test_pseudo_labels_name_the_source_of_added_rows(table: Table, tmp_path: Path) -> None:
    rows = table.unlabelled()
    origins = np.full(len(table), "", object)
    origins[rows[:3]] = "more.csv"
    added = dataclasses.replace(table, origins=origins)
    pools.write(tmp_path / "pseudo_labels.csv", added, rows, np.zeros(12, int), np.ones(12), np.ones(12),
                table.class_names)
    with open(tmp_path / "pseudo_labels.csv") as file:
        lines = list(csv.DictReader(file))
    assert [line["source"] for line in lines] == [""] * 9 + ["more.csv"] * 3
    assert [line["input"] for line in lines[9:]] == [table.names[row] for row in sorted(rows[:3], key=lambda row:
                                                                                        table.rows[row])]


def test_the_report_says_what_became_of_the_pool(table: Table) -> None:
    found, nothing = pools.pool(table), np.zeros(0, np.int64)
    checked = audit(np.zeros(12, np.int64), np.ones(12), np.zeros(12, bool), hidden_labels=nothing,
                    hidden_predictions=nothing, hidden_used=nothing.astype(bool), num_classes=3)
    report = {"data": {"classes": list(table.class_names)}, "notes": ["old"],
              "verdict": {"code": "worse", "sentence": "A is worse than B."}}
    used = pools.completed(report, found, checked, pools.Judgement(0.1, 9, False, "It gained."))
    assert used["verdict"] == {"code": "worse", "sentence": "The unlabelled rows hurt: A is worse than B."}
    assert used["notes"][0] == "old" and used["notes"][1].startswith("Alarm: Mask rate") and used["notes"][2:] == [
        "It gained."]
    own = used["unlabelled"]
    assert (own["rows"], own["coverage"], own["fall_back"], own["gain"], own["judged_rows"]) == (12, 0.0, False, 0.1, 9)
    assert list(own["precision"]["by_class"]) == list(table.class_names)
    left = pools.completed(report, found, checked, pools.Judgement(-0.1, 9, True, "It lost."))
    assert left["verdict"]["sentence"] == "The unlabelled rows were not used: A is worse than B."
    report["verdict"] = {"code": None, "sentence": "No verdict."}
    assert pools.completed(report, found, checked, pools.Judgement(0.1, 9, False, ""))["verdict"] == report["verdict"]


def test_copies_in_other_groups_are_hidden_together_too(table: Table) -> None:
    rows = table.labelled("train")[:5]
    checksums, groups = table.checksums.copy(), np.full(len(table), "", dtype=object)
    checksums[rows[:2]], groups[rows[:3]] = "copy", ["one", "other", "other"]
    found = pools.together(dataclasses.replace(table, checksums=checksums, groups=groups), rows)
    assert found[0] == found[1] == found[2] and len({*found}) == 3


@pytest.mark.parametrize(("judgement", "labels", "fall_back"), [
    (pools.Judgement(None, 0, False, "Unjudged."), [0] * 95 + [1] * 5, True),
    (pools.Judgement(None, 0, False, "Unjudged."), [0] * 60 + [1] * 40, False),
    (pools.Judgement(0.1, 20, False, "Judged."), [0] * 95 + [1] * 5, False),
    (pools.Judgement(None, 0, False, "Unjudged."), [], False)])
def test_a_class_that_swallows_an_unjudged_pool_is_not_believed(judgement: pools.Judgement, labels: list[int],
                                                                fall_back: bool) -> None:
    found = pools.unless_swallowed(judgement, np.array(labels, int), np.full(2, 0.5))
    assert found.fall_back == fall_back and ("swallows" in found.why) == fall_back


@pytest.mark.parametrize(("count", "wrong", "wrong_by_control", "strict", "lenient"), [
    (100, [0], [1], True, False), (100, [0], [], True, False), (100, [0, 1], [], True, True),
    (100, [0, 1, 2], [3, 4], True, False), (20, [0], [], True, True), (20, [0], [1], True, False),
    (100, [], [0], False, False)])
def test_few_rows_decide_only_what_they_can_tell(count: int, wrong: list[int], wrong_by_control: list[int],
                                                 strict: bool, lenient: bool) -> None:
    labels = np.zeros(count, int)

    def answers(rows: list[int], confidence: float) -> np.ndarray:
        found = np.tile([confidence, 1 - confidence], (count, 1))
        found[rows] = found[rows][:, ::-1]
        return found

    method, control = answers(wrong, 0.6), answers(wrong_by_control, 0.9)
    assert pools.judge(labels, method, control).fall_back == strict
    assert pools.judge(labels, method, control, lenient=True).fall_back == lenient
