"""Files are fetched whole or not at all, go on where they stopped, and what cannot be fetched says what to do."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from benchsuite.errors import PreparationError
from benchsuite.kit import download
from benchsuite.kit.download import Source, fetch

pytestmark = pytest.mark.network  # of this machine only: the server is here

MIB = 1 << 20
BODY = random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(BODY).hexdigest()
NAME = "data.bin"
FETCH = """
import sys
from pathlib import Path
from benchsuite.kit.download import Source, fetch
fetch(Source(sys.argv[1], (sys.argv[2],), sys.argv[3]), Path(sys.argv[4]), lambda what, done, total: None)
"""


@dataclass
class Page:
    """What the server answers at one path, and what it was asked."""

    body: bytes = BODY
    status: int = 200
    content_type: str = "application/octet-stream"
    ranges: bool = True
    says_length: bool = True
    says_total: bool = True  # in the Content-Range of a 416
    shift: int = 0  # what its ranges are off by
    cuts: int = 0  # so many answers end early,
    cut_after: int = 100_000  # after so many bytes
    holds_at: int | None = None  # stops there until ``go_on``
    location: str = ""
    go_on: threading.Event = field(default_factory=threading.Event)
    ranges_asked: list[str | None] = field(default_factory=list)
    sent: int = 0


class Host:
    """A server on this machine with one page for each path."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self, host.pages.get(self.path, Page(b"no such page", status=404)))

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def serve(self, path: str, **what: Any) -> Page:
        self.pages[path] = Page(**what)
        return self.pages[path]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def close(self) -> None:
        for page in self.pages.values():
            page.go_on.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


def answer(request: BaseHTTPRequestHandler, page: Page) -> None:
    asked = request.headers.get("Range")
    page.ranges_asked.append(asked)
    begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and page.ranges and page.status == 200 else 0
    status = page.status if begin == 0 else 206 if begin < len(page.body) else 416
    begin = max(begin - page.shift, 0) if status == 206 else begin
    rest = b"" if status == 416 else page.body[begin:]
    request.send_response(status)
    request.send_header("Content-Type", page.content_type)
    if page.says_length:
        request.send_header("Content-Length", str(len(rest)))
    if status == 206:
        request.send_header("Content-Range", f"bytes {begin}-{len(page.body) - 1}/{len(page.body)}")
    if status == 416 and page.says_total:
        request.send_header("Content-Range", f"bytes */{len(page.body)}")
    if page.location:
        request.send_header("Location", page.location)
    request.end_headers()
    if page.cuts and status in (200, 206):
        page.cuts -= 1
        rest = rest[: page.cut_after]
    held = len(rest) if page.holds_at is None else page.holds_at
    page.sent += len(rest)
    try:
        request.wfile.write(rest[:held])
        if rest[held:]:
            page.go_on.wait(30)
            request.wfile.write(rest[held:])
    except OSError:  # the client was killed
        pass


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


@pytest.fixture
def closed() -> str:
    """An address on this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/{NAME}"


def get(folder: Path, *urls: str, md5: str | None = MD5, page: str = "") -> Path:
    return fetch(Source(NAME, urls, md5, page), folder, lambda what, done, total: None)


def failure(folder: Path, *urls: str, md5: str | None = MD5, page: str = "") -> str:
    with pytest.raises(PreparationError) as raised:
        get(folder, *urls, md5=md5, page=page)
    return str(raised.value)


def part_of(folder: Path, content: bytes) -> Path:
    """A part left by an earlier call."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.part").write_bytes(content)
    return folder / f"{NAME}.part"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("md5", [MD5, MD5.upper(), None])
def test_a_missing_file_is_fetched_into_a_folder_that_is_made_for_it(
    host: Host, tmp_path: Path, md5: str | None
) -> None:
    page = host.serve("/a")
    folder = tmp_path / "cache" / "sources"
    assert get(folder, host.url("/a"), md5=md5) == folder / NAME
    assert contents(folder) == {NAME: BODY}
    assert page.ranges_asked == [None]


@pytest.mark.parametrize("md5", [MD5, None])
def test_a_file_that_is_there_and_right_asks_the_network_for_nothing(
    host: Host, tmp_path: Path, md5: str | None
) -> None:
    page = host.serve("/a")
    (tmp_path / NAME).write_bytes(BODY)
    assert get(tmp_path, host.url("/a"), md5=md5) == tmp_path / NAME
    assert page.ranges_asked == []


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(host: Host, tmp_path: Path) -> None:
    page = host.serve("/a")
    part_of(tmp_path, BODY[:200_000])
    get(tmp_path, host.url("/a"))
    assert contents(tmp_path) == {NAME: BODY}
    assert page.ranges_asked == ["bytes=200000-"]
    assert page.sent == len(BODY) - 200_000


