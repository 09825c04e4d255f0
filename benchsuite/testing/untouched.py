"""What a plugin should have left as it was."""

from __future__ import annotations

from collections.abc import Sequence

from benchsuite.testing.contract import BrokenContractError


def check_untouched(changed: Sequence[str], *, expected: str, read: str, before: str = "", after: str = "") -> None:
    """Raises BrokenContractError where something ``changed``, by name; ``before`` and ``after`` stand around names."""
    if changed:
        raise BrokenContractError(expected=expected, got=f"{before}{', '.join(changed)}{after}", read=read)
