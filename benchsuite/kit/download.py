"""Files fetched from the network, resumed and verified: the only module of benchsuite that opens a connection."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, responses
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from benchsuite.errors import PreparationError

TIMEOUT = 60.0  # seconds that a server may be silent
_ATTEMPTS, _PAUSE = 3, 0.5  # at one address whose connection ends too early, and seconds between them
_EVERY = 0.1  # seconds between reports
_CHUNK = 1 << 20
_SPAN = re.compile(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)")

# What is being done, how many bytes are done, and of how many: None where that is unknown.
Report = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Source:
    """A file that a dataset is made from, or the weights of a feature extractor.

    Its ``name`` in the folder of sources, the ``urls`` that it can be had from, in the order to try them, its MD5 or
    SHA-256 in hexadecimal as its publishers give it, and the ``page`` where a person fetches it by hand, else the first
    url. Where both checksums are given the SHA-256 is checked, since files can be forged to an MD5.
    """

    name: str
    urls: tuple[str, ...]
    md5: str | None = None
    page: str = ""
    sha256: str | None = None

    @property
    def checksum(self) -> tuple[str, str] | None:
        """(what it is called, its value in lower case) of the checksum that is checked; None where none is known."""
        if self.sha256 is not None:
            return "SHA-256", self.sha256.lower()
        return None if self.md5 is None else ("MD5", self.md5.lower())


class _UrlError(Exception):
    """Why an address does not give the file."""


class _CutOffError(_UrlError):
    """Why a transfer ended too early; another attempt goes on from what is there."""


def fetch(source: Source, folder: Path, report: Report) -> Path:
    """The path of ``source`` in ``folder``, fetched where it is missing or damaged, and verified.

    What was fetched before an interruption stays in ``NAME.part``, and the next call goes on from there. The caller
    keeps other processes away. PreparationError says why the file cannot be had, and what to do by hand.
    """
    path, part = folder / source.name, folder / f"{source.name}.part"
    report = _paced(report)
    failures: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        damage = _damage(source, path, report) if path.exists() else "missing"
        if damage is None:
            return path
        for url in source.urls:
            failure = _fetch_from(url, source, part, report)
            if failure is None:
                part.replace(path)
                return path
            failures.append(f"{url}: {failure}")
    except OSError as error:  # the disk's: the network's are among the failures
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            kept = _mib(part.stat().st_size if part.exists() else 0)
            raise _no_space(folder, f"{kept} of {source.name} were fetched and are kept") from error
        raise PreparationError(f"cannot keep {source.name} in {folder.absolute()}: {error}") from error
    raise PreparationError(_by_hand(source, path, damage, failures))


def _fetch_from(url: str, source: Source, part: Path, report: Report) -> str | None:
    """Bring ``part`` to its end from ``url``; returns why it is not, None where it is whole and right."""
    failure: str | None = None
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE if attempt else 0)
        try:
            resumed = _transfer(url, source, part, report)
        except _CutOffError as error:
            failure = str(error)
            continue
        except _UrlError as error:
            return str(error)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        failure = _damage(source, part, report)
        if failure is None:
            return None
        part.unlink()
        if not resumed:  # else what was there before may be what is wrong
            break
    return failure


def _transfer(url: str, source: Source, part: Path, report: Report) -> bool:
    """Append what ``part`` lacks; returns whether some of it was there before."""
    have = part.stat().st_size if part.exists() else 0
    with _ask(url, have) as answer:
        span = _SPAN.match(answer.headers.get("Content-Range", ""))
        start, total = (number and int(number) for number in span.groups()) if span else (None, None)
        if have and answer.status == 416 and (total == have or (total is None and source.checksum)):
            return True  # nothing is missing, as the server says or the checksum will
        misfit = answer.status == 416 or (answer.status == 206 and start != have)
        if have and misfit:
            part.unlink()
            raise _CutOffError(f"it does not go on from byte {have}")
        if not isinstance(answer, HTTPResponse) or misfit or answer.status not in (200, 206):
            raise _UrlError(f"HTTP {answer.status} {responses.get(answer.status or 0, '')}".strip())
        if answer.headers.get_content_type() == "text/html":
            raise _UrlError("a web page (text/html) and not the file: it wants a click, or its quota is used up")
        if answer.status == 200:  # the whole file, also where only the rest was asked for
            part.unlink(missing_ok=True)
            have = 0
        _receive(answer, source, part, have, report)
    return have > 0


def _ask(url: str, have: int) -> HTTPResponse | HTTPError:
    """The server's answer to a request for the file from byte ``have`` on."""
    if not url.lower().startswith(("http://", "https://")):
        raise _UrlError("not an address that begins with http:// or https://")
    headers = {"User-Agent": "benchsuite", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={have}-"} if have else {}
    try:
        answer: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        return error
    except (OSError, HTTPException, ValueError) as error:
        raise _UrlError(_reason(error)) from error
    return answer


def _receive(answer: HTTPResponse, source: Source, part: Path, have: int, report: Report) -> None:
    """Append an answer's body, which begins at byte ``have``, to ``part``."""
    left, free = answer.length, shutil.disk_usage(part.parent).free
    if left is not None and left > free:
        raise _no_space(part.parent, f"{source.name} needs {_mib(left)} more and {_mib(free)} are free")
    what, done, total = f"fetching {source.name}", have, None if left is None else have + left
    with part.open("ab") as file:
        while chunk := _read(answer):
            file.write(chunk)
            done += len(chunk)
            report(what, done, total)
    if total is None:
        report(what, done, done)
    elif done < total:
        raise _CutOffError(f"the connection ended after {done} of {total} bytes")


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read1(_CHUNK)  # what has come, so that progress shows on a slow line too
    except (OSError, HTTPException) as error:
        raise _CutOffError(f"the connection was lost: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    return str(cause) or type(cause).__name__


def _damage(source: Source, path: Path, report: Report) -> str | None:
    """What is wrong with a file's checksum; None where it is right or nobody knows it."""
    if source.checksum is None:
        return None
    kind, expected = source.checksum
    digest = hashlib.new("sha256") if kind == "SHA-256" else hashlib.md5(usedforsecurity=False)
    done, total = 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report(f"verifying {source.name}", done, total)
    return None if digest.hexdigest() == expected else f"its {kind} is {digest.hexdigest()}, not {expected}"


def _paced(report: Report) -> Report:
    """``report`` every 0.1 s at most, and at each end."""
    due = 0.0

    def paced(what: str, done: int, total: int | None) -> None:
        nonlocal due
        if done == total or time.monotonic() >= due:
            report(what, done, total)
            due = time.monotonic() + _EVERY

    return paced


def _no_space(folder: Path, what: str) -> PreparationError:
    return PreparationError(
        f"no space left in {folder.absolute()}: {what}; free some space and run the same command again (it goes on "
        "from there), or move the cache with BENCHSUITE_CACHE"
    )


def _by_hand(source: Source, path: Path, damage: str, failures: list[str]) -> str:
    """What could not be fetched and why, a line for each address, and what a person can do instead."""
    page = source.page or next(iter(source.urls), "")
    lines = [f"cannot fetch {source.name}" + (":" if failures else ": no address is known that a program can fetch")]
    lines += [f"  {failure}" for failure in failures]
    if path.exists():
        lines += [f"the file that is there is damaged: {damage}"]
    checksum, origin = f" ({' '.join(source.checksum)})" if source.checksum else "", f" from {page}" if page else ""
    lines += [f"fetch {source.name}{checksum}{origin} and put it at {path.absolute()}, then run the same command again"]
    return "\n".join(lines)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
