"""Plain forecasts, their scores, and the comparison of two."""

import numpy as np
import pytest
from sklearn import metrics

from toolkit.sequences import forecast_baselines, forecast_scores


def test_linear_autoregression_continues_a_wave() -> None:
    wave = np.sin(2 * np.pi * np.arange(300) / 12)
    known = np.lib.stride_tricks.sliding_window_view(wave, 24)[:-3]
    wanted = np.lib.stride_tricks.sliding_window_view(wave[24:], 3)
    forecaster = forecast_baselines.linear_autoregression(known[:200], wanted[:200])
    np.testing.assert_allclose(forecaster(known[200:]), wanted[200:], atol=1e-3)


def test_one_step_is_a_column_too() -> None:
    known = np.random.default_rng(0).normal(size=(50, 4))
    assert forecast_baselines.linear_autoregression(known, known[:, :1])(known[:5]).shape == (5, 1)


def data(count: int = 60, horizon: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    wanted = random.normal(size=(count, horizon))
    return wanted, wanted + random.normal(size=(count, horizon)) / 3, np.zeros(count, int), np.full(count, 2.0)


def test_scores_equal_scikit_learn() -> None:
    wanted, forecast, series, units = data(horizon=1)
    found = forecast_scores.scores(wanted, forecast, series, units)
    assert found["r2"] == pytest.approx(metrics.r2_score(wanted, forecast))
    assert found["mean_absolute_error"] == pytest.approx(2 * metrics.mean_absolute_error(wanted, forecast))
    low, high = found["intervals"]["r2"]
    assert low < found["r2"] < high


@pytest.mark.parametrize(("count", "block"), [(12, 3), (13, 3), (7, 1), (9, 2)])
def test_sums_over_blocks_are_those_of_the_origins_drawn(count: int, block: int) -> None:
    parts = np.random.default_rng(3).normal(size=(count, 2))
    found = forecast_scores._sums_of_blocks(parts, block, np.random.default_rng(0))
    starts = np.random.default_rng(0).integers(0, count, (len(found), -(-count // block)))
    for draw in (0, 1, len(found) - 1):
        rows = (starts[draw][:, None] + np.arange(block)).ravel()[:count] % count
        np.testing.assert_allclose(found[draw], parts[rows].sum(axis=0))


def test_missing_values_are_left_out() -> None:
    wanted, forecast, series, units = data(horizon=1)
    holes = wanted.copy()
    holes[10:20] = np.nan
    kept = np.r_[0:10, 20:60]
    assert forecast_scores.scores(holes, forecast, series, units)["r2"] == pytest.approx(
        metrics.r2_score(wanted[kept], forecast[kept]))


def test_the_mean_of_each_series_is_its_own() -> None:
    """Two flat series far apart: forecasting the level of each explains nothing of either."""
    random, series = np.random.default_rng(0), np.repeat([0, 1], 30)
    wanted = random.normal(size=(60, 1)) + 100.0 * series[:, None]
    found = forecast_scores.scores(wanted, np.repeat(100.0 * series[:, None], 1, axis=1), series, np.ones(60))
    assert abs(found["r2"]) < 0.1


def test_steps_are_scored_one_by_one() -> None:
    wanted, _, series, units = data()
    forecast = wanted.copy()
    forecast[:, 1] += 1
    steps = forecast_scores.scores(wanted, forecast, series, units)["by_step"]
    assert steps[0] == {"r2": 1.0, "mean_absolute_error": 0.0} and steps[1]["mean_absolute_error"] == pytest.approx(2)


def test_a_comparison_sees_what_is_there_and_says_when_it_cannot() -> None:
    wanted, forecast, series, units = data()
    worse = wanted + 2 * (forecast - wanted)
    names = {"first_name": "ours", "second_name": "theirs"}
    assert forecast_scores.compare(wanted, forecast, worse, series, units, **names)["code"] == "better"
    assert forecast_scores.compare(wanted, worse, forecast, series, units, **names)["code"] == "worse"
    assert forecast_scores.compare(wanted, forecast, forecast, series, units, **names)["code"] == "not_distinguishable"
    few = forecast_scores.compare(wanted[:5], forecast[:5], worse[:5], series[:5], units[:5], **names)
    assert few["interval95"] is None and "too few origins" in few["sentence"]


def compared(lengths: list[int], horizon: int, *, missing: slice = slice(0)) -> dict:
    """A forecaster with small errors against one with large ones, on series of so many origins each."""
    random, series = np.random.default_rng(0), np.repeat(np.arange(len(lengths)), lengths)
    wanted = random.normal(size=(len(series), horizon))
    first, second = wanted + 0.01, wanted + random.normal(size=wanted.shape)
    wanted[missing] = np.nan
    return forecast_scores.compare(wanted, first, second, series, np.ones(len(series)), first_name="a",
                                   second_name="b")


@pytest.mark.parametrize("lengths", [[40] * 5 + [2], [9] * 30, [40, 9, 9, 9]])
def test_short_series_leave_an_interval(lengths: list[int]) -> None:
    found = compared(lengths, horizon=12 if 40 not in lengths else 2)
    assert found["code"] == "better" and found["interval95"][1] < 0


def test_two_short_series_are_too_few() -> None:
    assert compared([5, 5], horizon=2)["interval95"] is None


def test_missing_test_values_are_not_compared() -> None:
    found = compared([60], horizon=2, missing=slice(20, 60))
    assert found["code"] == "better" and "20 origins" in found["sentence"] and np.isfinite(found["difference"])
    nothing = compared([60], horizon=2, missing=slice(0, 60))
    assert nothing["difference"] is None and nothing["sentence"].endswith("no test value is known.")
