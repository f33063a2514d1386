"""train-lstm, train-transformer and generate refuse what they cannot do in one line, before anything is trained."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from toolkit.cli import sequences
from toolkit.sequences import tasks


@pytest.mark.parametrize("command", ["train-lstm", "train-transformer", "generate"])
def test_help_answers(toolkit: Callable[..., Result], command: str) -> None:
    result = toolkit(command, "--help")
    assert result.exit_code == 0 and "Usage: " in result.output


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("a,b\n1,2\n", ("--task", "tag"), "no column 'tokens'"),
        ("tokens,tags\na b,N\n", ("--task", "tag"), "row 1: 2 tokens, but 1 tag"),
        ("value\n1\n2\n3\n", ("--task", "forecast"), "has 3 steps"),
        ("value\n1\n2\n3\n", ("--task", "forecast", "--lags", "4", "--season", "12"), "season is 12, but only 4 lags"),
        ("value\n1\n2\n3\n", ("--task", "forecast", "--members", "3"), "--members is for --task classify"),
        ("text\nabc\n", ("--task", "language-model"), "no training rows"),
        ("text,split\n" + "abc,test\nbcd,test\n" * 20, ("--task", "language-model"), "no training rows"),
    ],
)
def test_refusals_leave_no_folder(toolkit: Callable[..., Result], tmp_path: Path, text: str, arguments: tuple,
                                  message: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    result = toolkit("train-lstm", tmp_path / "table.csv", "--output", tmp_path / "run", *arguments)
    assert result.exit_code == 1 and message in result.output
    assert result.output.strip().splitlines()[-1].startswith("Error: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (("--horizon", "3"), "--horizon belongs to other tasks than classify"),
    (("--task", "tag", "--pretrain-epochs", "7"), "--pretrain-epochs is not heard by --task tag"),
    (("--task", "tag", "--max-length", "9"), "--max-length is not heard by --task tag"),
    (("--task", "forecast", "--embedding", "50"), "--embedding is not heard by --task forecast"),
    (("--task", "language-model", "--label-column", "x"), "--label-column is not heard by --task language-model")])
def test_options_that_a_task_does_not_hear_are_refused(toolkit: Callable[..., Result], tmp_path: Path,
                                                       arguments: tuple, message: str) -> None:
    result = toolkit("train-lstm", tmp_path / "table.csv", "--output", tmp_path / "run", *arguments)
    assert result.exit_code == 2 and message in result.output


def test_a_task_hears_all_that_its_table_is_told() -> None:
    assert set(tasks.TASKS) == set(sequences.HEARD)
    for task, names in tasks.ARGUMENTS.items():
        assert set(names) <= set(sequences.HEARD[task])


def test_generate_wants_a_language_model(toolkit: Callable[..., Result], tmp_path: Path) -> None:
    result = toolkit("generate", tmp_path)
    assert result.exit_code == 1 and "holds no report.json" in result.output
    (tmp_path / "report.json").write_text('{"recipe": "LSTM tagger", "task": "tag"}')
    result = toolkit("generate", tmp_path)
    assert result.exit_code == 1 and "a run of LSTM tagger, which writes no text" in result.output
