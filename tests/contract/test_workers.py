"""Several processes train as one does, and a run whose worker was killed ends where it would have ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.contract
TRAIN = ("fine-tune", *"--backbone small_cnn --weights none --image-size 16 --filters 4,8 --network-dropout 0 "
         "--epochs 6 --no-batch-normalisation --batch-size 16 --optimizer sgd --learning-rate 0.01 --reflect no".split())


def toolkit(*arguments: str, **more) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "toolkit", *arguments], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **more)


def probabilities(run: Path) -> np.ndarray:
    return pd.read_csv(run / "predictions.csv").filter(like="probability_").to_numpy()


def children(process: subprocess.Popen) -> list[int]:
    return sorted(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))


def test_two_workers_of_which_one_is_killed_end_as_one_process_does(small_table, tmp_path):
    alone, together = str(tmp_path / "alone"), str(tmp_path / "together")
    process = toolkit(*TRAIN, str(small_table), "--output", alone)
    assert process.communicate() and process.returncode == 0

    launched = ("launch", "--workers", "2", "--", *TRAIN, str(small_table), "--output", together)
    process = toolkit(*launched)
    checkpoints = Path(together, "checkpoints", "member-0")
    while process.poll() is None and not list(checkpoints.glob("checkpoint-*.npz")):
        time.sleep(0.02)
    os.kill(children(process)[1], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75, said
    assert "Worker 1 was killed by SIGKILL, and the others were stopped. Run again with --resume" in said

    process = toolkit(*launched, "--resume")
    report, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "resuming after epoch" in said and report.count("Verdict") == 1
    np.testing.assert_allclose(probabilities(Path(together)), probabilities(Path(alone)), atol=1e-5)
    assert sorted(os.listdir(together)) == sorted(os.listdir(alone))
