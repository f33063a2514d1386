"""Tables of series: lists in cells, wide and long CSV files, arrays, files of the UCR archive."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.tables import TableError, read_table, series

NAN = np.nan


def contents(table):
    """Name -> series of a table."""
    return {name: table.array[position].tolist() for name, position in zip(table.names, table.inputs)}


def same(found, expected):
    np.testing.assert_array_equal(np.array(found, float), np.array(expected, float))
    return True


# ---- Lists in cells --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "values"), [
    ("1 2.5 -3", [[1], [2.5], [-3]]), ("1,2 , 3", [[1], [2], [3]]), ("[1; 2]", [[1], [2]]), ("(1e3)", [[1000]]),
    ("1,,3", [[1], [NAN], [3]]), ("NA 1 nan ? null", [[NAN], [1]]), ("[[1, 2], [3, null], [NaN, NaN]]",
                                                                    [[1, 2], [3, NAN]]),
    ("", np.zeros((0, 1))), ("[]", np.zeros((0, 1))), ("1\n2", [[1], [2]])])
def test_a_list_in_a_cell(cell, values):
    found = series.of_cell(cell)
    assert found.dtype == np.float32 and same(found, values)


@pytest.mark.parametrize("cell", ["1,5; 2,5; 3,5", "1,5 2,5", "-1,5;2;3,5"])
def test_commas_that_may_be_decimal_are_refused(cell):
    with pytest.raises(series.NoSeries, match="whether its commas are decimal"):
        series.of_cell(cell)


@pytest.mark.parametrize("cell", ["a b", "1 two", "[[1], [2, 3]]", "[[[1]]]", "1 inf", "1e39", "[[1, 2]", "[[{}]]",
                                  "[[1" + "0" * 400 + "]]"])
def test_a_cell_that_holds_no_series(cell):
    with pytest.raises(series.NoSeries):
        series.of_cell(cell)


@given(st.text(max_size=40))
def test_any_text_is_a_series_or_refused(cell):
    try:
        found = series.of_cell(cell)
    except series.NoSeries:
        return
    assert found.ndim == 2 and found.dtype == np.float32 and not np.isinf(found).any()


def test_a_table_of_cells(write_csv):
    rows = ['"1 2",a,train', '"3,4,NA,5",b,train', '"x",a,train', ',b,test', '"[[1,2],[3,4]]",b,test', "7,a,test"]
    table = read_table(write_csv(["values,label,split", *rows]))
    assert table.kind == "series" and table.channels == 1 and table.array.dtype == object
    found = contents(table)
    assert set(found) == {"1 2", "7", "3,4,NA,5"} and found["1 2"] == [[1], [2]]
    assert same(found["3,4,NA,5"], [[3], [4], [NAN], [5]])
    assert [(row.row, row.reason) for row in table.rejected] == [(3, "unreadable"), (4, "empty"), (5, "unsupported")]
    assert dict(zip(table.names, table.sizes.tolist()))["3,4,NA,5"] == [4, 1] and not table.decoders.any()
    assert (np.sort(table.checksums) == table.checksums).all()
    with pytest.raises(ValueError, match="read-only"):
        table.array[0][0] = 1


def test_channels_are_those_of_most_rows_in_any_order(write_csv):
    rows = ['"[[1,2]]",a', '"[[3,4]]",b', "5,a", '"[[5,6]]",a']
    for number in range(3):
        shuffled = random.Random(number).sample(rows, len(rows))
        table = read_table(write_csv(["values,label", *shuffled], f"{number}.csv"))
        assert table.channels == 2 and [row.input for row in table.rejected] == ["5"]


def test_a_time_beside_lists_is_none_of_theirs(write_csv):
    table = read_table(write_csv(["time,values,label", "monday,1 2,a", "monday,3,b"]))
    assert contents(table) == {"1 2": [[1], [2]], "3": [[3]]}


# ---- Wide ------------------------------------------------------------------------------------------------------------


def test_columns_of_numbers(write_csv):
    rows = ["p1,a,1,2,3", "p2,b,4,,6", "p3,a,7,8,", "p4,b,,,", "p5,b,1,oops,3", "p6,a,NA,2,3"]
    table = read_table(write_csv(["patient,label,t0,t1,t2", *rows]), kind="series")
    found = {row: table.array[position].tolist() for row, position in zip(table.rows.tolist(), table.inputs)}
    assert same(found[1], [[1], [2], [3]]) and same(found[2], [[4], [NAN], [6]]) and same(found[3], [[7], [8]])
    assert same(found[6], [[NAN], [2], [3]])
    assert [(row.row, row.reason) for row in table.rejected] == [(4, "empty"), (5, "unreadable")]
    assert "column 't1' of row 5: 'oops' is no number" in table.rejected[1].message
    assert table.notes[0] == "The time steps of each series are 3 columns: t0, t1, t2."
    assert table.notes[1] == "The columns patient are not used."
    assert sorted(table.names) == ["1 2 3", "4 nan 6", "7 8", "nan 2 3"]


def test_a_step_that_is_missing_in_every_row_stays_a_step(write_csv):
    table = read_table(write_csv(["label,t0,t1,t2,note", "a,1,,3,x", "b,4,NA,6,y"]), kind="series")
    assert sorted(table.names) == ["1 nan 3", "4 nan 6"]


def test_a_table_without_numbers(write_csv):
    with pytest.raises(TableError, match="no column of numbers for the time steps.*its columns are name, label"):
        read_table(write_csv(["name,label", "x,a", "y,b"]), kind="series")


# ---- Long ------------------------------------------------------------------------------------------------------------

LONG = ["s1,2,1,10,cat,train", "s1,1,0,20,,", "s2,1,5,,dog,train", "s2,2,6,60,dog,train", "s3,1,7,7,dog,test"]
HEADER = "series,time,x,y,label,split"


def test_a_row_a_time_step(write_csv):
    table = read_table(write_csv([HEADER, *LONG]))
    assert table.kind == "series" and table.channels == 2 and len(table) == 3
    found = contents(table)
    assert same(found["s1"], [[0, 20], [1, 10]]) and same(found["s2"], [[5, NAN], [6, 60]])
    assert dict(zip(table.names, zip(table.rows.tolist(), table.splits))) == {
        "s1": (1, "train"), "s2": (3, "train"), "s3": (5, "test")}
    assert table.notes[0] == "The channels of each series are 2 columns: x, y."


def test_the_order_of_the_rows_changes_nothing(write_csv):
    first = read_table(write_csv([HEADER, *LONG]))
    for number in range(5):
        shuffled = random.Random(number).sample(LONG, len(LONG))
        assert read_table(write_csv([HEADER, *shuffled], f"{number}.csv")).fingerprint == first.fingerprint


def test_times_may_be_dates(write_csv):
    rows = ["a,2026-02-01,2,x", "a,2025-12-31T23:00,1,x", "b,2026-01-01T00:00+01:00,1,y", "b,2025-12-31,0,y"]
    table = read_table(write_csv(["series,time,value,label", *rows]))
    assert contents(table) == {"a": [[1], [2]], "b": [[0], [1]]}


@pytest.mark.parametrize(("rows", "message"), [
    (["a,1,1,x", "a,1,2,x"], "row 2: the time '1' stands in row 1 of the same series already"),
    (["a,1,1,x", "a,2,2,y"], "row 2, column 'label': 'y', but row 1 of series 'a' says 'x'"),
    (["a,1,1,x", ",2,2,x"], "row 2, column 'series': it is blank"),
    (["a,1,1,x", "a,soon,2,x", "a,3,2,x"], "row 2, column 'time': 'soon' is no time"),
    (["a,1,1,x", "a,,2,x"], "row 2, column 'time': '' is no time"),
    (["a,1,one,x", "a,2,two,x"], "no column of numbers for the channels")])
def test_faults_of_long_tables(write_csv, rows, message):
    with pytest.raises(TableError, match=message):
        read_table(write_csv(["series,time,value,label", *rows]))


def test_without_a_column_of_series_all_rows_are_one(write_csv):
    table = read_table(write_csv(["time,value", "3,30", "1,10", "2,"]), kind="series", require_labels=False)
    assert len(table) == 1 and same(table.array[0], [[10], [NAN], [30]])


# ---- Arrays ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def arrays(tmp_path):
    numbers = np.random.default_rng(0)

    def save(shape=(8, 5), dtype=np.float32, **more):
        parts = {"x_train": numbers.normal(size=shape).astype(dtype), "y_train": np.arange(shape[0]) % 2,
                 "x_test": numbers.normal(size=shape).astype(dtype), "y_test": np.arange(shape[0]) % 2}
        np.savez(tmp_path / "series.npz", **{**parts, **more})
        return tmp_path / "series.npz", {**parts, **more}

    return save


@pytest.mark.parametrize(("shape", "options"), [
    ((8, 5), {}), ((8, 5, 3), {"kind": "series"}), ((8, 5), {"kind": "series"})])
def test_series_of_arrays(arrays, shape, options):
    path, parts = arrays(shape)
    table = read_table(path, **options)
    assert table.kind == "series" and table.channels == (1 if len(shape) == 2 else 3) and len(table) == 16
    assert same(contents(table)["x_test[3]"], parts["x_test"][3].reshape(5, -1))


def test_gaps_and_infinities_in_arrays(arrays):
    values = np.arange(20.0).reshape(4, 5)
    values[0, 3:], values[1], values[2, 0], values[3, 2] = NAN, NAN, NAN, np.inf
    path, _ = arrays(x_train=values, y_train=np.array([0, 1, 1, 1]))
    table = read_table(path)
    assert [(row.input, row.reason) for row in table.rejected] == [
        ("x_train[1]", "empty"), ("x_train[3]", "unreadable")]
    assert same(contents(table)["x_train[0]"], [[0], [1], [2]]) and np.isnan(contents(table)["x_train[2]"][0][0])


def test_arrays_in_doubt_are_images_or_refused(arrays):
    path, _ = arrays((8, 5, 5))
    with pytest.raises(TableError, match="neither whole numbers from 0 to 255.*--kind series"):
        read_table(path)
    with pytest.raises(TableError, match="holds images, not inputs of kind text"):
        read_table(arrays((8, 5), dtype=np.uint8, x_train=np.zeros((8, 5, 5), np.uint8),
                          x_test=np.zeros((8, 5, 5), np.uint8))[0], kind="text")
    path, _ = arrays((8, 5, 3, 2))
    with pytest.raises(TableError, match=r"Expected numbers, x_train \(n, time\)"):
        read_table(path, kind="series")


# ---- Files of the UCR archive ----------------------------------------------------------------------------------------

TS = """# a remark
@problemName Toy
@timeStamps false
@univariate true
@classLabel true a b
@data
1,2,3:a
4,?,6:b
7,8:?
"""


@pytest.fixture
def toy(tmp_path):
    folder = tmp_path / "Toy"
    folder.mkdir()
    (folder / "Toy_TRAIN.ts").write_text(TS)
    (folder / "Toy_TEST.ts").write_text(TS.split("@data")[0] + "@data\n1,1:2,2:a\n3,NaN:b\n")
    return folder


@pytest.mark.parametrize("name", ["", "Toy_TRAIN.ts", "Toy_TEST.ts"])
def test_both_files_of_a_set_by_either_name(toy, name):
    table = read_table(toy / name)
    found = contents(table)
    assert table.kind == "series" and table.class_names == ("a", "b") and len(table.unlabelled()) == 1
    assert same(found["Toy_TRAIN[1]"], [[4], [NAN], [6]]) and same(found["Toy_TEST[1]"], [[3]])
    assert [(row.input, row.split, row.reason) for row in table.rejected] == [("Toy_TEST[0]", "test", "unsupported")]
    assert set(table.splits) == {"train", "test"}


@pytest.mark.parametrize("name", ["", "Toy_TRAIN.ts"])
def test_a_file_of_all_rows_beside_the_split_ones_is_not_read(toy, name):
    (toy / "Toy.ts").write_text(TS)
    assert set(read_table(toy / name).splits) == {"train", "test"}


def test_a_file_without_splits_and_channels_of_unequal_length(tmp_path):
    (tmp_path / "whole.ts").write_text("@data\n1,2,3:4,5:a\n1,2:3,4:b\n")
    table = read_table(tmp_path / "whole.ts")
    assert table.channels == 2 and same(contents(table)["whole[0]"], [[1, 4], [2, 5], [3, NAN]])


@pytest.mark.parametrize(("text", "message"), [
    ("1,2:a\n", "no line @data"), ("@data\n", "holds no series"), ("@timeStamps true\n@data\n(0,1):a\n", "time stamps"),
    ("@targetLabel true\n@data\n1,2:0.5\n", "regression"), ("@data\n1,x:a\n1,y:b\n", "none of 2 series can be used")])
def test_faults_of_ts_files(tmp_path, text, message):
    (tmp_path / "bad.ts").write_text(text)
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / "bad.ts", require_labels=False if "holds" in message else True)


def test_a_folder_of_class_folders_is_none_of_series(toy):
    (toy / "cat").mkdir()
    with pytest.raises(TableError, match="no image in a class folder"):
        read_table(toy)


def test_a_folder_of_several_sets(toy):
    (toy / "Other_TRAIN.ts").write_text(TS)
    with pytest.raises(TableError, match="holds several sets of series: Other, Toy"):
        read_table(toy)


def test_more_unlabelled_series_join(write_csv):
    source = write_csv(["values,label,split", "1 2,a,train", "3 4,b,train", "5 6,a,test"])
    more = write_csv(["values", "1 2", "8 9 10"], "more.csv")
    table = read_table(source, unlabelled=more)
    added = table.select(np.flatnonzero(table.origins != ""))
    assert contents(added) == {"8 9 10": [[8], [9], [10]]} and len(table) == 4
    other = write_csv(["values", '"[[1, 2]]"'], "other.csv")
    with pytest.raises(TableError, match="holds series of 2 channels"):
        read_table(source, unlabelled=other)
