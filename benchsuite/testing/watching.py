"""A metric called as a cell calls it, on real artefacts, and watched: what it returns, and what it changes."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchsuite.contracts import FeatureExtractor, Metric, MetricRow
from benchsuite.errors import NotApplicableError
from benchsuite.harness.binding import BoundMetric, bind_metric
from benchsuite.harness.environment import cache_folder
from benchsuite.harness.recipe import Selection
from benchsuite.harness.registry import Registry, load_registry
from benchsuite.kit.moments import Moments
from benchsuite.kit.samples import Reconstructions, Samples
from benchsuite.testing.cells import SmallCell, forget_cells
from benchsuite.testing.network import network_refused
from benchsuite.testing.surroundings import generators, in_common, switches_restored

_READ = "docs/plugins/metrics.md#artefacts"
_INSTEAD = "what a metric needs comes with its package, or as the weights of a feature extractor"


@dataclass
class Call:
    """One call of a metric: the rows that became of it; what it returned or raised, where it came to be called at all;
    and, by name, the artefacts, global generators and switches that it left otherwise."""

    cell: str
    rows: list[MetricRow] = field(default_factory=list)
    called: bool = False
    returned: object = None
    raised: Exception | None = None
    changed: list[str] = field(default_factory=list)
    drew: list[str] = field(default_factory=list)
    switched: list[str] = field(default_factory=list)

    @property
    def values(self) -> dict[str, float]:
        """Its numbers, by the name of their row."""
        return {row.metric: row.value for row in self.rows if row.value is not None}

    @property
    def references(self) -> set[str]:
        """The names of those that are only there to be compared with."""
        return {row.metric for row in self.rows if row.direction == "none"}


def watched(metric: Metric, cell: SmallCell) -> Call:
    """Score ``cell`` by ``metric``.

    Raises NotApplicableError where it does not apply, and PluginError and UsageError for what cannot be bound.
    """
    call = Call(str(cell))
    evaluation = cell.evaluation
    registry = _With(replace(metric, compute=_watching(metric.compute, call)))
    bound = bind_metric(
        Selection(metric.name), evaluation.dataset, cache_folder(), cell.cell.samples, cell.cell.subset, registry
    )
    call.rows = evaluation.score(_keeping_nothing(bound))
    if call.changed:
        forget_cells()
    if call.rows[0].status == "skipped":
        raise NotApplicableError(call.rows[0].reason)
    return call


class _With(Registry):
    """The registry, and a metric that need not be in it."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric = metric

    def get(self, kind: str, name: str) -> Any:
        """The metric; of other kinds what is registered."""
        return self._metric if kind == "metrics" else load_registry().get(kind, name)


def _keeping_nothing(bound: BoundMetric) -> BoundMetric:
    """Features of so few rows are not worth a place in the user's cache."""
    if bound.extractor is None:
        return bound
    extractor: FeatureExtractor = copy.copy(bound.extractor)
    object.__setattr__(extractor, "kept", False)
    return replace(bound, extractor=extractor)


def _watching(compute: Callable[..., Any], call: Call) -> Callable[..., Any]:
    @functools.wraps(compute)
    def watching(*artefacts: Any, **parameters: Any) -> Any:
        call.called = True
        names = list(inspect.signature(compute).parameters)[: len(artefacts)]
        before = [_state_of(artefact) for artefact in artefacts]
        states = generators()
        try:
            with switches_restored() as switched, network_refused("compute", _READ, _INSTEAD):
                call.returned = compute(*artefacts, **parameters)
        except Exception as error:
            call.raised = error
            raise
        finally:
            call.switched = switched
            call.drew = sorted(set(states) - set(in_common(states, generators())))
            after = [_state_of(artefact) for artefact in artefacts]
            call.changed = [name for name, a, b in zip(names, before, after, strict=True) if a != b]
        return call.returned

    return watching


def _state_of(artefact: object) -> object:
    """What compares unequal once an artefact was changed; the same for what is meant to change, such as generators."""
    if isinstance(artefact, Tensor):
        return artefact.dtype, artefact.shape, artefact.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()
    if isinstance(artefact, Reconstructions):
        return artefact.fingerprint(), artefact.original.fingerprint()
    if isinstance(artefact, Samples):
        return artefact.fingerprint()
    if isinstance(artefact, nn.Module):
        modes = [module.training for module in artefact.modules()]
        wanted = [parameter.requires_grad for parameter in artefact.parameters()]
        return modes, wanted, _state_of(artefact.state_dict())
    if isinstance(artefact, Moments):
        return _state_of(artefact.state())
    if isinstance(artefact, Mapping):
        return {name: _state_of(value) for name, value in artefact.items()}
    own = getattr(artefact, "__dict__", {})  # of laws
    return {name: _state_of(value) for name, value in own.items() if isinstance(value, Tensor)}
