"""From labels on a graph to a classifier: hidden rows stay hidden, and what is chosen is chosen by them."""

import dataclasses

import numpy as np
import pytest
from scipy.special import softmax

from toolkit.semisupervised import graph, pools, spreading


def made(labelled: int = 12, rows: int = 150, *, align: bool = True, order: np.ndarray | None = None
         ) -> tuple[spreading.Rows, np.ndarray, np.ndarray]:
    """A graph of three overlapping classes, the features and the true classes."""
    random = np.random.default_rng(0)
    truth = np.arange(rows) % 3
    features = (2 * random.normal(size=(3, 6))[truth] + random.normal(size=(rows, 6))).astype(np.float32)
    labels = np.where(np.arange(rows) < labelled, truth, -1)
    return spreading.join(features, labels, 3, neighbours=10, align=align), features, truth


@pytest.mark.parametrize("method", spreading.METHODS)
def test_spread_labels_find_the_classes(method: str) -> None:
    rows, _, truth = made()
    found = spreading.spread(rows, rows.labels, method)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)
    assert (found.argmax(axis=1) == truth).mean() > 0.9
    np.testing.assert_allclose(np.exp(found[12:]).mean(axis=0), rows.shares, atol=0.02)


def test_copies_are_one_node() -> None:
    """Nine copies of a labelled row change nothing for the others."""
    rows, features, truth = made()
    many = np.concatenate([np.zeros(8, int), np.arange(150)])  # of the first row, which is labelled
    for copies in (rows.labels[many], np.concatenate([np.full(8, -1), rows.labels])):
        found = spreading.join(features[many], copies, 3, neighbours=10, align=True, contents=many)
        assert found.weights.shape == (150, 150) and found.nodes[:9].tolist() == [0] * 9
        spread = spreading.spread(found, copies, "poisson")
        assert (spread[:9] == spread[0]).all() and (spread[8:].argmax(axis=1) == truth).mean() > 0.9
    plain = spreading.join(features, rows.labels, 3, neighbours=10, align=True, contents=np.arange(150))
    assert (plain.weights != rows.weights).nnz == 0 and plain.nodes.tolist() == list(range(150))


