"""Whether a method works on another device, tried without one.

Torch's fake tensors stand in for those of a GPU: they have a shape, a type and a device, hold no numbers, and refuse to
be mixed with tensors of another device as real ones do. Code that looks at numbers cannot be followed to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchsuite.contracts import DataSpec, Method, Model
from benchsuite.kit.samples import Samples
from benchsuite.kit.training import AnyModule
from benchsuite.testing.contract import BrokenContractError
from benchsuite.testing.fakes import GPU, followed
from benchsuite.testing.surroundings import switches_restored
from benchsuite.testing.tiny import CLASSES, TinyRun
from benchsuite.testing.trial import PAGE

_ROWS = 5
_READ = f"{PAGE}#devices"
_CURE = "make tensors where others are: torch.zeros(n, device=x.device), z.to(x)"


class _FakeRun(TinyRun):
    """A run whose losses have no numbers: nothing is logged, and there is no way back through them."""

    def prepare(self, net: AnyModule) -> AnyModule:
        """``net``, which is where it has to be."""
        return net.train()

    def step(self, optimiser: torch.optim.Optimizer, loss: Tensor, name: str = "loss") -> None:
        """Nothing."""

    def log(self, name: str, value: Tensor) -> None:
        """Nothing."""


def check_moved(model: Model, spec: DataSpec) -> None:
    """Sample, encode and decode by ``model``, which was just built and is put on a fake GPU.

    Raises BrokenContractError where devices are mixed, NotApplicableError where the code cannot be followed.
    """
    mode = FakeTensorMode()
    _put_on_gpu(model.eval(), mode)
    for name, call in _calls(model, spec).items():
        with mode, torch.no_grad():
            made = followed(call, f"{name} on a GPU", cure=_CURE, read=_READ)
        if isinstance(made, Tensor) and made.device != GPU and _has_state(model):
            raise BrokenContractError(
                expected=f"{name} of a model on 'cuda' returns a tensor on 'cuda'",
                got=f"one on '{made.device}'; move what is drawn to the model's device: z.to(self.weight)",
                read=_READ,
            )


def _calls(model: Any, spec: DataSpec) -> dict[str, Callable[[], object]]:
    calls = {"sample": lambda: model.sample(_ROWS, torch.Generator())}
    width = getattr(model, "latent_dim", None)
    if hasattr(model, "encode"):
        calls["encode"] = lambda: model.encode(torch.empty(_ROWS, *spec.shape, device=GPU))
    if hasattr(model, "decode") and isinstance(width, int):
        calls["decode"] = lambda: model.decode(torch.empty(_ROWS, width, device=GPU))
    return calls


def check_fit(method: Method, model: Model, spec: DataSpec) -> None:
    """Fit ``model`` likewise, to fake data on a fake GPU, without backward passes. Raises likewise."""
    mode = FakeTensorMode()
    _put_on_gpu(model, mode)
    with switches_restored(), mode:
        image = spec.kind == "image"
        data = torch.empty(spec.n_train, *spec.shape, dtype=torch.uint8 if image else torch.float32, device=GPU)
        labels = torch.zeros(spec.n_train, dtype=torch.int64, device=GPU) if image else None
        train = Samples(data, labels, label_names=[str(k) for k in range(CLASSES)])
        run = _FakeRun(device=GPU)
        followed(lambda: method.fit(model, train, run), "fit on a GPU", cure=_CURE, read=_READ)


def _put_on_gpu(model: Model, mode: FakeTensorMode) -> None:
    with mode:
        for module in model.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(_like(parameter), parameter.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = _like(buffer)


def _like(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=GPU)


def _has_state(model: nn.Module) -> bool:
    return any(True for _ in model.parameters()) or any(True for _ in model.buffers())
