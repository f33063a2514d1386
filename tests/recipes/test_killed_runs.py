"""kill -9 at some moments, then --resume: the same weights and the same predictions, bit for bit."""

import hashlib
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MOMENTS = ["step:17", "validation:1", "write:1"]
MORE_MOMENTS = ["step:3", "validation:3", "write:2",
                *(f"seconds:{random.Random(i).uniform(4, 14):.2f}" for i in range(4))]


def run(table: Path, output: Path, moment: str) -> int:
    script = Path(__file__).with_name("killed_run.py")
    return subprocess.run([sys.executable, script, table, output, moment], capture_output=True).returncode


def digests(output: Path) -> tuple[str, str]:
    """SHA-256 of the weights of model.keras and of predictions.csv."""
    import keras

    model = keras.models.load_model(output / "model.keras", compile=False)
    weights = hashlib.sha256(b"".join(weight.numpy().tobytes() for weight in model.weights)).hexdigest()
    return weights, hashlib.sha256((output / "predictions.csv").read_bytes()).hexdigest()


@pytest.mark.contract
@pytest.mark.parametrize("moments", [MOMENTS, pytest.param(MORE_MOMENTS, marks=pytest.mark.slow)])
def test_a_killed_run_ends_as_one_never_killed(moments: list[str], small_table: Path, tmp_path: Path) -> None:
    assert run(small_table, tmp_path / "whole", "never") == 0
    deaths = 0
    for number, moment in enumerate(moments):
        output = tmp_path / f"killed-{number}"
        first = run(small_table, output, moment)
        assert first in (0, -signal.SIGKILL), moment
        assert moment.startswith("seconds") or first == -signal.SIGKILL, moment
        deaths += first == -signal.SIGKILL
        assert run(small_table, output, "never") == 0
        assert digests(output) == digests(tmp_path / "whole"), moment
    assert deaths >= len(moments) - 2
