"""fine-tune and linear-probe from the command line to the files of a run."""

import csv
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from click.testing import Result

from toolkit.cli import main

Toolkit = Callable[..., Result]
TINY = ("--backbone", "small_cnn", "--weights", "none", "--image-size", "16", "--filters", "4,8")
FINE_TUNE = (*TINY, "--epochs", "1", "--reflect", "no")
FILES = {"predictions.csv", "rejected.csv", "splits.csv", "classes.json", "history.csv", "params.json", "report.json",
         "model.keras"}


def test_fine_tune_prints_the_report_and_writes_the_run(fine_tuned: tuple[Path, Result]) -> None:
    folder, result = fine_tuned
    assert result.exit_code == 0
    assert result.stdout.startswith("fine-tuning on ") and "Verdict: fine-tuning" in result.stdout
    assert "1 row set aside, see " in result.stderr and "fine-tuning: epoch 1 of 1" in result.stderr
    assert {path.name for path in folder.iterdir()} == FILES
    params = json.loads((folder / "params.json").read_text())
    assert params["options"]["unfreeze"] == "probe-first"
    assert params["options"]["backbone_options"] == {"filters": [4, 8]}
    with open(folder / "predictions.csv") as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == [str(row) for row in range(1, 42)]
    assert [line["status"] for line in lines] == ["ok"] * 40 + ["rejected"]
    keras.models.load_model(folder / "model.keras", compile=False)


def test_linear_probe_prints_pure_json(probed: tuple[Path, Result]) -> None:
    folder, result = probed
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((folder / "report.json").read_text())
    assert "fitting logistic regression" in result.stderr


def test_resume_of_a_finished_run_prints_its_report_again(fine_tuned: tuple[Path, Result], photos: Path,
                                                          toolkit: Toolkit) -> None:
    folder, first = fine_tuned
    again = toolkit("fine-tune", photos, "--output", folder, "--resume", *FINE_TUNE)
    assert (again.exit_code, again.stdout) == (0, first.stdout)


def test_resume_with_other_options_is_refused(fine_tuned: tuple[Path, Result], photos: Path, toolkit: Toolkit) -> None:
    refused(toolkit("fine-tune", photos, "--output", fine_tuned[0], "--resume", *FINE_TUNE, "--seed", "1"),
            "seed was 0, now 1")


