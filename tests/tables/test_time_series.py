"""Series to forecast: sorted by time, told apart by name, with refusals that name the row."""

from pathlib import Path

import numpy as np
import pytest

from toolkit.tables import TableError, time_series


def write(folder: Path, text: str) -> str:
    (folder / "series.csv").write_text(text, encoding="utf-8")
    return str(folder / "series.csv")


def test_rows_are_sorted_by_time_within_their_series(tmp_path: Path) -> None:
    table = time_series.read(write(tmp_path, "series,time,value\nb,2020-02,4\na,2020-03,3\na,2020-01,1\na,2020-02,\n"))
    assert table.names == ("a", "b")
    np.testing.assert_array_equal(table.values[0], [1, np.nan, 3])
    assert table.times[0] == ("2020-01", "2020-02", "2020-03") and table.rows[0].tolist() == [3, 4, 2]
    assert len(table) == 4


def test_one_column_is_one_series_in_the_order_of_the_rows(tmp_path: Path) -> None:
    table = time_series.read(write(tmp_path, "passengers\n112\n118\n132\n"))
    assert table.names == ("",) and table.values[0].tolist() == [112, 118, 132]
    assert table.times[0] == ("1", "2", "3")


def test_numbers_sort_as_numbers_and_dates_as_dates(tmp_path: Path) -> None:
    assert time_series.read(write(tmp_path, "time,value\n10,2\n9,1\n")).values[0].tolist() == [1, 2]
    text = "time,value\n2020-01-01T10:00+02:00,2\n2020-01-01T07:30+00:00,1\n"
    assert time_series.read(write(tmp_path, text)).values[0].tolist() == [1, 2]


def test_a_value_that_is_no_number_is_rejected_and_missing(tmp_path: Path) -> None:
    table = time_series.read(write(tmp_path, "value\n1\nmany\ninf\nNA\n2\n"))
    assert [(row.row, row.input, row.reason) for row in table.rejected] == [(2, "many", "unreadable"),
                                                                            (3, "inf", "unreadable")]
    assert np.isnan(table.values[0]).tolist() == [False, True, True, True, False]
    assert any("2 of 5 values" in note for note in table.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,value\n1,2\n1,3\n", "row 2: the time '1' stands in row 1 already"),
        ("time,value\n1,2\nnoon,3\n", "row 2, column 'time': 'noon' is no time to sort by"),
        ("value\nx\n", "column 'value' holds no number"),
        ("series,value\n,1\nseries,2\n", "beside a series named 'series'"),
        ("a,b\n1,2\n", "no column 'value'.*--value-column"),
        ("time,value\n,1\n2,2\n3,3\n", "row 1, column 'time'.*Write numbers in every row"),
    ],
)
def test_refusals(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        time_series.read(write(tmp_path, text))


def test_the_fingerprint_knows_values_but_not_the_order_of_rows(tmp_path: Path) -> None:
    first = time_series.read(write(tmp_path, "time,value\n1,2\n2,3\n")).fingerprint
    assert time_series.read(write(tmp_path, "time,value\n2,3\n1,2\n")).fingerprint == first
    assert time_series.read(write(tmp_path, "time,value\n1,2\n2,4\n")).fingerprint != first
