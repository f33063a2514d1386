"""The forecasting network starts as linear autoregression, and its model holds the scale of each series."""

import keras
import numpy as np
import pytest

from toolkit.sequences import forecast_baselines, forecasting, step_networks, windows
from toolkit.tables.time_series import TimeSeries


def table(far: float = 0.0) -> TimeSeries:
    random = np.random.default_rng(0)
    series = tuple(scale * (np.sin(np.arange(120) / 2) + random.normal(size=120) / 5) + scale + far
                   for scale in (1.0, 50.0))
    times = tuple(map(str, range(120)))
    return TimeSeries(("a", "b"), series, (times, times), (np.arange(120), np.arange(120, 240)), (), (), "x.csv", {})


@pytest.mark.parametrize("far", [0.0, 1e9])  # a counter: its values are large beside their deviation
@pytest.mark.parametrize("network", step_networks.NETWORKS)
def test_an_untrained_network_is_linear_autoregression(network: str, far: float) -> None:
    found = windows.cut(table(far), lags=6, horizon=2)
    train, test = found.parts["train"], found.parts["test"]
    linear = forecast_baselines.linear_autoregression(train.known, train.wanted)
    keras.utils.set_random_seed(0)
    model = forecasting.build(network, linear, {"units": 8, "heads": 2, "num_layers": 1})
    np.testing.assert_allclose(forecasting.predict(model, test.known), linear(test.known), atol=1e-5)
    whole = forecasting.from_values(model, table(far), found)
    names = np.array([["a"], ["b"]], object)
    values = np.stack([series[-6:] for series in found.values])
    scaled = (values - found.means[:, None]) / found.scales[:, None]
    expected = linear(scaled) * found.scales[:, None] + found.means[:, None]
    given = [keras.ops.convert_to_tensor(names, "string"), keras.ops.convert_to_tensor(values)]
    np.testing.assert_allclose(whole(given).numpy() - far, expected - far, rtol=1e-3, atol=1e-3)
