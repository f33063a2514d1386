"""Labels: what is refused with one sentence, what is noted, and the map to numbers."""

import pytest

from toolkit.tables import TableError, labels, read_table
from toolkit.tables.entries import Entries

MANY = ["cat", "dog"] * 6


def entries(cells, splits=None):
    names = [f"{i}.png" for i in range(len(cells))]
    return Entries("photos.csv", names, names, list(cells), splits, by_row=True)


def refusal(cells, splits=None):
    with pytest.raises(TableError) as caught:
        labels.refuse_unusable(entries(cells, splits))
    assert str(caught.value).startswith("photos.csv") and "\n" not in str(caught.value)
    return str(caught.value)


# ---- Refusals --------------------------------------------------------------------------------------------------------


def test_a_label_outside_training():
    splits = ["train"] * 12 + ["test"] * 2
    assert refusal([*MANY, "cat", "dgo"], splits) == (
        "photos.csv, row 14: label 'dgo' is not among the training labels (cat, dog). Correct it, or leave it empty "
        "for unlabelled. Did you mean 'dog'?")
    assert "(2 such rows in all.)" in refusal([*MANY, "owl", "elk"], splits)


def test_the_column_is_named_unless_it_is_called_label():
    table = entries([*MANY, "owl"], ["train"] * 12 + ["test"])
    table.label_column = "breed"
    with pytest.raises(TableError, match=r"row 13, column 'breed': label 'owl'"):
        labels.refuse_unusable(table)


def test_too_few_classes_or_labels():
    assert "all 3 labelled training rows have the label 'cat'" in refusal(["cat"] * 3 + [""])
    assert "no labelled training row: all 4 labels in column 'label' are blank" in refusal([""] * 4)
    assert "no labelled training row" in refusal(["", "cat"], ["train", "test"])
    assert "no training rows (2 test, 1 validation)" in refusal(["cat", "dog", "cat"], ["test", "test", "validation"])


@pytest.mark.parametrize("cells", [
    [*MANY, "cat;dog"], [*MANY, "cat,dog"], [*MANY, "dog | cat"], ["a;b", "b;c", "c;a", "a;b", "c;a", "b;c"],
    ["['a', 'b']", "['a']", "['b']", "['a', 'c']"], ["[a,b]", "[c,d]", "[c,d]"]])
def test_several_labels_in_one_cell(cells):
    assert "several labels in one cell" in refusal(cells)


@pytest.mark.parametrize("cells", [
    ["tench, Tinca tinca", "goldfish, Carassius auratus"] * 5,
    ["projectile, missile", "missile", "rifle"] * 5,
    ["Animalia;Chordata;Aves", "Animalia;Chordata;Mammalia"] * 5,
    ["N/A", "n/b"] * 5,
])
def test_names_with_separators_are_classes(cells):
    labels.refuse_unusable(entries(cells))


@pytest.mark.parametrize("cells", [
    [f"{i / 7:.3f}" for i in range(60)], [str(i % 30 + 0.5) for i in range(300)],
    ["0.1", "0.2", "0.35", "0.4", "-1e-3"]])
def test_regression(cells):
    assert "regression" in refusal(cells)


@pytest.mark.parametrize("cells", [
    ["0.5", "1.5", "2.5", "3.5"] * 10, [str(i % 100) for i in range(400)], ["1", "2.0", "3"] * 4, ["1.5", "x"] * 3])
def test_numbers_that_are_classes(cells):
    labels.refuse_unusable(entries(cells))


def test_nearly_every_row_its_own_class():
    assert "20 different labels (id0, id1, id2 and 17 more)" in refusal([f"id{i}" for i in range(20)])
    assert "a class of its own" in refusal([f"id{i}" for i in range(39)] + ["id0"])
    labels.refuse_unusable(entries([f"id{i}" for i in range(20)] + [""] * 30))  # one label a class, the rest unlabelled


