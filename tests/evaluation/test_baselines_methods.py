"""All methods keep one contract, whatever rows they are given; each equals scikit-learn or its formula."""

import json

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC

from toolkit.evaluation.baselines import METHODS, Classifier, boosting, least_squares, margins
from toolkit.evaluation.baselines.gaussian_machine import gaussian_support_vectors
from toolkit.evaluation.baselines.linear_machine import _Machines
from toolkit.evaluation.baselines.neighbours import nearest_neighbours
from toolkit.evaluation.baselines.radial import Bumps, radial_basis_functions
from toolkit.evaluation.baselines.scales import EACH, ONE, scale

LEARNERS = [name for name in METHODS if name != "majority class"]
NEW = LEARNERS[2:]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boosting gives up soon: fewer trees in every test."""
    monkeypatch.setattr(boosting, "PATIENCE", 5)


def clouds(count: int, num_features: int = 6, num_classes: int = 3, *, distance: float = 2.0,
           seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One Gaussian cloud a class."""
    random = np.random.default_rng(seed)
    means = distance * random.normal(size=(num_classes, num_features))
    labels = np.arange(count) % num_classes
    return means[labels] + random.normal(size=(count, num_features)), labels


def assert_probabilities(classifier: Classifier, features: np.ndarray, num_classes: int) -> np.ndarray:
    probabilities = classifier.probabilities(features)
    assert probabilities.shape == (len(features), num_classes) and probabilities.dtype == np.float64
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-9)
    assert json.loads(json.dumps(classifier.details, allow_nan=False)) == classifier.details
    return probabilities


def test_names_are_those_of_the_benchmark() -> None:
    assert list(METHODS) == ["majority class", "logistic regression", "LDA", "nearest neighbours",
                             "radial basis functions", "linear SVM", "Gaussian SVM", "boosted stumps", "boosted trees",
                             "ridge regression"]


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("num_classes", [2, 4])
def test_learns_and_repeats(name: str, num_classes: int) -> None:
    features, labels = clouds(320, num_classes=num_classes)
    train, test = slice(0, 120), slice(120, None)
    first, second = (METHODS[name](features[train], labels[train], num_classes, seed=3) for _ in range(2))
    probabilities = assert_probabilities(first, features[test], num_classes)
    assert (probabilities.argmax(axis=1) == labels[test]).mean() > 0.85
    assert -np.log(probabilities[np.arange(200), labels[test]]).mean() < 0.5
    np.testing.assert_array_equal(probabilities, second.probabilities(features[test]))
    assert first.details == second.details
    assert first.probabilities(features[:0]).shape == (0, num_classes)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("per_class", [1, 2])
def test_few_rows_a_class(name: str, per_class: int) -> None:
    features, labels = clouds(90, 40, distance=3)
    few = slice(0, 3 * per_class)
    probabilities = assert_probabilities(METHODS[name](features[few], labels[few], 5), features, 5)
    assert (probabilities[:, 3:] == 0).all()  # classes without rows
    if name in NEW and "boosted" not in name:
        assert (probabilities.argmax(axis=1) == labels).mean() > 0.8


@pytest.mark.parametrize("name", NEW)
def test_rare_class_beside_frequent_ones(name: str) -> None:
    features, labels = clouds(61, num_classes=2)
    labels[-1] = 3
    probabilities = assert_probabilities(METHODS[name](features, labels, 4), features, 4)
    assert (probabilities[:, 2] == 0).all() and (probabilities[:, 3] > 0).any()


@pytest.mark.parametrize("name", NEW)
def test_odd_features_are_borne(name: str) -> None:
    """Constant, nearly constant, copied and huge features; duplicate rows with other labels; integers, one feature."""
    features, labels = clouds(40, num_classes=2)
    features[:4], labels[:4] = features[0], [0, 1, 0, 1]
    odd = np.column_stack([features, np.full(40, 7.0), 1e9 + features[:, 0] * 1e-9, features[:, 0],
                           features[:, 1] * 1e6])
    for given in (odd, odd[:8], (features * 20 + 128).clip(0, 255).astype(np.uint8), features.astype(np.float16),
                  features[:, :1]):
        assert_probabilities(METHODS[name](given, labels[:len(given)], 2), given, 2)


@pytest.mark.parametrize("name", NEW)
def test_nothing_to_fit(name: str) -> None:
    features, labels = clouds(20, num_classes=2)
    for given, numbers in ((np.ones((20, 3)), labels), (features, np.ones(20, dtype=int))):
        classifier = METHODS[name](given, numbers, 3)
        np.testing.assert_allclose(classifier.probabilities(given)[0], np.bincount(numbers, minlength=3) / 20)
        assert classifier.name == name and "nothing to fit" in classifier.details["notes"][0]