def test_a_server_that_knows_no_ranges_sends_the_whole_file_again(host: Host, tmp_path: Path) -> None:
    page = host.serve("/a", ranges=False)
    part_of(tmp_path, b"x" * 200_000)
    reports: list[tuple[str, int, int | None]] = []
    fetch(Source(NAME, (host.url("/a"),)), tmp_path, lambda *report: reports.append(report))
    assert contents(tmp_path) == {NAME: BODY}
    assert reports[-1] == (f"fetching {NAME}", len(BODY), len(BODY))
    assert page.ranges_asked == ["bytes=200000-"]


def test_an_answer_that_begins_elsewhere_than_asked_starts_the_file_over(host: Host, tmp_path: Path) -> None:
    page = host.serve("/a", shift=7)
    part_of(tmp_path, BODY[:200_000])
    get(tmp_path, host.url("/a"), md5=None)
    assert contents(tmp_path) == {NAME: BODY}
    assert page.ranges_asked == ["bytes=200000-", None]


@pytest.mark.parametrize("says_total", [True, False])
def test_a_part_that_is_whole_already_is_only_verified(host: Host, tmp_path: Path, says_total: bool) -> None:
    page = host.serve("/a", says_total=says_total)
    part_of(tmp_path, BODY)
    get(tmp_path, host.url("/a"))
    assert contents(tmp_path) == {NAME: BODY}
    assert page.sent == 0


@pytest.mark.parametrize(("says_total", "md5"), [(True, MD5), (False, MD5), (True, None), (False, None)])
def test_a_part_that_is_longer_than_the_file_is_dropped(
    host: Host, tmp_path: Path, says_total: bool, md5: str | None
) -> None:
    page = host.serve("/a", says_total=says_total)
    part_of(tmp_path, BODY + b"more")
    get(tmp_path, host.url("/a"), md5=md5)
    assert contents(tmp_path) == {NAME: BODY}
    assert page.ranges_asked == [f"bytes={len(BODY) + 4}-", None]


def test_a_part_of_something_else_is_found_out_and_the_file_fetched_anew(host: Host, tmp_path: Path) -> None:
    page = host.serve("/a")
    part_of(tmp_path, b"x" * 200_000)
    get(tmp_path, host.url("/a"))
    assert contents(tmp_path) == {NAME: BODY}
    assert page.ranges_asked == ["bytes=200000-", None]


def test_a_connection_that_is_cut_twice_is_resumed_by_itself(host: Host, tmp_path: Path) -> None:
    page = host.serve("/a", cuts=2)
    get(tmp_path, host.url("/a"))
    assert contents(tmp_path) == {NAME: BODY}
    assert page.ranges_asked == [None, "bytes=100000-", "bytes=200000-"]
    assert page.sent == len(BODY)


def test_a_connection_that_is_cut_for_ever_keeps_its_part_for_a_later_call(host: Host, tmp_path: Path) -> None:
    page = host.serve("/a", cuts=3, cut_after=50_000)
    message = failure(tmp_path, host.url("/a"))
    assert f"{host.url('/a')}: the connection ended after 150000 of 300000 bytes" in message
    assert contents(tmp_path) == {f"{NAME}.part": BODY[:150_000]}
    get(tmp_path, host.url("/a"))
    assert contents(tmp_path) == {NAME: BODY}
    assert page.ranges_asked == [None, "bytes=50000-", "bytes=100000-", "bytes=150000-"]


def test_what_one_mirror_began_another_ends(host: Host, tmp_path: Path) -> None:
    host.serve("/a", cuts=3, cut_after=50_000)
    second = host.serve("/b")
    get(tmp_path, host.url("/a"), host.url("/b"))
    assert contents(tmp_path) == {NAME: BODY}
    assert second.ranges_asked == ["bytes=150000-"]


def test_a_server_that_falls_silent_does_not_hang(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 1.0)
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    host.serve("/a", holds_at=1000)
    assert "the connection was lost: no answer within 1 s" in failure(tmp_path, host.url("/a"))
    assert contents(tmp_path) == {f"{NAME}.part": BODY[:1000]}


def test_a_wrong_checksum_at_one_mirror_turns_to_the_next(host: Host, tmp_path: Path) -> None:
    wrong, right = host.serve("/a", body=b"something else"), host.serve("/b")
    get(tmp_path, host.url("/a"), host.url("/b"))
    assert contents(tmp_path) == {NAME: BODY}
    assert (wrong.ranges_asked, right.ranges_asked) == ([None], [None])


def test_a_wrong_checksum_everywhere_names_both_and_keeps_nothing(host: Host, tmp_path: Path) -> None:
    host.serve("/a", body=b"something else")
    other = hashlib.md5(b"something else").hexdigest()
    assert f"{host.url('/a')}: its MD5 is {other}, not {MD5}" in failure(tmp_path, host.url("/a"))
    assert contents(tmp_path) == {}


