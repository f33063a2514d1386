"""Who takes part in a run, and what is whose."""

import json

import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.training import workers


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    workers.this.cache_clear()
    yield
    workers.this.cache_clear()


def config(cluster: dict, kind: str = "worker", index: int = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize("text, expected", [
    (config({"worker": ["a:1", "b:1"]}, index=1), workers.Worker(1, 2)),
    (config({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "chief"), workers.Worker(0, 3)),
    (config({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, index=1), workers.Worker(2, 3)),
    (config({"worker": ["a:1"]}), workers.Worker(0, 1)),
    ("{}", workers.Worker(0, 1)), ("", workers.Worker(0, 1)),
])
def test_tf_config_says_which_worker_this_is(monkeypatch, text, expected):
    monkeypatch.setenv("TF_CONFIG", text)
    assert workers.this() == expected


@pytest.mark.parametrize("text, words", [
    ("{", "cannot be read"), ("[1]", "cannot be read"), (config({"worker": ["a:1"]}, index=1), "worker 1 of 1"),
    (config({"worker": ["a:1"], "ps": ["b:1"]}), "names the jobs ps, worker"),
    (config({"worker": ["a:1", "b:1"]}, "evaluator"), "evaluator"),
])
def test_a_tf_config_that_makes_no_sense_is_refused_in_a_sentence(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ToolkitError, match=words):
        workers.this()


def test_a_step_of_slurm_says_which_worker_this_is(monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert workers.this() == workers.Worker()  # a batch script, not a step
    workers.this.cache_clear()
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    assert workers.this() == workers.Worker(3, 4) and not workers.this().is_chief


@pytest.mark.parametrize("rows", [0, 1, 5, 12])
def test_the_parts_of_all_workers_are_all_rows_in_order(monkeypatch, rows):
    parts = []
    for index in range(3):
        monkeypatch.setenv("TF_CONFIG", config({"worker": ["a:1", "b:1", "c:1"]}, index=index))
        workers.this.cache_clear()
        parts.append(workers.own(np.arange(rows)))
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(rows))


def test_alone_nothing_is_shared():
    values = np.arange(4.0)
    assert workers.gathered(values) is values and workers.of_chief(2.5) == 2.5
    workers.wait()
