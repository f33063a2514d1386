"""Weak to strong on cached features: the gradient, the state, what the pool adds."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from recipes import fix_match
from toolkit.semisupervised import trials, weight_rules

pytestmark = pytest.mark.contract

learn = partial(fix_match.consistent, decay=1e-3, unlabelled_weight=1.0, steps=60)


@pytest.fixture(scope="module")
def clusters() -> tuple[trials.Problem, np.ndarray]:
    """Three clusters in eight dimensions, two labelled rows each; strong views are noisier than weak ones."""
    random = np.random.default_rng(0)
    labels = np.arange(300) % 3
    plain = 0.6 * np.eye(3, 8)[labels] + random.normal(0, 0.22, (300, 8))
    views = np.stack([plain + random.normal(0, noise, plain.shape) for noise in (0, 0.05, 0.1, 0.1)]).astype(np.float32)
    return trials.Problem(views[:, :6], labels[:6], views[:, 6:], np.full(3, 1 / 3), num_weak=1), labels[6:]


def right(fit: trials.Fit, problem: trials.Problem, labels: np.ndarray) -> float:
    return float((fit.head.probabilities(problem.pool[0]).argmax(axis=1) == labels).mean())


def test_the_gradient_written_out_is_that_of_the_loss() -> None:
    random = np.random.default_rng(0)
    values, kernel = (tf.constant(random.normal(size=shape), tf.float32) for shape in ((5, 4), (4, 3)))
    targets, weights = tf.nn.softmax(random.normal(size=(5, 3)).astype(np.float32)), tf.constant([1, 0, 0.5, 1, 1.0])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = tf.reduce_mean(weights * tf.nn.softmax_cross_entropy_with_logits(targets, values @ kernel))
    np.testing.assert_allclose(fix_match._slope(values, kernel, targets, weights), tape.gradient(loss, kernel),
                               atol=1e-6)


@pytest.mark.parametrize("rule", ["freematch", "adamatch", "softmatch"])
def test_the_pool_helps_where_there_are_clusters(rule: str, clusters) -> None:
    problem, labels = clusters
    control = right(fix_match.labels_only(problem, decay=1e-3, steps=60), problem, labels)
    assert right(learn(problem, rule=rule), problem, labels) > control


@pytest.mark.parametrize("rule", list(weight_rules.RULES))
def test_every_rule_runs_inside_the_graph_and_repeats(rule: str, clusters) -> None:
    first, second = (learn(clusters[0], rule=rule, steps=4) for _ in range(2))
    np.testing.assert_array_equal(first.head.kernel, second.head.kernel)
    assert np.isfinite(first.head.kernel).all() and len(first.rounds) == 294


def test_the_control_never_looks_at_the_pool(clusters) -> None:
    problem = clusters[0]
    other = trials.Problem(problem.labelled, problem.labels, problem.pool + 1, problem.prior, num_weak=1)
    first, second = (fix_match.labels_only(one, decay=1e-3, steps=10).head for one in (problem, other))
    np.testing.assert_array_equal(first.kernel, second.kernel)
    assert np.abs(learn(problem, steps=10).head.kernel - learn(other, steps=10).head.kernel).max() > 1e-3


def test_a_pool_of_other_shares_is_not_aligned(clusters) -> None:
    """A pool of one class stays so; aligned with the labels, two thirds of it would leave."""
    problem, labels = clusters
    one = trials.Problem(problem.labelled, problem.labels, problem.pool[:, labels == 1], problem.prior, num_weak=1)
    assert (learn(one, decay=0.01, rule="adamatch").pseudo_labels == 1).mean() > 0.95


def test_other_seeds_draw_other_batches(clusters) -> None:
    problem = clusters[0]
    other = trials.Problem(problem.labelled, problem.labels, problem.pool, problem.prior, num_weak=1, seed=1)
    assert np.abs(learn(problem).head.kernel - learn(other).head.kernel).max() > 1e-4


def test_an_unreachable_threshold_uses_nothing(clusters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weight_rules.RULES, "never", partial(weight_rules.fixmatch, threshold=1.01))
    fit = learn(clusters[0], rule="never")
    assert not fit.rounds.any() and fit.history[0]["coverage"] == 0
    control = fix_match.labels_only(clusters[0], decay=1e-3, steps=60)
    np.testing.assert_allclose(fit.head.kernel, control.head.kernel, atol=1e-5)