def test_a_damaged_file_is_replaced(host: Host, tmp_path: Path) -> None:
    host.serve("/a")
    (tmp_path / NAME).write_bytes(BODY[:-1])
    get(tmp_path, host.url("/a"))
    assert contents(tmp_path) == {NAME: BODY}


def test_a_damaged_file_is_left_alone_and_named_where_the_host_is_down(tmp_path: Path, closed: str) -> None:
    (tmp_path / NAME).write_bytes(b"damaged")
    message = failure(tmp_path, closed)
    assert f"is damaged: its MD5 is {hashlib.md5(b'damaged').hexdigest()}, not {MD5}" in message
    assert f"{closed}: " in message
    assert contents(tmp_path) == {NAME: b"damaged"}


def test_a_web_page_is_not_taken_for_the_file(host: Host, tmp_path: Path) -> None:
    page = host.serve("/a", content_type="text/html; charset=utf-8")
    part_of(tmp_path, BODY[:10])
    assert f"{host.url('/a')}: a web page (text/html)" in failure(tmp_path, host.url("/a"), md5=None)
    assert contents(tmp_path) == {f"{NAME}.part": BODY[:10]}
    assert len(page.ranges_asked) == 1


def test_a_file_that_is_nowhere_says_where_it_was_sought_and_what_to_do(host: Host, tmp_path: Path) -> None:
    host.serve("/b", status=503)
    urls = (host.url("/a"), host.url("/b"))
    message = failure(tmp_path, *urls)
    assert f"{urls[0]}: HTTP 404 Not Found\n" in message
    assert f"{urls[1]}: HTTP 503 Service Unavailable\n" in message
    by_hand = (
        f"fetch {NAME} (MD5 {MD5}) from {urls[0]} and put it at {tmp_path / NAME}, then run the same command again"
    )
    assert message.endswith(by_hand)
    assert contents(tmp_path) == {}


def test_a_file_without_an_address_says_where_a_person_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = failure(Path("here"), md5=None, page="https://example.org/terms")
    assert "no address is known" in message
    assert f"fetch {NAME} from https://example.org/terms and put it at {tmp_path / 'here' / NAME}, then" in message


def test_a_refused_connection_is_a_reason(tmp_path: Path, closed: str) -> None:
    assert "Connection refused" in failure(tmp_path, closed)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "", "http://", "http://[", "http://a b/"])
def test_an_address_that_is_none_is_a_reason_and_no_crash(tmp_path: Path, url: str) -> None:
    assert f"  {url}: " in failure(tmp_path, url)
    assert contents(tmp_path) == {}


def test_a_redirection_is_followed_with_the_range_that_was_asked_for(host: Host, tmp_path: Path) -> None:
    host.serve("/a", status=302, location="/b")
    page = host.serve("/b")
    part_of(tmp_path, BODY[:200_000])
    get(tmp_path, host.url("/a"))
    assert contents(tmp_path) == {NAME: BODY}
    assert page.ranges_asked == ["bytes=200000-"]


