"""Contract tests for plugin authors: each function gives a pytest test for every claim of the contract of one kind.

>>> from benchsuite.testing import method_contract  # doctest: +SKIP
>>> test_waves = method_contract(Waves)  # doctest: +SKIP

``benchsuite plugins check`` tries the same on installed plugins and on files.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchsuite.testing.contract import BrokenContractError, Check
    from benchsuite.testing.datasets import dataset_contract
    from benchsuite.testing.executors import executor_contract
    from benchsuite.testing.extractors import extractor_contract
    from benchsuite.testing.methods import method_contract
    from benchsuite.testing.metrics import metric_contract
    from benchsuite.testing.reporters import reporter_contract

__all__ = [
    "BrokenContractError",
    "Check",
    "dataset_contract",
    "executor_contract",
    "extractor_contract",
    "method_contract",
    "metric_contract",
    "reporter_contract",
]

_HOME = {"BrokenContractError": "contract", "Check": "contract"}


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, resolved when it is first used: the command line asks for none and needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module 'benchsuite.testing' has no attribute '{name}'")
    home = _HOME.get(name, f"{name.removesuffix('_contract')}s")
    value = getattr(import_module(f"benchsuite.testing.{home}"), name)
    globals()[name] = value
    return value
