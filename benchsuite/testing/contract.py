"""What a check is, how one is tried, and how a contract that is not kept is put into words."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import benchsuite
from benchsuite.errors import BenchsuiteError, ContractError, NotApplicableError, reason_of
from benchsuite.testing.finding import Finding, Verdict

GUIDE = "docs/plugins/README.md"
_HERE = Path(benchsuite.__file__).parent


class BrokenContractError(ContractError):
    """A contract that a plugin does not keep: what was expected, what came, and where to read about it."""

    def __init__(self, *, expected: str, got: str, read: str) -> None:
        super().__init__(f"expected: {expected}\n     got: {got}\n    read: {read}")


@dataclass(frozen=True)
class Check:
    """One claim that a contract makes of ``subject``.

    ``run`` raises BrokenContractError where it does not hold and NotApplicableError where it says nothing; it may
    return a remark, which is no failure.
    """

    subject: str
    claim: str
    run: Callable[[], str | None]

    def __str__(self) -> str:
        return self.claim


def tried(check: Check) -> Finding:
    """The check, tried. Whatever a plugin raises is a finding, SystemExit included; KeyboardInterrupt is raised."""
    began = time.monotonic()
    verdict: Verdict
    try:
        text = check.run() or ""
        verdict = "ok"
    except KeyboardInterrupt:
        raise
    except NotApplicableError as error:
        verdict, text = "skipped", str(error)
    except BaseException as error:
        verdict, text = "failed", reason_of(error)
        if not isinstance(error, BrokenContractError):
            text += f"{place_of(error)}\n{''.join(traceback.format_exception(error)).rstrip()}"
    return Finding(check.subject, check.claim, verdict, text, time.monotonic() - began)


@contextmanager
def calling(what: str, *, expected: str, read: str) -> Iterator[None]:
    """Call a plugin. What it raises breaks its contract, but for NotApplicableError, which says what it is for."""
    try:
        yield
    except (NotApplicableError, BrokenContractError):
        raise
    except ContractError as error:
        raise BrokenContractError(expected=expected, got=str(error), read=read) from error
    except (Exception, SystemExit) as error:
        raise BrokenContractError(
            expected=expected, got=f"{what} raised {_raised(error)}{place_of(error)}", read=read
        ) from error


def _raised(error: BaseException) -> str:
    text = reason_of(error)
    return f"{type(error).__name__}: {text}" if isinstance(error, BenchsuiteError) else text


def place_of(error: BaseException) -> str:
    """The last line of the plugin's own file on the way to an error; empty where none of it was on the way."""
    frames = traceback.extract_tb(error.__traceback__)
    called = next((frame for frame in frames if not Path(frame.filename).is_relative_to(_HERE)), None)
    if called is None:
        return ""
    own = [frame for frame in frames if frame.filename == called.filename]
    return f", at {called.filename}:{own[-1].lineno}"


def as_test(checks: Sequence[Check]) -> Callable[[Check], None]:
    """A pytest function that is one test for each check; bind it to a name that begins with ``test_``."""
    import pytest

    @pytest.mark.parametrize("check", checks, ids=str)
    def test(check: Check) -> None:
        try:
            remark = check.run()
        except NotApplicableError as error:
            pytest.skip(str(error))
        if remark:
            print(remark)

    return test