def test_too_little_room_is_said_before_anything_is_fetched(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.serve("/a", body=bytes(2 * MIB))
    second = host.serve("/b")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=MIB // 2))
    part = part_of(tmp_path, bytes(MIB))
    message = failure(tmp_path, host.url("/a"), host.url("/b"))
    assert f"no space left in {tmp_path}: {NAME} needs 1.0 MiB more and 0.5 MiB are free" in message
    assert "BENCHSUITE_CACHE" in message
    assert second.ranges_asked == []
    assert part.stat().st_size == MIB


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_keeps_what_was_fetched_and_goes_on_once_there_is_room(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    body = random.Random(1).randbytes(2 * MIB)
    page, md5 = host.serve("/a", body=body), hashlib.md5(body).hexdigest()
    with monkeypatch.context() as disk:
        disk.setattr(Path, "open", filling_up(Path.open, MIB, number))
        message = failure(tmp_path, host.url("/a"), md5=md5)
    assert f"no space left in {tmp_path}: 1.0 MiB of {NAME} were fetched and are kept" in message
    assert "BENCHSUITE_CACHE" in message
    assert contents(tmp_path) == {f"{NAME}.part": body[:MIB]}
    get(tmp_path, host.url("/a"), md5=md5)
    assert contents(tmp_path) == {NAME: body}
    assert page.ranges_asked == [None, f"bytes={MIB}-"]


def filling_up(real: Any, room: int, number: int) -> Any:
    """``Path.open`` on a disk where files that are appended to have ``room`` bytes."""

    def opened(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> IO[Any]:
        file: IO[Any] = real(path, mode, *arguments, **options)
        write = file.write

        def write_while_there_is_room(data: bytes) -> int:
            fits = data[: max(room - file.tell(), 0)]
            write(fits)
            if len(fits) < len(data):
                raise OSError(number, os.strerror(number))
            return len(data)

        if mode != "ab":
            return file
        return Appended(file, write_while_there_is_room)  # type: ignore[return-value]

    return opened


class Appended:
    """A file with another ``write``."""

    def __init__(self, file: IO[Any], write: Any) -> None:
        self.file, self.write = file, write

    def __enter__(self) -> Appended:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    message = failure(tmp_path / "taken", "http://127.0.0.1/")
    assert f"cannot keep {NAME} in {tmp_path / 'taken'}: " in message


def test_a_killed_download_leaves_no_file_and_goes_on_in_the_next_call(host: Host, tmp_path: Path) -> None:
    page = host.serve("/a", holds_at=200_000)
    part = tmp_path / f"{NAME}.part"
    process = subprocess.Popen([sys.executable, "-c", FETCH, NAME, host.url("/a"), MD5, str(tmp_path)])
    try:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    kept = part.stat().st_size
    assert 0 < kept <= 200_000
    assert contents(tmp_path) == {part.name: BODY[:kept]}
    page.go_on.set()
    get(tmp_path, host.url("/a"))
    assert contents(tmp_path) == {NAME: BODY}
    assert page.ranges_asked == [None, f"bytes={kept}-"]


def test_an_interruption_by_hand_passes_through_and_keeps_the_part(host: Host, tmp_path: Path) -> None:
    host.serve("/a", holds_at=1000)

    def interrupt(what: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(Source(NAME, (host.url("/a"),), MD5), tmp_path, interrupt)
    assert contents(tmp_path) == {f"{NAME}.part": BODY[:1000]}


@pytest.mark.parametrize("says_length", [True, False])
def test_progress_grows_and_ends_at_the_total(
    host: Host, tmp_path: Path, says_length: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_EVERY", 0.0)
    host.serve("/a", says_length=says_length, cuts=2 * says_length)
    reports: list[tuple[str, int, int | None]] = []
    fetch(Source(NAME, (host.url("/a"),), MD5), tmp_path, lambda *report: reports.append(report))
    assert contents(tmp_path) == {NAME: BODY}
    for what in (f"fetching {NAME}", f"verifying {NAME}"):
        done = [report[1:] for report in reports if report[0] == what]
        counts = [count for count, _ in done]
        assert counts == sorted(counts)
        assert done[-1] == (len(BODY), len(BODY))
        assert {total for _, total in done[:-1]} <= {len(BODY) if says_length or "verifying" in what else None}


def test_progress_is_reported_no_more_often_than_it_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_EVERY", 3600.0)
    body = bytes(5 * MIB)
    (tmp_path / NAME).write_bytes(body)
    reports: list[tuple[str, int, int | None]] = []
    fetch(Source(NAME, (), hashlib.md5(body).hexdigest()), tmp_path, lambda *report: reports.append(report))
    assert reports == [(f"verifying {NAME}", MIB, 5 * MIB), (f"verifying {NAME}", 5 * MIB, 5 * MIB)]


SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize("sha256", [SHA256, SHA256.upper()])
def test_a_sha256_is_checked_as_an_md5_is(host: Host, tmp_path: Path, sha256: str) -> None:
    forged, right = host.serve("/a", body=b"something else"), host.serve("/b")
    source = Source(NAME, (host.url("/a"), host.url("/b")), sha256=sha256)
    fetch(source, tmp_path, lambda *report: None)
    fetch(source, tmp_path, lambda *report: None)
    assert contents(tmp_path) == {NAME: BODY}
    assert (forged.ranges_asked, right.ranges_asked) == ([None], [None])


@pytest.mark.parametrize("md5", [None, hashlib.md5(b"forged").hexdigest()])
def test_a_wrong_sha256_is_named_and_what_is_fetched_by_hand_has_to_have_it(
    host: Host, tmp_path: Path, md5: str | None
) -> None:
    host.serve("/a", body=b"forged")
    with pytest.raises(PreparationError) as raised:
        fetch(Source(NAME, (host.url("/a"),), md5, sha256=SHA256), tmp_path, lambda *report: None)
    found = hashlib.sha256(b"forged").hexdigest()
    assert f"{host.url('/a')}: its SHA-256 is {found}, not {SHA256}" in str(raised.value)
    assert f"fetch {NAME} (SHA-256 {SHA256}) from {host.url('/a')}" in str(raised.value)
    assert contents(tmp_path) == {}


def test_a_whole_part_is_known_by_its_sha256(host: Host, tmp_path: Path) -> None:
    page = host.serve("/a", says_total=False)
    part_of(tmp_path, BODY)
    fetch(Source(NAME, (host.url("/a"),), sha256=SHA256), tmp_path, lambda *report: None)
    assert contents(tmp_path) == {NAME: BODY}
    assert page.sent == 0
