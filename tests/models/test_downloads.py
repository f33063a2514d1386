"""Downloads against a server on this machine that knows ranges, dies in the middle, and lies."""

import base64
import errno
import hashlib
import http.server
import socket
import subprocess
import sys
import threading
import urllib.error
from types import SimpleNamespace

import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import downloads

CONTENT = np.random.default_rng(0).bytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.content`; `server.behaviour` says what goes wrong."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        self.close_connection = True
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        plan = server.behaviour.pop(0) if server.behaviour else {}
        content = plan.get("content", server.content)
        if "status" in plan:
            return self.send_error(plan["status"])
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and plan.get("ranges", True) else 0
        if start >= len(content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if plan.get("length", True):
            self.send_header("Content-Length", str(len(content) - start))
        for name, value in plan.get("headers", {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[start : plan.get("stop", len(content))])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(downloads, "_CHUNK", 1 << 16)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.content, running.behaviour, running.asked = CONTENT, [], []
        running.url = f"http://127.0.0.1:{running.server_port}/weights.h5"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once(server, tmp_path, capsys):
    path, told = tmp_path / "models" / "weights.h5", []
    downloads.fetch(server.url, path, checksum=MD5, progress=lambda *numbers: told.append(numbers))
    downloads.fetch(server.url, path, checksum=MD5)
    assert path.read_bytes() == CONTENT
    assert left(path.parent) == ["weights.h5"]
    assert server.asked == [None]
    assert told[-1] == (len(CONTENT), len(CONTENT)) and len(told) > 10
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"downloading {server.url} (3.0 MB) to {path}\n"


def test_sha256(server, tmp_path):
    downloads.fetch(server.url, tmp_path / "a", checksum=SHA256.upper(), algorithm="sha256")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_connection_that_dies_is_continued(server, tmp_path):
    server.behaviour = [{"stop": 1_000_000}, {"stop": 2_000_000}, {"status": 503}]
    downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000000-", "bytes=2000000-", "bytes=2000000-"]


def test_a_killed_download_is_continued_by_the_next(server, tmp_path, capsys):
    (tmp_path / "a.part").write_bytes(CONTENT[:1_234_567])
    downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == ["bytes=1234567-"]
    assert "from byte 1,234,567 on" in capsys.readouterr().err
    assert left(tmp_path) == ["a"]


def test_a_part_that_only_lacked_its_name(server, tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT)
    downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize("part", [b"of another version", CONTENT + b"more"], ids=["other", "too long"])
def test_a_part_of_another_file_is_thrown_away(server, tmp_path, part):
    (tmp_path / "a.part").write_bytes(part)
    downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.asked[-1] is None


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.behaviour = [{"stop": 1_000_000}, {"ranges": False}]
    downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("plan", [{"content": b"<html>please sign in</html>"}, {"content": CONTENT[:-1] + b"?"},
                                  {"content": b""}], ids=["portal", "one byte", "empty"])
def test_another_content_is_refused_and_not_kept(server, tmp_path, plan):
    server.behaviour = [plan]
    with pytest.raises(ToolkitError) as refusal:
        downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    found = hashlib.md5(plan["content"]).hexdigest()
    assert str(refusal.value) == (
        f"{server.url} is not the expected file: its md5 is {found}, expected {MD5}; nothing was kept. Download it "
        f"elsewhere and put it at {tmp_path / 'a'}.")
    assert left(tmp_path) == []


def test_a_server_that_always_dies(server, tmp_path):
    server.behaviour = [{"stop": 500_000, "ranges": False}] * 10
    with pytest.raises(ToolkitError, match="ended after 500,000 of 3,000,000 bytes"):
        downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    assert len(server.asked) <= 4
    assert left(tmp_path) == ["a.part"]


@pytest.mark.parametrize("status", [404, 403])
def test_not_there(server, tmp_path, status):
    server.behaviour = [{"status": status}]
    with pytest.raises(ToolkitError) as refusal:
        downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    assert str(refusal.value).startswith(f"{server.url} cannot be downloaded ({status} ")
    assert str(refusal.value).endswith(f"download it elsewhere and put it at {tmp_path / 'a'}.")
    assert left(tmp_path) == []


@pytest.mark.parametrize("reason", [socket.gaierror(-3, "Temporary failure in name resolution"),
                                    ConnectionRefusedError(111, "Connection refused")], ids=["offline", "refused"])
def test_offline_one_sentence_says_what_to_download_and_where_to_put_it(tmp_path, monkeypatch, reason):
    def offline(request):
        raise urllib.error.URLError(reason)

    monkeypatch.setattr(downloads, "_open", offline)
    monkeypatch.setattr(downloads, "_PAUSE_SECONDS", 0.0)
    with pytest.raises(ToolkitError) as refusal:
        downloads.fetch("https://example.org/w.h5", tmp_path / "w.h5", checksum=MD5)
    assert reason.strerror in str(refusal.value)
    assert str(refusal.value).startswith("https://example.org/w.h5 cannot be downloaded (")
    assert str(refusal.value).endswith(f"); download it elsewhere and put it at {tmp_path / 'w.h5'}.")
    assert left(tmp_path) == []


def test_a_file_that_is_there_is_never_replaced(server, tmp_path):
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(ToolkitError, match=f"a: is not the file of .*expected {MD5}. Move it away"):
        downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert server.asked == []


# ---- Without a checksum --------------------------------------------------------------------------------------------


def announced(content):
    return {"x-goog-hash": f"crc32c=AAAAAA==,md5={base64.b64encode(hashlib.md5(content).digest()).decode()}"}


def test_the_servers_own_checksum_holds_where_we_have_none(server, tmp_path):
    (tmp_path / "a.part").write_bytes(b"unknown")
    server.behaviour = [{"headers": announced(CONTENT)}]
    downloads.fetch(server.url, tmp_path / "a")
    assert server.asked == [None]  # nothing could say whether the part belongs to it
    server.behaviour = [{"headers": announced(b"something else")}]
    with pytest.raises(ToolkitError, match="is not the expected file"):
        downloads.fetch(server.url, tmp_path / "b")
    downloads.fetch(server.url, tmp_path / "a")  # what is there is believed
    assert left(tmp_path) == ["a"]


def test_neither_size_nor_checksum(server, tmp_path):
    server.behaviour = [{"length": False}, {"length": False}]
    downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    with pytest.raises(ToolkitError, match="neither its size nor its checksum"):
        downloads.fetch(server.url, tmp_path / "b")


# ---- The disk, and others ------------------------------------------------------------------------------------------


def test_a_full_disk(server, tmp_path, monkeypatch):
    real = downloads._append

    def append(response, url, path, file, total, progress):
        def full(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        real(response, url, path, SimpleNamespace(seek=file.seek, write=full, tell=file.tell), total, progress)

    monkeypatch.setattr(downloads, "_append", append)
    with pytest.raises(ToolkitError, match="a: cannot be written .No space left on device."):
        downloads.fetch(server.url, tmp_path / "a", checksum=MD5)
    assert len(server.asked) == 1


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ToolkitError, match="cannot be written .*KERAS_HOME"):
        downloads.fetch(server.url, tmp_path / "file" / "a", checksum=MD5)


def test_two_processes_bring_one_file(server, tmp_path):
    server.behaviour = [{"stop": 2_000_000}]
    code = "import sys, pathlib; from toolkit.models import downloads; " \
           "downloads.fetch(sys.argv[1], pathlib.Path(sys.argv[2]), checksum=sys.argv[3])"
    both = [subprocess.Popen([sys.executable, "-c", code, server.url, str(tmp_path / "a"), MD5]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=2000000-"]
    assert left(tmp_path) == ["a"]
