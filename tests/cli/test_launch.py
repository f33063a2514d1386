"""launch: what it refuses, and how it ends; tests/contract/test_workers.py trains."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from toolkit.cli import launch, main
from toolkit.training import workers


def invoke(*arguments: str, **environment: str):
    return CliRunner().invoke(main, ["launch", "--workers", "2", "--", *arguments], env=environment)


@pytest.mark.parametrize("command", ["compare", "benchmark", "launch", "no-such"])
def test_a_command_that_does_not_train_is_refused(command):
    result = invoke(command, "x")
    assert result.exit_code == 1
    assert f"launch cannot run '{command}'" in result.output and "fine-tune" in result.output


def test_a_worker_launches_no_workers():
    result = invoke("fine-tune", "x.csv", TF_CONFIG="{}")
    assert result.exit_code == 1 and "TF_CONFIG is set" in result.output


@pytest.fixture
def programs(monkeypatch):
    """Lets each worker run a few lines of Python instead of toolkit."""

    def use(text: str) -> None:
        started = launch.subprocess.Popen

        def start(arguments, **more):
            return started([sys.executable, "-c", text], **more)

        monkeypatch.setattr(launch.subprocess, "Popen", start)

    return use


def test_every_worker_knows_its_place_and_all_must_succeed(programs, tmp_path):
    programs(f"import os, json; c = json.loads(os.environ['TF_CONFIG']); i = c['task']['index'];"
             f"open(r'{tmp_path}/' + str(i), 'w').write(json.dumps(c['cluster']['worker']))")
    result = invoke("fine-tune", "x.csv")
    assert result.exit_code == 0, result.output
    found = [json.loads((tmp_path / str(index)).read_text()) for index in (0, 1)]
    assert found[0] == found[1] and len(set(found[0])) == 2


def test_a_refusal_of_one_worker_ends_all(programs):
    programs("import os, sys, time\n"
             "if '\"index\": 1' in os.environ['TF_CONFIG']:\n"
             "    sys.exit('Error: no')\n"
             "time.sleep(60)")
    start = time.monotonic()
    result = invoke("fine-tune", "x.csv")
    assert result.exit_code == 1 and "Worker 1 ended with exit code 1" in result.output
    assert "It said: Error: no" in result.output and time.monotonic() - start < 30


def test_a_killed_worker_is_an_advice_to_resume(programs):
    programs("import os, signal, time\n"
             "if '\"index\": 1' in os.environ['TF_CONFIG']:\n"
             "    os.kill(os.getpid(), signal.SIGKILL)\n"
             "time.sleep(60)")
    result = invoke("fine-tune", "x.csv")
    assert result.exit_code == 75
    assert "Worker 1 was killed by SIGKILL, and the others were stopped. Run again with --resume" in result.output


def test_sigterm_reaches_the_chief_first(programs, tmp_path):
    programs("import os, signal, sys, time\n"
             f"open(r'{tmp_path}/' + str(os.getpid()), 'w').close()\n"
             "time.sleep(60)")
    signal.signal(signal.SIGALRM, lambda number, frame: launch.os.kill(launch.os.getpid(), signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    result = invoke("fine-tune", "x.csv")
    assert result.exit_code == 75 and "Stopped by SIGTERM: all workers have ended" in result.output


@pytest.mark.parametrize("command", ["predict", "benchmark"])
def test_what_does_not_train_is_the_work_of_one_process(command):
    cluster = json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}})
    more = {"predict": ["run", "x.jpg"], "benchmark": ["x.csv", "--output", "run"]}[command]
    workers.this.cache_clear()
    try:
        result = CliRunner().invoke(main, [command, *more], env={"TF_CONFIG": cluster})
    finally:
        workers.this.cache_clear()
    assert result.exit_code == 1 and f"{command} is the work of one process, and this is one of 2" in result.output


def test_workers_end_with_a_launcher_that_was_killed(tmp_path):
    script = ("import subprocess, sys, time; from toolkit.cli import launch; started = subprocess.Popen; "
              "launch.subprocess.Popen = lambda arguments, **more: started([sys.executable, '-c', "
              "'import time; time.sleep(60)'], **more); "
              "print(launch._start(('x',), [1, 2], 0, None).pid, flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as launcher:
        worker = int(launcher.stdout.readline())
        launcher.kill()
    for _ in range(100):
        if not Path(f"/proc/{worker}/cmdline").exists() or not Path(f"/proc/{worker}/cmdline").read_bytes():
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its launcher")
