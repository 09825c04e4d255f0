"""How large a model is, and how much arithmetic a sample and a code of it take.

Learnt numbers are the model's parameters: those of a discriminator and of an encoder are among them, and PCA's are its
mean and axes. A table of codes, one for each training row, is counted apart, since it grows with the data.

Operations are counted by torch from the shapes of what runs: matrix products, convolutions and attention, 2 for each
multiply-add, whatever the padding; biases, normalisation, activations and random numbers count nothing. They depend on
neither device nor weights, and say little of speed where a network is small.

Source: own work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from benchsuite import Metric, Model, NotApplicableError, hookimpl
from benchsuite.kit.nets import sizes_of

_ROWS = 16


def parameters(model: Model) -> Mapping[str, float]:
    """Learnt numbers, codes apart; ``codes``: those in the model's table of codes, 0 where it has none."""
    _check_known(model)
    learnt, codes = sizes_of(model)
    return {"": learnt, "codes": codes or 0}


def flops(model: Model, generator: torch.Generator) -> Mapping[str, float]:
    """Floating-point operations of one ``sample``, its code's drawing included; ``encode``: of the code of one row.

    Raises NotApplicableError for a model whose arithmetic is not torch's.
    """
    _check_known(model)
    if hasattr(model, "learnt_numbers"):
        raise NotApplicableError("the method computes outside of torch, which counts operations")
    drawn: list[Tensor] = []
    rows = {"sample": _operations(lambda: drawn.append(model.sample(_ROWS, generator)))}
    encode: Callable[[Tensor], Tensor] | None = getattr(model, "encode", None)
    if encode is not None:
        rows["encode"] = _operations(lambda: encode(drawn[0]))
    return rows


def _check_known(model: Model) -> None:
    if getattr(model, "made_elsewhere", False):
        raise NotApplicableError("its samples were made elsewhere, by a model of unknown size")


def _operations(work: Callable[[], object]) -> float:
    """What ``work`` on 16 rows takes, for each."""
    from torch.utils.flop_counter import FlopCounterMode  # whose import every start would pay for

    with FlopCounterMode(display=False) as counter:
        work()
    total: int = counter.get_total_flops()
    return total / _ROWS


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``parameters`` and ``flops``."""
    return [
        Metric("parameters", parameters, higher_is_better=None, default=False),
        Metric("flops", flops, higher_is_better=None, unit="FLOP", default=False),
    ]
