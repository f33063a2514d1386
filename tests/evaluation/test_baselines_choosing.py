"""Settings are chosen on held-out training rows, by errors, then by log loss at the best temperature."""

import numpy as np
import pytest
from scipy.special import log_softmax

from toolkit.evaluation.baselines import choosing
from toolkit.evaluation.baselines.temperatures import temperature


def test_large_tables_choose_on_some_rows() -> None:
    labels = np.arange(1000) % 4
    groups = (np.arange(1000) // 8).astype(str)
    held_out = choosing.on_all_rows(labels, groups, 0, max_held_out=100)
    (fitted, out), = held_out.pairs
    assert 60 <= len(out) <= 140 and len(fitted) + len(out) == 1000 and "to the others" in held_out.note
    assert not set(groups[fitted]) & set(groups[out])
    sampled = choosing.on_a_sample(labels, groups, 0, size=90, num_folds=3)
    assert len(sampled.pairs) == 3 and 80 <= len(sampled.rows) <= 92 and "stratified sample of" in sampled.note
    assert all(not set(groups[fitted]) & set(groups[out]) for fitted, out in sampled.pairs)


def test_candidates_are_ranked_by_errors_then_by_log_loss() -> None:
    labels = np.array([0, 1, 1])
    sure, unsure, wrong = (np.log(np.array([[p, 1 - p], [1 - p, p], [q, 1 - q]])) for p, q in
                           ((0.9, 0.1), (0.6, 0.4), (0.99, 0.6)))
    trials = {name: choosing.trial(name, scores, labels, calibrate=False)
              for name, scores in (("wrong", wrong), ("unsure", unsure), ("sure", sure))}
    assert choosing.best(trials, trials.get).candidate == "sure"
    assert choosing.best([], trials.get, trials["unsure"], trials["wrong"]).candidate == "unsure"


def test_temperature_minimises_log_loss_and_doubts() -> None:
    random = np.random.default_rng(0)
    scores = 5 * random.normal(size=(3000, 3))
    labels = np.array([random.choice(3, p=np.exp(log_softmax(row / 2.5))) for row in scores])
    loss, found = temperature(scores, labels, least=1e-4)
    assert found == pytest.approx(2.5, rel=0.1)
    assert loss <= -log_softmax(scores / 2.5, axis=1)[np.arange(3000), labels].mean()
    certain = np.array([[1.0, 0.0, -np.inf], [0.0, 1.0, -np.inf]])
    assert temperature(certain, np.array([0, 1]), least=1e-4)[1] < 0.01
    assert temperature(certain, np.array([0, 1]), least=1e-4, doubt=1)[1] > 0.3
