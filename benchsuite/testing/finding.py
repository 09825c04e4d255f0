"""How checks come out; light, for those who only show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """How a check came out. ``text`` is the reason, or a remark; ``seconds`` is how long it took."""

    subject: str
    claim: str
    verdict: Verdict
    text: str = ""
    seconds: float = 0.0
