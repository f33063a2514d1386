"""Windows of series: nothing of the future reaches training, and testing rolls over the last fifth."""

import numpy as np
import pytest

from toolkit.sequences import windows
from toolkit.tables import TableError
from toolkit.tables.time_series import TimeSeries
from toolkit import ToolkitError


def table(*series: np.ndarray) -> TimeSeries:
    names = tuple(f"s{i}" for i in range(len(series)))
    return TimeSeries(names, series, tuple(tuple(map(str, range(len(values)))) for values in series),
                      tuple(np.arange(1, len(values) + 1) for values in series), (), (), "x.csv", {})


def test_the_future_changes_nothing_that_is_learnt_from() -> None:
    values = np.random.default_rng(0).normal(size=400).cumsum()
    other = values.copy()
    other[320:] = 1e6
    first, second = (windows.cut(table(series), lags=10, horizon=4) for series in (values, other))
    for part in ("train", "validation"):
        np.testing.assert_array_equal(first.parts[part].known, second.parts[part].known)
        np.testing.assert_array_equal(first.parts[part].wanted, second.parts[part].wanted)
    assert first.means == second.means and first.scales == second.scales
    assert first.means[0] == pytest.approx(values[:280].mean())  # of the training part alone


def test_no_training_window_reaches_over_the_border() -> None:
    found = windows.cut(table(np.arange(400.0)), lags=10, horizon=4)
    validation, test = found.borders[0]
    assert (validation, test) == (280, 320)
    ends = {part: found.parts[part].origins + 4 for part in windows.PARTS}
    assert ends["train"].max() == validation and found.parts["train"].origins.min() == 10
    assert found.parts["validation"].origins.min() == validation and ends["validation"].max() == test
    assert found.parts["test"].origins.tolist() == list(range(320, 397))  # every step, the last windows complete
    back = found.parts["test"].known * found.scales[0] + found.means[0]
    np.testing.assert_allclose(back[0], np.arange(310, 320))


def test_few_windows_leave_none_for_validation() -> None:
    found = windows.cut(table(np.sin(np.arange(100.0))), lags=8, horizon=1)
    assert not len(found.parts["validation"]) and found.borders[0].tolist() == [80, 80]
    assert found.split(0, 79) == "train" and found.split(0, 80) == "test"


def test_missing_values_are_filled_from_the_past_and_not_wanted() -> None:
    values = np.arange(100.0)
    values[[0, 50, 90]] = np.nan
    found = windows.cut(table(values), lags=8, horizon=1)
    assert len(found.values[0]) == 99  # the first was not known
    assert found.values[0][49] == 49.0  # of step 50: the value before it
    assert len(found.parts["train"].complete()) == len(found.parts["train"]) - 1
    assert np.isnan(found.parts["test"].wanted).sum() == 1


def test_series_that_cannot_be_forecast_are_refused() -> None:
    with pytest.raises(ToolkitError, match="series 's1' has 12 steps.*8 lags and a horizon of 3 need 14"):
        windows.cut(table(np.arange(100.0), np.arange(12.0)), lags=8, horizon=3)
    with pytest.raises(ToolkitError, match="does not change in its first 80 steps"):
        windows.cut(table(np.r_[np.ones(80), np.arange(20.0)]), lags=8, horizon=1)
    with pytest.raises(ToolkitError, match="series 's1' does not change in its first 80 steps"):
        windows.cut(table(np.sin(np.arange(100.0)), np.r_[np.full(80, 0.1), np.arange(20.0)]), lags=8, horizon=1)
    with pytest.raises(ToolkitError, match="series 's1' has no value"):
        windows.cut(table(np.sin(np.arange(100.0)), np.full(100, np.nan)), lags=8, horizon=1)
    assert issubclass(TableError, ToolkitError)


@pytest.mark.parametrize(("lags", "horizon"), [(8, 1), (8, 10), (24, 4), (1, 1), (3, 50)])
def test_so_many_steps_as_the_error_names_are_enough(lags: int, horizon: int) -> None:
    steps = windows.fewest_steps(lags, horizon)
    assert len(windows.cut(table(np.sin(np.arange(float(steps)))), lags=lags, horizon=horizon).parts["train"])
    with pytest.raises(ToolkitError, match=f"need {steps}: lower"):
        windows.cut(table(np.sin(np.arange(steps - 1.0))), lags=lags, horizon=horizon)