def refused(result: Result, *words: str) -> None:
    """One line on stderr that holds the words, nothing on stdout, exit code 1."""
    assert (result.exit_code, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: ") and result.stderr.count("Error: ") == 1, result.stderr
    for word in words:
        assert word in last


@pytest.mark.parametrize("command", ["fine-tune", "linear-probe"])
@pytest.mark.parametrize(("content", "words"), [
    (None, ("no-such.csv",)),
    ("", ("empty",)),
    ("path,label\n", ("no",)),
    ("file,label\n0.png,dark\n", ("path",)),
    ("path,label\n0.png,dark\n2.png,dark\n4.png,dark\n", ("dark",)),
    ("path,label\nbroken.png,dark\nno-such.png,light\n", ("none of 2 images can be used",))])
def test_tables_that_cannot_be_used_leave_nothing_behind(command: str, content: str | None, words: tuple[str, ...],
                                                         photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    table = photos.parent / ("no-such.csv" if content is None else "unusable.csv")
    if content is not None:
        table.write_text(content)
    refused(toolkit(command, table, "--output", tmp_path / "run", *TINY), *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (("--backbone", "resnet9000"), ("no backbone 'resnet9000'", "toolkit backbones")),
    (("--backbone", "small_cnn"), ("no ImageNet weights", "none")),
    ((*TINY, "--hidden", "8"), ("--hidden belongs to mlp",)),
    ((*TINY, "--devices", "gpu:99"), ("sees", "GPUs", "--devices cpu")),
    ((*TINY, "--devices", "tpu"), ("tpu", "it must be auto, cpu, gpu")),
    (("--backbone", "resnet18", "--weights", "no-such.pth"), ("no-such.pth",))])
def test_options_that_cannot_be_used_leave_nothing_behind(arguments: tuple[str, ...], words: tuple[str, ...],
                                                          photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    refused(toolkit("fine-tune", photos, "--output", tmp_path / "run", *arguments), *words)
    assert not (tmp_path / "run").exists()


def test_ratios_of_the_splits(photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    table, folder = photos.parent / "unsplit.csv", tmp_path / "run"
    ratios = ("--test-ratio", "0.25", "--validation-ratio", "0.2")
    table.write_text("path,label\n" + "".join(f"{i}.png,{('dark', 'light')[i % 2]}\n" for i in range(40)))
    assert toolkit("linear-probe", table, "--output", folder, *TINY, *ratios).exit_code == 0
    with open(folder / "splits.csv") as file:
        assert Counter(line["split"] for line in csv.DictReader(file)) == {"train": 22, "validation": 8, "test": 10}
    assert json.loads((folder / "params.json").read_text())["table"]["validation_ratio"] == 0.2
    refused(toolkit("linear-probe", table, "--output", tmp_path / "other", *TINY, "--validation-ratio", "0.8"),
            "rows are 0.2 and 0.8", "less than 1 together")


def test_on_bad_image_fail(photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    refused(toolkit("linear-probe", photos, "--output", tmp_path / "run", *TINY, "--on-bad-image", "fail"),
            "broken.png")


def test_existing_outputs_are_refused_before_anything_is_read(fine_tuned: tuple[Path, Result], tmp_path: Path,
                                                              toolkit: Toolkit) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    for output, words in [(fine_tuned[0], "use --resume to continue it"), (tmp_path / "folder", "use another --output"),
                          (tmp_path / "file", "is a file"), (tmp_path / "file" / "run", "cannot be")]:
        refused(toolkit("fine-tune", "no-such.csv", "--output", output), words)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("number", "code", "words"), [
    (signal.SIGTERM, 75, "Stopped by SIGTERM. Run again with --resume to continue."),
    (signal.SIGINT, 130, "model.keras; the same command with --resume continues.")])
def test_signals_leave_a_run_that_can_be_resumed(number: int, code: int, words: str, photos: Path, tmp_path: Path,
                                                 toolkit: Toolkit) -> None:
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with Ctrl-C ignored
    threading.Thread(target=kill_when_there, args=(tmp_path / "run" / "checkpoints", number), daemon=True).start()
    result = toolkit("fine-tune", photos, "--output", tmp_path / "run", *FINE_TUNE, "--epochs", "5000")
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr.splitlines()[-1]
    assert list((tmp_path / "run" / "checkpoints").glob("member-0/checkpoint-*.npz"))
    assert (tmp_path / "run" / "model.keras").exists() == (number == signal.SIGINT)
    assert not (tmp_path / "run" / ".lock").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def kill_when_there(folder: Path, number: int) -> None:
    """Sends this process a signal once a second checkpoint lies in the folder."""
    while not list(folder.glob("member-0/checkpoint-00000002.npz")):
        time.sleep(0.02)
    os.kill(os.getpid(), number)


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, photos: Path, tmp_path: Path,
                                   toolkit: Toolkit) -> None:
    for error in (ZeroDivisionError(), EOFError(), ValueError("not ours")):
        monkeypatch.setattr("toolkit.cli.options.read_table", lambda *_, error=error: (_ for _ in ()).throw(error))
        with pytest.raises((type(error), RuntimeError)):
            toolkit("linear-probe", photos, "--output", tmp_path / "run")


def test_an_error_of_several_lines_is_printed_as_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                     toolkit: Toolkit) -> None:
    from toolkit import ToolkitError

    def refuse(*_: object) -> None:
        raise ToolkitError("one\ntwo")

    monkeypatch.setattr("toolkit.cli.options.read_table", refuse)
    assert toolkit("linear-probe", "table.csv", "--output", tmp_path / "run").stderr == "Error: one two\n"


def test_the_commands_stand_in_the_order_of_use() -> None:
    assert list(main.commands) == [
        "fine-tune", "linear-probe", "spread-labels", "pseudo-label", "fix-match", "mean-teacher",
        "virtual-adversarial", "mix-match", "pretrain-autoencoder", "encode", "find-similar", "denoise", "train-lstm",
        "train-transformer", "generate", "benchmark", "learning-curve", "evaluate", "predict", "compare", "rerun", "show",
        "rank-backbones", "backbones", "doctor", "launch"]
    assert main.list_commands(None) == list(main.commands)
