"""Files and folders that are either whole or not there, locks between processes, and checksums."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

if os.name == "nt":
    import msvcrt
else:
    import fcntl

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)  # by another; the last two are Windows'

_READ_BYTES = 2**30  # of files that are identified by what is in them: a few seconds' reading


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place, durably, when the block ends without an error.

    A reader sees the old file or the new one, never a part, even after a kill or a power cut.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    temporary.touch(exist_ok=False)  # unlike mkstemp, with the permissions that the umask gives
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``folder``, durably, when the block ends without an error.

    Like ``replacing``; the caller holds a lock, so that what an earlier attempt has left behind may be removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new, old = beside(folder, "part"), beside(folder, "old")
    _remove(new, old)
    new.mkdir()
    try:
        yield new
        for path in new.iterdir():
            with path.open("rb") as written:
                os.fsync(written.fileno())
        if folder.exists():
            folder.replace(old)
        new.replace(folder)
    finally:
        _remove(new, old)


def beside(folder: Path, purpose: Literal["part", "old", "work"]) -> Path:
    """A hidden folder beside ``folder`` that is only there while work on it is under way."""
    return folder.with_name(f".{folder.name}.{purpose}")


def remove_leftovers(folder: Path) -> None:
    """Remove what work on ``folder`` that was killed has left beside it."""
    _remove(beside(folder, "part"), beside(folder, "old"), beside(folder, "work"))


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any, length: int = 12) -> str:
    """A short hash of anything that JSON can hold.

    >>> digest({"size": 64}) == digest({"size": 64}), digest({"size": 128})[:4]
    (True, '832d')
    """
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def digest_of_files(files: Mapping[str, Path]) -> str:
    """Identifies ``files``, by their names and bytes; those that come to more than 1 GiB by names, sizes and times.

    Raises OSError.
    """
    found = {name: path.stat() for name, path in sorted(files.items())}
    if sum(stat.st_size for stat in found.values()) > _READ_BYTES:
        return digest([(name, stat.st_size, stat.st_mtime_ns) for name, stat in found.items()])
    return digest([(name, sha256(files[name])) for name in found])


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock file ``path`` for the block; yields False, at once, where another process holds it.

    The operating system releases the lock when the process ends, however it ends. Raises OSError where the file system
    has no locks.
    """
    with path.open("a+") as file:
        try:
            if os.name == "nt":
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
            else:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                raise OSError(error.errno, f"{path} cannot be locked ({error.strerror})") from None
            yield False
            return
        try:
            yield True
        finally:
            with suppress(OSError):
                if os.name == "nt":
                    msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]
                else:
                    fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def locked_in_turn(path: Path, on_wait: Callable[[], None], poll: float = 0.2) -> Iterator[None]:
    """Hold the lock file ``path`` for the block; where another process holds it, call ``on_wait`` once and wait."""
    told = False
    while True:
        with locked(path) as mine:
            if mine:
                yield
                return
        if not told:
            on_wait()
            told = True
        time.sleep(poll)
