"""Files from the network: resumed where they stopped, verified before they bear their name, never asked for twice.

A download grows in `<file>.part` under a lock and is renamed when its checksum is the expected one. What is left of a
broken one is continued with an HTTP range; should the whole then not fit (another version of the file), it is fetched
once more from the beginning.
"""

import base64
import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from toolkit import ToolkitError

_CHUNK = 1 << 20
_FRUITLESS_TRIES = 3  # attempts in a row that bring not a single byte
_PAUSE_SECONDS = 1.0  # before the next of these
_TIMEOUT_SECONDS = 30.0


def _on_terminal(done: int, total: int | None) -> None:
    """Megabytes so far, on one line of a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        whole = f" of {total / 1e6:.0f}" if total else ""
        print(f"\r{done / 1e6:.0f}{whole} MB", end="\n" if done == total else "", file=sys.stderr, flush=True)


def fetch(
    url: str,
    path: Path,
    *,
    checksum: str = "",
    algorithm: str = "md5",
    progress: Callable[[int, int | None], None] = _on_terminal,
) -> None:
    """Bring the file of a URL to a path, unless it is already there.

    Args:
        url: where it is, `http://` or `https://`.
        path: where it shall be. A file that is there is verified and left alone.
        checksum: hexadecimal; empty: the MD5 that the server announces (`x-goog-hash`) decides, else the size alone,
            and a broken download begins anew.
        algorithm: of the checksum, a name of `hashlib`.
        progress: told the bytes so far and their number in all (None: unknown).

    Raises:
        ToolkitError: it cannot be had, is not what was expected, or cannot be written; a file already there is another.
    """
    if path.exists():
        return _verify_existing(path, url, checksum, algorithm)
    part = path.with_name(f"{path.name}.part")
    with _locked(part, url) as file:
        if path.exists():  # another process has brought it meanwhile
            return _verify_existing(path, url, checksum, algorithm)
        _download(url, path, file, checksum, algorithm, progress)
        try:
            os.replace(part, path)
        except OSError as error:
            raise _unwritable(path, url, error) from error


def _verify_existing(path: Path, url: str, checksum: str, algorithm: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest() if checksum else ""
    except OSError as error:
        raise ToolkitError(f"{path}: cannot be read ({error.strerror}); expected the file of {url}.") from error
    if found != checksum.lower():
        raise ToolkitError(f"{path}: is not the file of {url}: its {algorithm} is {found}, expected {checksum}. Move "
                           "it away, and it will be downloaded again.")


@contextlib.contextmanager
def _locked(part: Path, url: str) -> Iterator[BinaryIO]:
    """The unfinished file, open and ours alone: who comes second waits until the first is done."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = part.open("a+b", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), part.stat()):
                    break
            file.close()  # renamed or removed while we waited
    except OSError as error:
        raise _unwritable(part, url, error) from error
    try:
        yield file
    finally:
        if part.exists() and not os.fstat(file.fileno()).st_size:
            part.unlink()
        file.close()


def _unwritable(path: Path, url: str, error: OSError) -> ToolkitError:
    return ToolkitError(f"{path}: cannot be written ({error.strerror}). Make room or give write access there, or set "
                        f"KERAS_HOME to another folder; it is to hold the file of {url}.")


def _missing(url: str, path: Path, reason: object) -> ToolkitError:
    return ToolkitError(f"{url} cannot be downloaded ({reason}); download it elsewhere and put it at {path}.")


# ---- One file ------------------------------------------------------------------------------------------------------


def _download(
    url: str, path: Path, file: BinaryIO, checksum: str, algorithm: str, progress: Callable[[int, int | None], None]
) -> None:
    """Fill the unfinished file until it is whole and verified."""
    if not checksum:
        file.truncate(0)
    while True:
        resumed = file.seek(0, os.SEEK_END) > 0
        announced = _complete(url, path, file, bool(checksum), progress)
        expected, name = (checksum.lower(), algorithm) if checksum else (announced, "md5")
        file.flush()
        file.seek(0)
        found = hashlib.file_digest(file, name).hexdigest() if expected else ""
        if found == expected:
            return
        file.truncate(0)
        if not resumed:
            raise ToolkitError(f"{url} is not the expected file: its {name} is {found}, expected {expected}; nothing "
                               f"was kept. Download it elsewhere and put it at {path}.")


def _complete(
    url: str, path: Path, file: BinaryIO, verifiable: bool, progress: Callable[[int, int | None], None]
) -> str:
    """Go on until all bytes are there; the MD5 that the server announces, or ""."""
    fruitless = furthest = 0
    while True:
        start = file.seek(0, os.SEEK_END)
        try:
            with _response(url, file, start) as response:
                total, announced = _total(response), _announced_md5(response)
                if total is None and not (verifiable or announced):
                    raise _missing(url, path, "the server tells neither its size nor its checksum")
                _append(response, url, path, file, total, progress)
            if total is None or file.tell() >= total:
                return announced
            reason: object = f"the connection ended after {file.tell():,} of {total:,} bytes"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and start:
                if _range(error)[1] == start:
                    return ""  # all was there but its name
                file.truncate(0)
            elif error.code < 500:
                raise _missing(url, path, f"{error.code} {error.reason}") from error
            reason = f"{error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, socket.gaierror):  # no network at all
                raise _missing(url, path, reason.strerror) from error
        end = file.seek(0, os.SEEK_END)
        fruitless, furthest = 0 if end > furthest else fruitless + 1, max(end, furthest)
        if fruitless == _FRUITLESS_TRIES:
            raise _missing(url, path, reason)
        time.sleep(fruitless * _PAUSE_SECONDS)


def _response(url: str, file: BinaryIO, start: int) -> Any:
    """The answer from byte `start` on; where a server knows no ranges it begins anew, and so does the file."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    response = _open(request)
    if start and not (response.status == 206 and _range(response)[0] == start):
        file.truncate(0)
    return response


def _open(request: urllib.request.Request) -> Any:
    """The one place that touches the network: an open response with `status`, `headers` and `read`."""
    return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)


def _append(
    response: Any, url: str, path: Path, file: BinaryIO, total: int | None,
    progress: Callable[[int, int | None], None],
) -> None:
    """Write what comes behind what is there."""
    done = file.seek(0, os.SEEK_END)
    size = f"{total / 1e6:.1f} MB" if total else "unknown size"
    print(f"downloading {url} ({size}{f', from byte {done:,} on' if done else ''}) to {path}", file=sys.stderr)
    while chunk := memoryview(response.read(_CHUNK)):
        while chunk:
            try:
                chunk = chunk[file.write(chunk):]
            except OSError as error:
                raise _unwritable(path, url, error) from error
        done = file.tell()
        progress(done, total)


def _total(response: Any) -> int | None:
    """Bytes of the whole file, or None where the server does not say."""
    length = response.headers.get("Content-Length", "")
    return _range(response)[1] if response.status == 206 else int(length) if length.isdecimal() else None


def _range(response: Any) -> tuple[int | None, int | None]:
    """First byte and size of the whole of `Content-Range: bytes 100-999/1000` or `bytes */1000`."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range") or "")
    first, total = found.groups() if found else (None, None)
    return int(first) if first else None, int(total) if total and total != "*" else None


def _announced_md5(response: Any) -> str:
    """`x-goog-hash: crc32c=...,md5=<base64>` of Google's storage in hexadecimal, or ""."""
    values = ",".join(response.headers.get_all("x-goog-hash") or [])
    found = re.search(r"md5=([A-Za-z0-9+/]{22}==)", values)
    return base64.b64decode(found[1]).hex() if found else ""
