"""Files appear whole or not at all, and a lock holds until its process is gone."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchsuite.kit.files import locked, replacing, sha256, write_text

HOLD = """
import os, sys
from pathlib import Path
from benchsuite.kit.files import locked
with locked(Path(sys.argv[1])) as held:
    print(held, flush=True)
    sys.stdin.read()
"""
DIE_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from benchsuite.kit.files import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_text("ne")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that has tried to take the lock at ``path`` and waits; its first line says whether it got it."""
    command = [sys.executable, "-c", HOLD, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)


def test_a_file_takes_its_place_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_no_litter(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as part:
        part.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half"), replacing(tmp_path / "record.json") as part:
        part.write_text("ne")
        raise ValueError("half")
    assert list(tmp_path.iterdir()) == []


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")
    died = subprocess.run([sys.executable, "-c", DIE_WHILE_WRITING, str(path)], timeout=30, check=False)
    assert died.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_text(path, "0" * 200_000)
    done = threading.Event()

    def rewrite() -> None:
        for digit in "123456789" * 5:
            write_text(path, digit * 200_000)
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = 0
    while not done.is_set() or not seen:
        text = path.read_text()
        assert len(text) == 200_000
        assert text == text[0] * 200_000
        seen += 1
    writer.join()


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the outer block ended last
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_new_file_can_be_read_by_whoever_the_umask_lets(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    write_text(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == plain.stat().st_mode


def test_text_is_utf_8_with_its_line_ends_as_they_are(tmp_path: Path) -> None:
    text = "größe\n猫 \U0001f408\r\n"
    write_text(tmp_path / "a", text)
    assert (tmp_path / "a").read_bytes() == text.encode()


def test_a_checksum_is_sha_256(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B
    path.write_bytes(bytes(3_000_000))
    assert sha256(path) == hashlib.sha256(bytes(3_000_000)).hexdigest()


def test_a_lock_excludes_another_process_until_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path) as held:
        assert held
        other = holder(path)
        assert first_line(other) == "False"
        end(other)
    other = holder(path)
    assert first_line(other) == "True"
    end(other)


def test_a_lock_excludes_its_own_process_too(tmp_path: Path) -> None:
    with locked(tmp_path / "lock") as first, locked(tmp_path / "lock") as second:
        assert (first, second) == (True, False)


def test_who_did_not_get_the_lock_does_not_release_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path) as held:
        with locked(path) as second:
            assert not second
        with locked(path) as third:
            assert (held, third) == (True, False)


def test_a_lock_ends_when_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    other = holder(path)
    assert first_line(other) == "True"
    with locked(path) as held:
        assert not held
    os.kill(other.pid, signal.SIGKILL)
    end(other)
    with locked(path) as held:
        assert held


@pytest.mark.parametrize("free", [True, False])
def test_an_error_inside_the_block_comes_out_and_ends_the_lock(tmp_path: Path, free: bool) -> None:
    path = tmp_path / "lock"
    holding = None if free else holder(path)
    if holding:
        assert first_line(holding) == "True"
    with pytest.raises(OSError, match="disk full"), locked(path) as held:
        assert held is free
        raise OSError("disk full")
    if holding:
        end(holding)
    with locked(path) as held:
        assert held


def test_a_file_system_without_locks_is_an_error_and_no_endless_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("benchsuite.kit.files.fcntl.flock", refuse)
    with pytest.raises(OSError, match="lock cannot be locked .No locks available"), locked(tmp_path / "lock"):
        pass
