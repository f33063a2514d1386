"""Mean teacher, virtual adversarial training and MixMatch in feature space: what the pool adds, and a whole run."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from recipes import mean_teacher, mix_match, virtual_adversarial
from toolkit.semisupervised import descent, feature_runs, trials
from toolkit.tables import read_table
from toolkit.training import Settings

pytestmark = pytest.mark.contract

MODULES = {"mean_teacher": (mean_teacher, {"unlabelled_weight": 3.0}),
           "virtual_adversarial": (virtual_adversarial, {"unlabelled_weight": 1.0, "radius": 0.5}),
           "mix_match": (mix_match, {"unlabelled_weight": 7.5})}


@pytest.fixture(scope="module", params=list(MODULES))
def method(request: pytest.FixtureRequest) -> tuple[ModuleType, dict[str, float]]:
    return MODULES[request.param]


@pytest.fixture(scope="module")
def clusters() -> tuple[trials.Problem, np.ndarray]:
    """Three clusters in eight dimensions, two labelled rows each; strong views are noisier than weak ones."""
    random = np.random.default_rng(0)
    labels = np.arange(300) % 3
    plain = 0.6 * np.eye(3, 8)[labels] + random.normal(0, 0.22, (300, 8))
    views = np.stack([plain + random.normal(0, noise, plain.shape) for noise in (0, 0.05, 0.1, 0.1)]).astype(np.float32)
    return trials.Problem(views[:, :6], labels[:6], views[:, 6:], np.full(3, 1 / 3), num_weak=1), labels[6:]


def fitted(method: tuple[ModuleType, dict[str, float]], problem: trials.Problem, **changes: Any) -> trials.Fit:
    module, settings = method
    return module.on_features(problem, **{"decay": 1e-3, "steps": 100, **settings, **changes})


def right(fit: trials.Fit, problem: trials.Problem, labels: np.ndarray) -> float:
    return float((fit.head.probabilities(problem.pool[0]).argmax(axis=1) == labels).mean())


def test_the_pool_helps_where_there_are_clusters(method, clusters) -> None:
    problem, labels = clusters
    control = descent.labels_only(problem, decay=1e-3, steps=100)
    assert right(fitted(method, problem), problem, labels) >= right(control, problem, labels)
    assert not control.rounds.any() and fitted(method, problem, steps=2).rounds.all()


def test_a_fit_repeats_and_other_seeds_draw_otherwise(method, clusters) -> None:
    problem = clusters[0]
    other = trials.Problem(problem.labelled, problem.labels, problem.pool, problem.prior, num_weak=1, seed=1)
    first, second, third = (fitted(method, one, steps=10).head.kernel for one in (problem, problem, other))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).max() > 1e-4


def test_the_control_never_looks_at_the_pool(method, clusters) -> None:
    problem = clusters[0]
    other = trials.Problem(problem.labelled, problem.labels, problem.pool + 1, problem.prior, num_weak=1)
    first, second = (descent.labels_only(one, decay=1e-3, steps=10).head for one in (problem, other))
    np.testing.assert_array_equal(first.kernel, second.kernel)
    assert np.abs(fitted(method, problem).head.kernel - fitted(method, other).head.kernel).max() > 1e-3


def test_an_empty_pool_leaves_the_control(method, clusters) -> None:
    problem = clusters[0]
    alone = trials.Problem(problem.labelled, problem.labels, problem.pool[:, :0], problem.prior, num_weak=1)
    np.testing.assert_array_equal(fitted(method, alone).head.kernel,
                                  descent.labels_only(alone, decay=1e-3, steps=100).head.kernel)


def test_the_direction_written_out_is_the_gradient_of_the_divergence() -> None:
    random = np.random.default_rng(0)
    values, kernel = (tf.constant(random.normal(size=shape), tf.float32) for shape in ((5, 4), (4, 3)))
    step = tf.constant(random.normal(size=(5, 4)), tf.float32)
    fixed = tf.nn.softmax(values @ kernel)
    with tf.GradientTape() as tape:
        tape.watch(step)
        divergence = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(fixed, (values + step) @ kernel))
    written = (tf.nn.softmax((values + step) @ kernel) - fixed) @ tf.transpose(kernel)
    np.testing.assert_allclose(tape.gradient(divergence, step), written, atol=1e-5)


def test_rows_of_length_one() -> None:
    values = np.array([[3.0, 4.0], [0.0, 0.0], [1e-25, 0.0]], np.float32)
    np.testing.assert_allclose(virtual_adversarial.unit(values), [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6)


def test_sharpening_keeps_the_order_and_lowers_the_entropy() -> None:
    found = mix_match.sharpened(np.array([[0.6, 0.3, 0.1]]))
    np.testing.assert_allclose(found, np.array([[0.36, 0.09, 0.01]]) / 0.46, rtol=1e-6)


def test_descent_reaches_the_regularised_optimum(clusters) -> None:
    problem = clusters[0]
    kernel = descent.learn(problem, descent.supervised, {}, decay=0.1, steps=600, use_pool=False).head
    values = descent._extended(problem.labelled[:2]).reshape(-1, 9)
    found = np.concatenate([kernel.kernel, kernel.bias[None]]) / descent.SCALE
    errors = kernel.probabilities(problem.labelled[:2].reshape(-1, 8)) - np.tile(problem.targets, (2, 1))
    slope = values.T @ errors / len(values) + 0.1 * found * np.array([1.0] * 8 + [0.0])[:, None]
    assert np.abs(slope).max() < 0.02  # batches are drawn, so not zero


@pytest.mark.parametrize("name", list(MODULES))
def test_a_whole_run(name: str, small_table: Path, tmp_path: Path) -> None:
    settings = Settings(backbone="small_cnn", weights="none", image_size=16, reflect="no", devices="cpu",
                        backbone_options={"filters": (4, 8)})
    report = MODULES[name][0].run(read_table(small_table), output=tmp_path / "run", settings=settings, steps=20,
                                  strong_copies=1)
    assert report["control"] == feature_runs.LABELS_ONLY and report["unlabelled"]["rows"] == 12
    assert len(pd.read_csv(tmp_path / "run" / "pseudo_labels.csv")) == 12
