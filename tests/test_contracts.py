"""Every method of the registry keeps its contract, on images of any size: a plugin is tested by existing.

The other kinds are in test_testing_kinds.py.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchsuite import Method
from benchsuite.errors import NotApplicableError
from benchsuite.harness.registry import load_registry
from benchsuite.parameters import parameters_of
from benchsuite.testing.contract import Check
from benchsuite.testing.methods import method_checks
from benchsuite.testing.returned import check_returned
from benchsuite.testing.tiny import TinyRun, tiny_samples
from benchsuite.testing.trial import Trial

REGISTRY = load_registry()
METHODS = REGISTRY.names("methods")
SHAPES = [(channels, size, size) for size in (8, 16, 28, 32, 64, 128) for channels in (1, 3)]
ROWS = 18
BRIEF = {"epochs": 1, "batch_size": 16, "width": 4, "prior_width": 4}
BRIEF |= {"reversal_steps": 2, "prior_epochs": 1, "retraining_epochs": 1}
FILES = tempfile.TemporaryDirectory(prefix="benchsuite-contracts-")


@functools.cache
def made_elsewhere(shape: tuple[int, ...]) -> str:
    """The file of 40 samples that a method reads where it needs one."""
    path = Path(FILES.name) / f"{'x'.join(map(str, shape))}.npz"
    generator, images, size = np.random.default_rng(6), len(shape) == 3, (40, *shape)
    np.savez(path, samples=generator.integers(256, size=size, dtype="uint8") if images else generator.normal(size=size))
    return str(path)


def quick(name: str, shape: tuple[int, ...]) -> Method:
    """The method, small and brief where it has such knobs, for data of this ``shape``."""
    cls = REGISTRY.get("methods", name)
    wanted: dict[str, Any] = BRIEF | ({"path": made_elsewhere(shape)} if "path" in parameters_of(cls) else {})
    method: Method = cls(**{key: value for key, value in wanted.items() if key in parameters_of(cls)})
    return method


CLAIMS = [
    pytest.param(check, id=f"{name}-{check.claim}")
    for name in METHODS
    for check in method_checks(quick(name, (1, 8, 8)))
]


@pytest.mark.parametrize("check", CLAIMS)
def test_a_method_keeps_its_contract(check: Check) -> None:
    try:
        remark = check.run()
    except NotApplicableError as error:
        if "the model has no" in str(error):  # what it need not have
            return
        assert "could not be followed" in str(error)
        pytest.skip(str(error))
    # Deterministic by nature: principal components, and files as they are.
    assert remark != "every seed comes to the same model" or check.subject in ("method 'pca'", "method 'samples'")


@pytest.mark.parametrize("shape", [*SHAPES, (6,)], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_samples_have_the_shape_and_range_of_the_data(name: str, shape: tuple[int, ...]) -> None:
    trial = Trial(quick(name, shape))
    fit = trial.fitted(tiny_samples(shape, ROWS), TinyRun(), 0)
    for n in (1, 5):
        check_returned(fit.draw(n), call="sample", shape=(n, *shape), image=len(shape) == 3, read="")