@pytest.mark.parametrize("name", NEW)
def test_wrong_input_is_refused(name: str) -> None:
    features, labels = clouds(10, num_classes=2)
    with pytest.raises(ValueError, match=r"Expected \(n, F\) features"):
        METHODS[name](features, labels[:-1], 2)
    with pytest.raises(ValueError, match=r"Expected labels in 0..0, got 0..1"):
        METHODS[name](features, labels, 1)
    features[3, 2] = np.nan
    with pytest.raises(ValueError, match="Feature 2 is not finite"):
        METHODS[name](features, labels, 2)


@pytest.mark.parametrize("name", ["nearest neighbours", "radial basis functions", "linear SVM", "Gaussian SVM"])
def test_groups_are_held_out_together(name: str) -> None:
    """Features that only tell groups apart look useless once groups are held out, and perfect before."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    features = random.normal(size=(30, 40))[groups] + 0.01 * random.normal(size=(120, 40))
    labels = random.integers(0, 2, 30)[groups]
    assert METHODS[name](features, labels, 2, groups=groups.astype(str)).details["cross_validated_accuracy"] < 0.8
    assert METHODS[name](features, labels, 2).details["cross_validated_accuracy"] > 0.95


@pytest.mark.parametrize("name", ["radial basis functions", "linear SVM", "Gaussian SVM"])
def test_noise_is_not_believed(name: str) -> None:
    random = np.random.default_rng(0)
    classifier = METHODS[name](random.normal(size=(150, 60)), np.arange(150) % 2, 2)
    assert classifier.probabilities(random.normal(size=(300, 60))).max() < 0.85


def test_neighbours_equal_scikit_learn() -> None:
    features, labels = clouds(200, distance=0.7)
    ours = nearest_neighbours(features, labels, 3)
    known = scale(features, ours.details["scale"])
    direct = KNeighborsClassifier(ours.details["k"], algorithm="brute").fit(known(features), labels)
    new = clouds(100, distance=0.7, seed=1)[0]
    count = ours.details["k"]
    if ours.details["weights"] == "equal":
        expected = (count * direct.predict_proba(known(new)) + np.bincount(labels) / 200) / (count + 1)
        np.testing.assert_allclose(ours.probabilities(new), expected, atol=1e-9)
    assert count > 1  # clouds overlap


def test_scale_of_the_features_is_chosen() -> None:
    """One feature tells all, in a unit a thousand times smaller than that of the others; then the other way round."""
    random = np.random.default_rng(0)
    labels = np.arange(150) % 2
    small = np.column_stack([labels + 0.1 * random.normal(size=150), 1000 * random.normal(size=(150, 2))])
    for name in ("nearest neighbours", "radial basis functions", "Gaussian SVM"):
        details = METHODS[name](small, labels, 2).details
        assert details["scale"] == EACH and details["cross_validated_accuracy"] > 0.9, name
    large = np.column_stack([10 * labels + random.normal(size=150), 0.01 * random.normal(size=(150, 30))])
    assert nearest_neighbours(large, labels, 2).details["scale"] == ONE


def test_bumps_are_gaussian() -> None:
    random = np.random.default_rng(0)
    rows, centres = random.normal(size=(20, 5)).astype(np.float32), random.normal(size=(7, 5)).astype(np.float32)
    np.testing.assert_allclose(Bumps(centres, 0.3)(rows), np.exp(-0.3 * cdist(rows, centres) ** 2), rtol=1e-4)


def test_least_squares_equal_scikit_learn() -> None:
    features, labels = clouds(50)
    known = least_squares.sums(lambda rows: rows, features, labels, 3)
    strength = 0.1
    kernel, bias = least_squares.solve(known, np.eye(6), strength)
    alpha = strength * features.var(axis=0).mean() * 50
    direct = Ridge(alpha=alpha).fit(features, np.eye(3)[labels])
    np.testing.assert_allclose(kernel, direct.coef_.T, atol=1e-6)
    np.testing.assert_allclose(bias, direct.intercept_, atol=1e-6)
    rest = least_squares.solve(known - least_squares.sums(lambda rows: rows, features[:9], labels[:9], 3), np.eye(6), 0)
    direct = Ridge(alpha=0).fit(features[9:], np.eye(3)[labels[9:]])
    np.testing.assert_allclose(rest[0], direct.coef_.T, atol=1e-6)


def test_radial_centres_of_many_rows_are_means() -> None:
    features, labels = clouds(300)
    classifier = radial_basis_functions(features, labels, 3, num_centres=10)
    assert classifier.details["centres"] == 10 == len(classifier.bumps.centres)
    assert (classifier.probabilities(features).argmax(axis=1) == labels).mean() > 0.9


@pytest.mark.parametrize("num_classes", [2, 3])
def test_linear_machines_equal_scikit_learn(num_classes: int) -> None:
    features, labels = clouds(120, num_classes=num_classes, distance=0.7)
    machines = _Machines(tolerance=1e-9, max_iterations=5000)
    machines.fit(features, labels, 0.01)
    kernel, bias = machines.fit(features, labels, 0.1)  # from the weaker one
    direct = LinearSVC(C=0.1, dual=False, tol=1e-8).fit(features, labels)
    expected = direct.decision_function(features)
    scores = features @ kernel + bias
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0] if num_classes == 2 else scores, expected, atol=1e-3)
    assert machines.converged


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_margins_equal_scikit_learn(num_classes: int) -> None:
    features, labels = clouds(150, num_classes=num_classes, distance=0.6)
    machine = SVC(gamma=0.2, decision_function_shape="ovo").fit(features, labels)
    kernel = np.exp(-0.2 * cdist(features, features[machine.support_]) ** 2)
    ours = margins.scores(machine, kernel)
    duels = machine.decision_function(features)
    if num_classes == 2:
        np.testing.assert_allclose(ours[:, 1] - ours[:, 0], duels, atol=1e-9)
        return
    first, second = np.triu_indices(num_classes, 1)
    expected = np.zeros((150, num_classes))
    for pair, (one, other) in enumerate(zip(first, second)):
        expected[:, one] -= np.maximum(0, -duels[:, pair])
        expected[:, other] -= np.maximum(0, duels[:, pair])
    np.testing.assert_allclose(ours, expected, atol=1e-9)
    won = ours.max(axis=1) == 0
    assert won.mean() > 0.9
    np.testing.assert_array_equal(ours.argmax(axis=1)[won], machine.predict(features)[won])


def test_gaussian_machine_is_that_of_scikit_learn() -> None:
    features, labels = clouds(150, distance=0.7)
    ours = gaussian_support_vectors(features, labels, 3)
    known = scale(features, ours.details["scale"])
    direct = SVC(C=ours.details["C"], gamma=ours.details["gamma"]).fit(known(features), labels)
    new = clouds(300, distance=0.7, seed=1)[0]
    assert (ours.probabilities(new).argmax(axis=1) == direct.predict(known(new))).mean() > 0.97
    assert ours.details["support_vectors"] == len(direct.support_) and ours.details["converged"]


def test_too_large_a_kernel_is_approximated_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clouds(400, distance=0.8)
    exact = gaussian_support_vectors(features[:200], labels[:200], 3)
    monkeypatch.setattr("toolkit.evaluation.baselines.gaussian_machine.MAX_WORK", 1.0)
    monkeypatch.setattr("toolkit.evaluation.baselines.gaussian_machine.NUM_LANDMARKS", 60)
    near = gaussian_support_vectors(features[:200], labels[:200], 3)
    assert near.name == "Gaussian SVM" and near.details["approximation"] == "Nystroem, 60 landmarks, squared loss"
    assert "200 rows of 6 features" in near.details["reason"] and "approximation" not in exact.details
    accuracies = [(one.probabilities(features[200:]).argmax(axis=1) == labels[200:]).mean() for one in (exact, near)]
    assert accuracies[1] > accuracies[0] - 0.05


def test_too_many_rows_to_boost_are_sampled_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "WORK", 3 * 3 * 6 * 50 * 100.0)
    monkeypatch.setattr(boosting, "MIN_ROWS", 30)
    features, labels = clouds(200)
    details = METHODS["boosted trees"](features, labels, 3, groups=np.arange(200).astype(str)).details
    assert details["approximation"] == "fitted on a stratified sample of 50 of the 200 rows"
    assert details["rounds"] <= 100 and "too much work" in details["reason"]


def test_boosting_of_large_tables_keeps_the_held_out_rows_out(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clouds(200)
    small = METHODS["boosted stumps"](features, labels, 3).details
    assert small["rows"] == 200 and small["rows_to_choose"] == 20 and small["leaves"] == 2
    monkeypatch.setattr(boosting, "MAX_ROWS_TO_FIT_AGAIN", 100)
    large = METHODS["boosted stumps"](features, labels, 3).details
    assert large["rows"] == 180 and "20 of the 200 rows" in large["notes"][0]
    assert large["rounds"] == small["rounds"] > boosting.PATIENCE


def test_a_used_up_budget_of_rounds_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(boosting.KINDS, boosting.TREES, boosting.Trees(boosting.TREES, 17, 0.1, 3, 3))
    details = METHODS["boosted trees"](*clouds(100), 3).details
    assert details["rounds"] == 3 and not details["converged"] and "used up" in details["notes"][0]


def test_unconverged_linear_machine_is_told() -> None:
    details = METHODS["linear SVM"](*clouds(100), 3, max_iterations=1).details
    assert not details["converged"] and "short of its optimum" in details["notes"][-1]