def test_labels_of_hidden_rows_change_nothing() -> None:
    rows, features, truth = made()
    folds = pools.hidden_folds(rows.labels[:12], 3)
    kept, out = folds[0]
    changed = rows.labels.copy()
    changed[out] = (changed[out] + 1) % 3
    other = dataclasses.replace(rows, labels=changed)
    _, first = spreading.choose(rows, features, folds[:1], ["poisson"])
    choice, second = spreading.choose(other, features, folds[:1], ["poisson"])
    hidden = np.where(np.isin(np.arange(len(truth)), out), -1, rows.labels)
    found = spreading.spread(rows, hidden, "poisson")[out] / choice.temperature
    np.testing.assert_allclose(second.spread, np.exp(found) / np.exp(found).sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(first.spread.argmax(axis=1), second.spread.argmax(axis=1))
    np.testing.assert_array_equal(first.distances, second.distances)


def test_the_choice_is_that_of_the_least_loss_on_hidden_rows() -> None:
    rows, features, truth = made()
    folds = pools.hidden_folds(rows.labels[:12], 3)
    choice, hidden = spreading.choose(rows, features, folds, list(spreading.TO_CHOOSE_FROM))
    assert choice.method in spreading.TO_CHOOSE_FROM and choice.penalty in spreading.PENALTIES
    assert sorted(hidden.rows) == list(range(12)) and hidden.classifier.shape == (12, 3)
    assert (hidden.classifier.argmax(axis=1) == truth[hidden.rows]).mean() > 0.7
    assert (hidden.distances > 0).all()
    nothing, empty = spreading.choose(rows, features, [], ["laplace"])
    assert nothing == spreading.Choice("laplace") and len(empty.rows) == 0


def test_the_classifier_weighs_confident_rows() -> None:
    rows, features, truth = made()
    spread = np.exp(spreading.spread(rows, rows.labels, "poisson"))
    every = spreading.fit(rows, rows.labels, spread, spreading.Choice())
    none = spreading.fit(rows, rows.labels, spread, spreading.Choice(threshold=1.01))
    assert (every.details["rows"], none.details["rows"]) == (150, 12)
    assert (every.probabilities(features).argmax(axis=1) == truth).mean() > 0.9


def test_distances_are_to_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made()[0]
    expected = np.linalg.norm(rows.units[12:, None] - rows.units[None, :12], axis=2).min(axis=1)
    monkeypatch.setattr(spreading.neighbours_, "NUMBERS_AT_ONCE", 100)
    np.testing.assert_allclose(spreading.distances(rows.units[12:], rows.units[:12]), expected, atol=1e-3)
    assert spreading.distances(rows.units[:0], rows.units[:12]).shape == (0,)


def collapse(kind: str, seed: int) -> dict:
    """The audit after spreading 15 labels a class to a pool of 200 rows that is clean or spoilt."""
    random = np.random.default_rng(seed)
    centres = 5 * random.normal(size=(3, 8))
    truth = np.concatenate([np.arange(45) % 3, np.arange(200) % 3])
    if kind == "one class":
        truth[45:] = 1
    features = (centres[truth] + random.normal(size=(245, 8))).astype(np.float32)
    labels = np.where(np.arange(245) < 45, truth, -1)
    if kind == "foreign":
        features[145:] += 10 * random.normal(size=8)
    if kind == "flipped":
        labels[:45] = random.permutation(labels[:45])
    shares = spreading.class_shares.of_labels(labels[:45], 3)
    rows = spreading.join(features, labels, 3, neighbours=8,
                          align=not spreading.class_shares.differ(truth[45:], shares))  # as a good control would see it
    choice, hidden = spreading.choose(rows, features, pools.hidden_folds(labels[:45], 3), ["poisson"], ["linear"])
    choice = dataclasses.replace(choice, threshold=1.01 if kind == "threshold" else 0.0)
    spread = softmax(spreading.spread(rows, labels, "poisson") / choice.temperature, axis=1)
    return spreading.audited(rows, choice, hidden, spread, ("ant", "bee", "cat"))


@pytest.mark.parametrize(("kind", "begins"), [
    ("one class", "One class swallows the pseudo-labels"),
    ("threshold", "Mask rate near zero"), ("flipped", "Low precision"), ("foreign", "Foreign pool")])
def test_planted_collapses_fire_the_right_alarm(kind: str, begins: str) -> None:
    for seed in range(3):
        alarms = collapse(kind, seed)["alarms"]
        assert any(alarm.startswith(begins) for alarm in alarms), alarms


def test_a_clean_pool_fires_none() -> None:
    assert [collapse("clean", seed)["alarms"] for seed in range(5)] == [[]] * 5


def rings(rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Points on two rings, one in the other: no line parts them. Features (n, 2) and classes."""
    random, truth = np.random.default_rng(0), np.arange(rows) % 2
    angles = random.uniform(0, 2 * np.pi, rows)
    return ((1 + 2 * truth) * np.stack([np.cos(angles), np.sin(angles)]) + 0.1 * random.normal(size=(2, rows))
            ).T.astype(np.float32), truth


def test_a_hidden_layer_is_chosen_where_no_line_parts_the_classes() -> None:
    features, truth = rings()
    labels = np.where(np.arange(400) < 40, truth, -1)
    units = (features / np.abs(features).max()).astype(np.float32)
    rows = spreading.join(features, labels, 2, neighbours=8, align=True)
    ring = np.abs(np.linalg.norm(units, axis=1)[:, None] - np.linalg.norm(units, axis=1)[None])
    nearest = np.argsort(ring + np.eye(400) * 9, axis=1)[:, :8]
    rows = dataclasses.replace(rows, weights=graph.weights(nearest, np.take_along_axis(ring, nearest, axis=1)))
    folds = pools.hidden_folds(labels[:40], 2)
    for classifiers, chosen in ((spreading.CLASSIFIERS, "mlp"), (("linear",), "linear")):
        choice, hidden = spreading.choose(rows, features, folds, ["poisson"], classifiers)
        assert choice.classifier == chosen
        right = (hidden.classifier.argmax(axis=1) == hidden.labels).mean()
        assert right > 0.95 if chosen == "mlp" else right < 0.8
    few, none = spreading.choose(rows, features, [], ["poisson"])
    assert few.classifier == "linear" and len(none.rows) == 0


def test_overlapping_classes_need_no_hidden_layer() -> None:
    rows, features, truth = made(labelled=30)
    folds = pools.hidden_folds(rows.labels[:30], 3)
    found = {name: spreading.choose(rows, features, folds, ["poisson"], [name])[1].classifier.argmax(axis=1)
             for name in spreading.CLASSIFIERS}
    assert (found["mlp"] == found["linear"]).mean() > 0.85
