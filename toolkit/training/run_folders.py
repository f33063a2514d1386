"""The folder of a run: made once, never overwritten, resumed only by the command that began it.

``params.json`` is written first, so that a run killed at any moment can be checked against the command that resumes
it; the report is written last, so that its presence means that the run is complete. Of several workers the chief
writes; the others write into a folder of their own, which goes when they end, and read the chief's checkpoints.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import toolkit
from toolkit import ToolkitError, atomic_files
from toolkit.tables import Table
from toolkit.training import workers

PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "pandas", "pillow")
BEFORE_BEGUN = (".lock", ".params.json.*")  # what a process killed while it began a run may leave


class RunFolder:
    """An open run folder; use ``begin``.

    Attributes:
        path: the folder to write into; what a worker writes that is not the chief is thrown away.
        shared: the folder of the run, from which every worker may read.
        params: what ``params.json`` says.
        finished: whether the run was already complete; its ``report`` can be read.
        new: whether the run begins now. A run that is refused before it has made anything leaves no folder behind.
    """

    def __init__(self, path: Path, params: dict[str, Any], *, new: bool, shared: Path | None = None) -> None:
        self.path, self.params, self.new = path, params, new
        self.shared = shared or path
        self._lock = None

    @property
    def finished(self) -> bool:
        """Whether the report is there."""
        return (self.shared / "report.json").is_file()

    @property
    def report(self) -> dict[str, Any]:
        """The report of a finished run."""
        return json.loads((self.shared / "report.json").read_text(encoding="utf-8"))

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints of an unfinished run lie."""
        return self.shared / "checkpoints"

    def close(self) -> None:
        """Removes what only an unfinished run needs and releases the folder."""
        if self.shared != self.path:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        if self.finished:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            for left in self.path.glob(".*.tmp*"):  # of processes that were killed
                left.unlink(missing_ok=True)
        self._release()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.close()
        if isinstance(error, ToolkitError) and self.new and [p.name for p in self.path.iterdir()] == ["params.json"]:
            shutil.rmtree(self.path, ignore_errors=True)

    def _hold(self) -> None:
        """Takes the folder for this process; the operating system releases it however the process ends."""
        path = self.path / ".lock"
        while self._lock is None:
            lock = open(path, "w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                    self._lock = lock  # else its holder removed it just before: there is a new one
            except BlockingIOError as error:
                raise ToolkitError(f"{self.path} is in use by another process: wait for it, or choose another "
                                   f"--output.") from error
            except OSError as error:
                raise ToolkitError(f"{path} cannot be locked: {error.strerror or error}. Choose another --output."
                                   ) from error
            finally:
                if self._lock is None:
                    lock.close()

    def _release(self) -> None:
        if self._lock is not None:
            (self.path / ".lock").unlink(missing_ok=True)
            self._lock.close()


def check(output: str | Path, *, resume: bool | None = False) -> None:
    """Refuses a folder that no run can begin or be resumed in; ``begin`` does so too, but needs the table.

    Args:
        output: the folder.
        resume: whether a run in it shall go on; None: as False, where the command has no such option to recommend.

    Raises:
        ToolkitError: if it is a file, or holds something that is not the run to resume.
    """
    path = Path(output)
    if not workers.this().is_chief:
        return
    try:
        if path.exists() and not path.is_dir():
            raise ToolkitError(f"--output {path} is a file; name a folder that does not exist yet.")
        begun = (path / "params.json").is_file()
        full = path.exists() and any(not any(map(entry.match, BEFORE_BEGUN)) for entry in path.iterdir())
        above = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    except OSError as error:
        raise ToolkitError(f"--output {path} cannot be read: {error.strerror or error}.") from error
    if not (above.is_dir() and os.access(above, os.W_OK)):
        reason = "no permission to write there" if above.is_dir() else "that is a file"
        raise ToolkitError(f"--output {path} cannot be made in {above}: {reason}. Choose another --output.")
    if full and not (begun and resume):
        advice = "--resume to continue it, or another --output" if begun and resume is not None else "another --output"
        raise ToolkitError(f"--output {path} is not empty, and nothing is overwritten: use {advice}.")


def begin(output: str | Path, recipe: str, table: Table, options: Mapping[str, Any], *, resume: bool = False
          ) -> RunFolder:
    """Makes the folder of a new run, or opens the one to resume.

    Args:
        output: the folder; it must be new or empty, unless ``resume``.
        recipe: the method's name.
        table: the data; its fingerprints go into ``params.json``.
        options: every option of the run, JSON-ready.
        resume: continue the run in ``output``. If nothing was begun there, a new run begins.

    Raises:
        ToolkitError: if the folder holds something, cannot be written, is in use, or holds a run of other options
            or other data.
    """
    path = Path(output)
    check(path, resume=resume)
    params = _params(recipe, table, options)
    if not workers.this().is_chief:
        return RunFolder(Path(tempfile.mkdtemp(prefix="toolkit-worker-")), params, new=False, shared=path)
    begun = path / "params.json"
    try:
        new = not begun.is_file()
        if not new:
            _check_same(path, json.loads(begun.read_text(encoding="utf-8")), params)
        path.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(path, params, new=new)
        folder._hold()
        if new:
            with atomic_files.in_place_of(begun) as temporary:
                temporary.write_text(json.dumps(params, indent=2, ensure_ascii=False), encoding="utf-8")
    except json.JSONDecodeError as error:
        raise ToolkitError(f"{begun} is damaged: choose another --output.") from error
    except OSError as error:
        raise ToolkitError(f"--output {path} cannot be written: {error.strerror or error}.") from error
    return folder


def _params(recipe: str, table: Table, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides a run, as JSON."""
    versions = {"toolkit": toolkit.__version__, "python": platform.python_version(),
                **{name: metadata.version(name) for name in PACKAGES}}
    params = {"recipe": recipe, "table": table.arguments, "options": dict(options), "rows": len(table),
              "fingerprint": table.fingerprint, "split_fingerprint": table.split_fingerprint, "versions": versions}
    if checksum := _of_weights(options):
        params["weights_checksum"] = checksum
    return json.loads(json.dumps(params))


def _of_weights(options: Mapping[str, Any]) -> str | None:
    """SHA-256 of the file, or the files of the folder, that a run takes its weights from; None: they come with this
    package, or there are none."""
    if not {"backbone", "weights"} <= options.keys():
        return None
    from toolkit.models import weight_sources

    source = Path(weight_sources.find(options["backbone"], options["weights"]).weights)
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
        if path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest() if source.exists() else None


def _check_same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuses to resume with another recipe, other options or other data."""
    if old["recipe"] != new["recipe"]:
        raise ToolkitError(f"{path} holds a run of {old['recipe']}, not of {new['recipe']}: choose another --output.")
    names = sorted(set(old["options"]) | set(new["options"]))
    changed = [f"{name} was {old['options'].get(name)!r}, now {new['options'].get(name)!r}"
               for name in names if old["options"].get(name) != new["options"].get(name)]
    if changed:
        raise ToolkitError(f"--resume continues the same command, but {'; '.join(changed)}. Repeat the first command, "
                           f"or choose another --output.")
    if old.get("weights_checksum", now := new.get("weights_checksum")) != now:
        raise ToolkitError(f"--resume continues from the same weights, but the file or folder that they come from has "
                           f"changed since {path} was begun: choose another --output.")
    if (old["fingerprint"], old["split_fingerprint"]) != (new["fingerprint"], new["split_fingerprint"]):
        raise ToolkitError(f"--resume continues on the same data, but inputs, labels or splits have changed since "
                           f"{path} was begun: choose another --output.")