# ---- Notes -----------------------------------------------------------------------------------------------------------


def test_words_that_may_mean_unlabelled_are_noted():
    notes = labels.notes(entries(["cat", "nan", "NA", "nan", "-1", "?", ""]))
    assert notes[0] == ("'nan' is taken as a class (2 rows, first: row 2); if it means unlabelled, leave it empty "
                        "instead.")
    assert [note.split()[0] for note in notes] == ["'nan'", "'NA'", "'-1'", "'?'"]


def test_labels_written_in_two_ways_are_noted():
    assert labels.notes(entries(["Cat", "cat", "dog", "1", "1.0"])) == [
        "The labels 'Cat' and 'cat' differ only in how they are written and are taken as different classes (first: row "
        "1 and row 2).",
        "The labels '1' and '1.0' differ only in how they are written and are taken as different classes (first: row 4 "
        "and row 5)."]
    assert labels.notes(entries(MANY)) == []


# ---- The map ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "ordered"), [
    ({"10", "9", "2"}, ("2", "9", "10")), ({"b", "a", "10"}, ("10", "a", "b")),
    ({"-1", "0.5", "1e1"}, ("-1", "0.5", "1e1")), ({"1", "01"}, ("01", "1"))])
def test_order_of_classes(names, ordered):
    assert labels.in_order(names) == ordered


def test_integral_floats_become_integers_only_if_all_are():
    assert labels.tidied(["0.0", "1.0", "", "10.00"]) == ["0", "1", "", "10"]
    assert labels.tidied(["0.0", "1"]) == ["0.0", "1"]
    assert labels.tidied(["0.0", "1.5"]) == ["0.0", "1.5"]
    assert labels.tidied(["e\u0301"]) == ["\u00e9"]
    assert labels.tidied(["1.0", "2.0"], ("1.0", "1.5", "2.0")) == ["1.0", "2.0"]  # of a model
    assert labels.tidied(["1.0", "2.0"], ("1", "2")) == ["1", "2"]


def test_the_map_is_made_from_usable_training_rows(make_table, tmp_path):
    rows = ["cat,train", "dog,train", "owl,train", "cat,test", "owl,train", ",train"]
    source = make_table(rows)
    assert read_table(source).class_names == ("cat", "dog", "owl")
    for number in (2, 4):
        (tmp_path / f"{number}.png").unlink()
    table = read_table(source)
    assert table.class_names == ("cat", "dog")
    assert any("1 class has lost all labelled training rows" in note and "owl" in note for note in table.notes)
    (tmp_path / "1.png").unlink()
    with pytest.raises(TableError, match=r"dog, owl were set aside.*only cat is left"):
        read_table(source)


def test_a_tested_class_that_lost_its_training_rows(make_table, tmp_path):
    source = make_table(["cat,train", "dog,train", "owl,train", "owl,test"])
    (tmp_path / "2.png").unlink()
    with pytest.raises(TableError, match=r"row 4: label 'owl' has no training row left, since 1 image of it"):
        read_table(source)


def test_the_map_of_a_trained_model(make_table):
    source = make_table(["dog,test", "cat,test", ",train", "dog,train"])
    table = read_table(source, class_names=["owl", "dog", "cat"], require_labels=False)
    assert table.class_names == ("owl", "dog", "cat")
    assert dict(zip(table.names, table.labels)) == {"0.png": 1, "1.png": 2, "2.png": -1, "3.png": 1}
    with pytest.raises(TableError, match=r"row 2: label 'cat' is not among the classes of the model \(dog, owl\)"):
        read_table(source, class_names=["dog", "owl"], require_labels=False)
    assert set(read_table(source, class_names=["dog", "owl"], label_column=None, require_labels=False).labels) == {-1}
    only_tested = make_table(["dog,test", "cat,test"])
    assert len(read_table(only_tested, class_names=["cat", "dog"])) == 2  # a model needs no training rows
