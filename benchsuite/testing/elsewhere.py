"""Whether a feature extractor works on another device, tried without one.

It is loaded for a GPU: what it keeps on the CPU is real, and what it moves to the GPU, or makes there, becomes a fake
tensor, which has a device and no numbers; see benchsuite.testing.fakes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchsuite.testing.contract import BrokenContractError
from benchsuite.testing.fakes import GPU, followed
from benchsuite.testing.features import PAGE, ROWS, LoadedExtractor
from benchsuite.testing.surroundings import switches_restored

_CURE = "move what is loaded: net.to(device), weights.to(device), torch.ones(n, device=device)"


def check_moved(extractor: LoadedExtractor) -> None:
    """Load the extractor for a fake GPU, and give it fake rows there.

    Raises BrokenContractError where devices are mixed, NotApplicableError where the code cannot be followed.
    """
    shape, read = extractor.home(), f"{PAGE}#the-map"
    plugin, cache = extractor.plugin, extractor.cache
    with switches_restored(), _gpu_pretended() as fakes, torch.no_grad():
        features: Any = followed(lambda: plugin.load(cache, GPU), "load for a GPU", cure=_CURE, read=read)
        with fakes:
            rows = torch.empty(ROWS, *shape, device=GPU)
            found = followed(lambda: features(rows), "an extractor on a GPU", cure=_CURE, read=read)
    if isinstance(found, Tensor) and found.device != GPU:
        raise BrokenContractError(
            expected="features of rows on 'cuda' are on 'cuda', where the extractor was loaded for it",
            got=f"they are on '{found.device}'; features.to(x.device)",
            read=read,
        )


class _OnlyGpuFaked(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Work on the CPU is done; what is to be on a GPU is faked."""

    def __init__(self, fakes: FakeTensorMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fakes = fakes

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if getattr(given.get("device"), "type", "cpu") == "cpu":
            return func(*args, **given)
        with self._fakes:
            return func(*args, **given)


@contextmanager
def _gpu_pretended() -> Iterator[FakeTensorMode]:
    """Torch does not start CUDA; what is moved to a fake GPU goes by way of the CPU, and modules get new parameters."""
    overwrites, lifts = torch.__future__.get_overwrite_module_params_on_conversion(), torch._C._only_lift_cpu_tensors()
    fakes = FakeTensorMode(allow_non_fake_inputs=True)
    torch._C._set_only_lift_cpu_tensors(True)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with mock.patch.object(torch.cuda, "_lazy_init", lambda: None), _OnlyGpuFaked(fakes):
            yield fakes
    finally:
        torch._C._set_only_lift_cpu_tensors(lifts)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
