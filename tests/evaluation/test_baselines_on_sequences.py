"""Baselines on texts and series, and what they look at."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from toolkit import ToolkitError
from toolkit.evaluation import ngrams, series_features
from toolkit.evaluation.baselines import METHODS, logistic_regression, on_sequences, rocket
from toolkit.evaluation.baselines.naive_bayes import naive_bayes_logistic_regression
from toolkit.evaluation.baselines.ridge import ridge_regression
from toolkit.evaluation.baselines.warping import WINDOWS, distances, dynamic_time_warping
from toolkit.tables import read_table

ON_TEXTS = ("logistic regression", "LDA", "naive Bayes logistic regression", "nearest neighbours", "majority class")
ON_SERIES = ("logistic regression", "LDA", "nearest neighbours", "dynamic time warping", "ridge regression")


def reviews(count: int, classes: int = 2) -> tuple[list[str], np.ndarray]:
    """Sentences of random words, one of which is of their class."""
    random, labels = np.random.default_rng(count), np.arange(count) % classes
    words = [f"w{number}" for number in range(30)]
    return [" ".join([*random.choice(words, 6), f"class{label}", "."]) for label in labels], labels


def waves(count: int, *, length: int = 24, channels: int = 1) -> tuple[list[np.ndarray], np.ndarray]:
    """Bumps, wide or narrow, at random places in series of unequal lengths, with noise and gaps."""
    random, labels = np.random.default_rng(count), np.arange(count) % 2
    series = []
    for label in labels:
        steps = np.arange(length - int(random.integers(0, 5)))[:, None]
        values = np.exp(-((steps - random.integers(9, 15)) / (1.5 + 3 * label)) ** 2)
        values = np.repeat(values, channels, axis=1) + 0.05 * random.normal(size=(len(steps), channels))
        values[random.integers(0, len(steps), 2)] = np.nan
        series.append(values.astype(np.float32))
    return series, labels


# ---- Any of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "method"), [*(("text", name) for name in ON_TEXTS), *(("series", name)
                                                                                       for name in ON_SERIES)])
def test_learns_and_repeats(kind, method):
    (inputs, labels), (others, truth) = (reviews(80), reviews(61)) if kind == "text" else (waves(60), waves(41))
    model = on_sequences.fit(method, kind, inputs, labels, 3, seed=1)
    found = model.probabilities(others)
    assert found.shape == (len(others), 3) and found[:, 2].max() < 0.1
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == truth).mean() > (0.4 if method == "majority class" else 0.85)
    again = on_sequences.fit(method, kind, inputs, labels, 3, seed=1)
    np.testing.assert_array_equal(found, again.probabilities(others))
    assert model.probabilities([]).shape == (0, 3) and model.name == on_sequences.named(method, kind)


@pytest.mark.parametrize(("kind", "method"), [("text", name) for name in ON_TEXTS] + [("series", name)
                                                                                     for name in ON_SERIES])
def test_one_row_and_one_class(kind, method):
    inputs, labels = reviews(3) if kind == "text" else waves(3)
    for count in (1, 3):
        model = on_sequences.fit(method, kind, inputs[:count], np.zeros(count, int), 2)
        np.testing.assert_allclose(model.probabilities(inputs)[:, 0].min(), 1, atol=1e-9)
    assert np.isfinite(on_sequences.fit(method, kind, inputs, labels, 2).probabilities(inputs)).all()


def test_every_method_on_features_works_on_texts_and_series():
    for kind, (inputs, labels) in (("text", reviews(30)), ("series", waves(30))):
        for method in METHODS:
            assert np.isfinite(on_sequences.fit(method, kind, inputs, labels, 2).probabilities(inputs[:5])).all()


def test_contents_of_a_table(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nb,x\na,y\n")
    table = read_table(tmp_path / "a.csv")
    assert on_sequences.contents(table, np.array([1, 0])) == table.inputs[[1, 0]].tolist()
    (tmp_path / "b.csv").write_text("values,label\n1 2,x\n3,y\n")
    table = read_table(tmp_path / "b.csv")
    assert sorted(map(len, on_sequences.contents(table, np.arange(2)))) == [1, 2]


def test_mini_rocket(monkeypatch):
    inputs, labels = waves(40)
    if rocket.is_installed():
        model = on_sequences.fit("MiniRocket", "series", inputs, labels, 2)
        others, truth = waves(31)
        assert (model.probabilities(others).argmax(axis=1) == truth).mean() > 0.9
    monkeypatch.setattr(rocket, "is_installed", lambda: False)
    assert "MiniRocket" not in on_sequences.controls("series")
    with pytest.raises(ToolkitError, match="needs the package aeon"):
        on_sequences.fit("MiniRocket", "series", inputs, labels, 2)


# ---- Texts -----------------------------------------------------------------------------------------------------------


def test_ngrams_are_weighted_as_written_above():
    known = ngrams.words_and_characters(["a b a", "b c"])
    words = known.vectorizers[0].vocabulary_
    row = known(["a b a"]).toarray()[0, :len(words)]
    ratio = (1 + np.log(2)) * (1 + np.log(3 / 2)) / (1 + np.log(3 / 3))
    assert row[words["a"]] / row[words["b"]] == pytest.approx(ratio, rel=1e-5)
    assert (row ** 2).sum() == pytest.approx(1) and {"a b", "b a", "b c"} <= set(words)
    assert known([""]).nnz == 0 and known(["unheard"]).shape == known(["a"]).shape


def test_many_or_long_texts_leave_ngrams_out(monkeypatch):
    texts = ["common word", "common thing", "rare"]
    monkeypatch.setattr(ngrams, "MANY_TEXTS", 2)
    assert set(ngrams.binary_words(texts).vectorizers[0].vocabulary_) == {"common"}
    assert len(ngrams.binary_words(["one", "two", "three"]).vectorizers[0].vocabulary_) == 3  # none is in two
    monkeypatch.setattr(ngrams, "MOST_CHARACTERS", 5)
    known = ngrams.words_and_characters(texts)
    assert len(known.vectorizers) == 1 and "only words" in known.details["approximation"]


def test_logistic_regression_on_sparse_features_is_scikit_learns():
    features = sparse.random(60, 40, density=0.2, random_state=0, format="csr")
    labels = (features @ np.arange(40) > np.median(features @ np.arange(40))).astype(int)
    model = logistic_regression(features, labels, 2)
    direct = LogisticRegression(C=model.details["C"], tol=1e-6, max_iter=1000).fit(features, labels)
    np.testing.assert_allclose(model.probabilities(features), direct.predict_proba(features), atol=1e-3)


def test_naive_bayes_weights_are_log_count_ratios():
    """One word that both classes share and one of each: the weight of the shared one is next to nothing."""
    features = sparse.csr_matrix(np.array([[1, 1, 0]] * 6 + [[1, 0, 1]] * 6))
    model = naive_bayes_logistic_regression(features, np.arange(12) // 6, 2)
    weights = model.kernel[:, 1] - model.kernel[:, 0]
    assert weights[1] < -0.5 and weights[2] > 0.5 and abs(weights[0]) < 1e-6
    three = naive_bayes_logistic_regression(sparse.csr_matrix(np.eye(3)[np.arange(12) % 3]), np.arange(12) % 3, 4)
    assert three.probabilities(np.eye(3)).argmax(axis=1).tolist() == [0, 1, 2]


# ---- Series ----------------------------------------------------------------------------------------------------------


def test_a_frame_fills_gaps_and_evens_lengths():
    series = [np.array([[np.nan, 1], [0, np.nan], [np.nan, np.nan], [4, np.nan]]), np.array([[2, np.nan]])]
    known = series_features.frame(series)
    found = known(series) * known.scales + known.means
    np.testing.assert_allclose(found[0], [[0, 1], [0, 1], [2, 1], [4, 1]], atol=1e-6)
    np.testing.assert_allclose(found[1], [[2, 1]] * 4, atol=1e-6)  # the second channel has no value: the mean
    assert np.isfinite(known([np.full((1, 2), np.nan)])).all()


def test_a_long_series_is_cut_to_fewer_steps(monkeypatch):
    monkeypatch.setattr(series_features, "MOST_NUMBERS", 10)
    known = series_features.frame([np.arange(101.0)[:, None]])
    np.testing.assert_allclose((known.flat([np.arange(101.0)[:, None]]) * known.scales + known.means)[0],
                               np.linspace(0, 100, 10), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [0, 1, 3, 20])
@pytest.mark.parametrize("length", [1, 2, 7, 20])
def test_warped_distances_are_those_of_the_recursion(window, length):
    def direct(a, b):
        table = np.full((length + 1, length + 1), np.inf)
        table[0, 0] = 0
        for i in range(length):
            for j in range(max(0, i - window), min(length, i + window + 1)):
                table[i + 1, j + 1] = ((a[i] - b[j]) ** 2).sum() + min(table[i, j + 1], table[i + 1, j], table[i, j])
        return table[-1, -1]

    random = np.random.default_rng(length)
    first, second = random.normal(size=(3, length, 2)), random.normal(size=(4, length, 2))
    np.testing.assert_allclose(distances(first, second, window), [[direct(a, b) for b in second] for a in first],
                               rtol=1e-5)


def test_the_window_is_as_wide_as_the_shift():
    random = np.random.default_rng(0)
    series = np.zeros((40, 50, 1))
    labels = np.arange(40) % 2
    for row, label in enumerate(labels):
        start = random.integers(5, 40)
        series[row, start:start + 5, 0] = (1, 2, 3, 4, 5) if label else (5, 4, 3, 2, 1)
    model = dynamic_time_warping(series, labels, 2)
    assert model.details["window"] > 0 and model.details["window"] in WINDOWS
    assert dynamic_time_warping(series, labels, 2, groups=np.array(["g"] * 40)).details["rows_to_choose"] == 0


def test_warping_cuts_what_would_take_too_long(monkeypatch):
    monkeypatch.setattr("toolkit.evaluation.baselines.warping.MAX_WORK", 500)
    monkeypatch.setattr("toolkit.evaluation.baselines.warping.MAX_STEPS", 12)
    inputs, labels = waves(60)
    model = on_sequences.fit("dynamic time warping", "series", inputs, labels, 2)
    assert "one of 2 time steps" in model.details["approximation"] and model.details["rows"] < 60
    assert np.isfinite(model.probabilities(inputs)).all()


def test_ridge_leaves_each_row_out_in_closed_form(monkeypatch):
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(30, 50)), np.arange(30) % 3
    features[:, 0] += 3 * labels
    monkeypatch.setattr("toolkit.evaluation.baselines.ridge.GRID", (0.1,))
    scaled = (features - features.mean(axis=0)) / features.std(axis=0) / np.sqrt(50)
    left_out = []
    for row in range(30):
        others = np.arange(30) != row
        fit = Ridge(alpha=0.1).fit(scaled[others], np.eye(3)[labels[others]])
        left_out.append(fit.predict(scaled[row:row + 1]).argmax() == labels[row])
    model = ridge_regression(features, labels, 3)
    assert model.details["cross_validated_accuracy"] == pytest.approx(np.mean(left_out))
    full = Ridge(alpha=0.1).fit(scaled, np.eye(3)[labels]).predict(scaled)
    np.testing.assert_array_equal(model.probabilities(features).argmax(axis=1), full.argmax(axis=1))


def test_ridge_samples_a_large_table(monkeypatch):
    monkeypatch.setattr("toolkit.evaluation.baselines.ridge.MAX_ROWS", 20)
    model = ridge_regression(np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 2, 2)
    assert model.details["rows"] == 20 and "sample of 20" in model.details["approximation"]
