"""What is listed and completed from the index, against the import of torch that this saves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from test_startup import processor_seconds

LIMIT = 10
TYPED = {"_BENCHSUITE_COMPLETE": "bash_complete", "COMP_WORDS": "benchsuite\nrun\n-m\nglo,dc", "COMP_CWORD": "3"}
COMPLETION = "import sys; sys.argv = ['benchsuite']; from benchsuite.cli import main; main()"
CASES: dict[str, tuple[list[str], dict[str, str]]] = {
    "list": (["-m", "benchsuite", "list"], {}),
    "completion": (["-c", COMPLETION], TYPED),
}


@pytest.mark.parametrize("case", CASES)
def test_listing(case: str, speedup: Callable[..., float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, variables = CASES[case]
    for name, value in (variables | {"BENCHSUITE_CACHE": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    ratio = speedup(lambda: processor_seconds("-c", "import torch"), lambda: processor_seconds(*arguments))
    print(f"\n{case}: {ratio:.1f} x as fast as importing torch; limit {LIMIT}")
    assert ratio >= LIMIT
