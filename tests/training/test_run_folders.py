"""Run folders: nothing overwritten, resumed only by the same command on the same data."""

import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from toolkit import ToolkitError
from toolkit.tables import Table, read_table
from toolkit.training import run_folders


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    return read_table(small_table)


def begin(output: Path, table: Table, *, resume: bool = False, **options: object) -> run_folders.RunFolder:
    return run_folders.begin(output, "fine_tune", table, {"seed": 0, **options}, resume=resume)


def test_a_run_is_resumed_by_the_same_command_only(table: Table, tmp_path: Path) -> None:
    output = tmp_path / "run"
    with begin(output, table):
        pass
    with pytest.raises(ToolkitError, match="nothing is overwritten: use --resume"):
        begin(output, table)
    with begin(output, table, resume=True) as folder:
        assert not folder.finished
    with pytest.raises(ToolkitError, match="seed was 0, now 1"):
        begin(output, table, resume=True, seed=1)
    with pytest.raises(ToolkitError, match="holds a run of fine_tune, not of linear_probe"):
        run_folders.begin(output, "linear_probe", table, {"seed": 0}, resume=True)
    with pytest.raises(ToolkitError, match="have changed since"):
        begin(output, table.select(table.labelled("train")), resume=True)


def test_a_folder_of_something_else_is_left_alone(table: Table, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    for resume in (False, True):
        with pytest.raises(ToolkitError, match="not empty"):
            begin(tmp_path, table, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_as_output_is_refused(table: Table, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolkitError, match="is a file"):
        begin(tmp_path / "file", table)


def test_two_processes_cannot_share_a_folder(table: Table, tmp_path: Path) -> None:
    with begin(tmp_path / "run", table):
        code = ("import fcntl, sys\nfile = open(sys.argv[1], 'w')\n"
                "try:\n    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\nexcept OSError:\n    sys.exit(7)")
        assert subprocess.run([sys.executable, "-c", code, tmp_path / "run" / ".lock"]).returncode == 7
        with pytest.raises(ToolkitError, match="in use by another process"):
            begin(tmp_path / "run", table, resume=True)


def test_a_lock_that_was_just_removed_is_no_lock(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, calls = run_folders.fcntl.flock, []

    def after_a_release(file: IO, how: int) -> None:
        if not calls:  # the run before removes its file between our opening and our locking it
            (tmp_path / "run" / ".lock").unlink()
        calls.append(taken(file, how))

    monkeypatch.setattr(run_folders.fcntl, "flock", after_a_release)
    with begin(tmp_path / "run", table):
        assert len(calls) == 2 and (tmp_path / "run" / ".lock").exists()
