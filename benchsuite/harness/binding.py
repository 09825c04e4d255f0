"""Selections bound to what they select: names looked up, parameters converted and checked."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from benchsuite.contracts import Dataset, FeatureExtractor, Metric
from benchsuite.errors import BenchsuiteError, NotApplicableError, ParameterError, PluginError, reason_of
from benchsuite.harness.coding import TRAIN_IMAGES, Way
from benchsuite.harness.identity import source_fingerprint
from benchsuite.harness.recipe import Selection, parse_selections
from benchsuite.harness.registry import Registry
from benchsuite.kit.coding import CodesBy
from benchsuite.kit.files import digest
from benchsuite.parameters import arguments_of, convert, describe, is_list_type, parameters_of

# Goes up when the way in which artefacts are made changes what metrics see.
PROTOCOL = 4

# The artefacts that go by the feature extractor which a metric selects.
BY_EXTRACTOR = (
    "real_features",
    "test_features",
    "generated_features",
    "real_moments",
    "generated_moments",
    "generated_logits",
    "extractor",
)
# The artefacts that go by the way in which codes are found, which a metric selects.
BY_CODES = ("codes", "codes_train", "labels_train", "reconstructed", "reconstructed_train")
ARTEFACTS = (
    "real",
    "train",
    "labels",
    "generated",
    *BY_CODES,
    *BY_EXTRACTOR,
    "model",
    "untrained",
    "spec",
    "truth",
    "generator",
    "shared",
)


@dataclass(frozen=True)
class Bound:
    """A method or dataset with its label and every one of its parameters, defaults included.

    ``content`` identifies the data of a dataset that was prepared, or the files that a method reads, which parameters
    and code do not; ``problem`` says why there are none.
    """

    label: str
    name: str
    params: Mapping[str, Any]
    instance: Any
    content: str = ""
    problem: str = ""

    @property
    def source(self) -> str:
        """The fingerprint of the plugin's source."""
        return source_fingerprint(type(self.instance).__module__)


def bind(kind: str, selection: Selection, registry: Registry) -> list[Bound]:
    """One Bound, or one for each combination where a parameter is given a list of values: ``glo[epochs=[10,20]]``.

    Raises UsageError for unknown names and bad values, PluginError for a plugin that is broken.
    """
    cls = registry.get(kind, selection.name)
    declared = parameters_of(cls)
    choices: list[list[tuple[str, Any]]] = []
    for key, value in selection.params:
        sweeps = isinstance(value, tuple) and not (key in declared and is_list_type(declared[key].annotation))
        choices.append([(key, v) for v in value] if sweeps else [(key, value)])
    bound = []
    for combination in itertools.product(*choices):
        one = dataclasses.replace(selection, params=tuple(combination))
        label = one.unlabelled()
        if selection.label:
            swept = [pair for pair in combination if dict(selection.params)[pair[0]] != pair[1]]
            label = str(Selection(selection.label, tuple(swept)))
        instance = make(kind, one.name, dict(combination), registry)
        params = {name: getattr(instance, name) for name in declared}
        try:
            json.dumps(params)
        except (TypeError, ValueError):
            raise PluginError(
                f"{one.name}: parameters are numbers, text, true, false, none and lists of these"
            ) from None
        bound.append(Bound(label, one.name, params, instance))
    return bound


def make(kind: str, name: str, params: Mapping[str, Any], registry: Registry) -> Any:
    """The method, dataset or extractor ``name`` with ``params``, as text or typed."""
    cls = registry.get(kind, name)
    converted = convert(name, cls, params)
    for parameter in parameters_of(cls).values():
        if parameter.default is dataclasses.MISSING and parameter.name not in converted:
            raise ParameterError(f"{name} needs a value for {parameter.name}: {describe(parameter.annotation)}")
    try:
        return cls(**converted)
    except BenchsuiteError:
        raise
    except Exception as error:  # a plugin's own check
        raise ParameterError(f"{name}: {error}") from None


def extractor_of(text: str | None, dataset: Dataset, cache: Path, registry: Registry) -> FeatureExtractor:
    """The feature extractor that is selected by ``text``, else the dataset's own.

    Raises NotApplicableError where it is not made for this dataset, UsageError for what ``text`` may not be.
    """
    (selection,) = parse_selections(text or dataset.default_features(cache))
    extractor: FeatureExtractor = make("features", selection.name, dict(selection.params), registry)
    if extractor.kind not in (None, dataset.kind):
        raise NotApplicableError(
            f"features '{extractor.name}' are of {extractor.kind}s, and '{dataset.name}' has {dataset.kind}s; "
            "select others: [features=pixels]"
        )
    return extractor.for_dataset(dataset)


def dataset_fingerprint(name: str, content: str, params: Mapping[str, Any], source: str) -> str:
    """Identifies a dataset's data: by their ``content`` where they were prepared, else by parameters; and by code."""
    return digest([name, content or params, source], 8)


@dataclass(frozen=True)
class BoundMetric:
    """A metric with its parameters, the artefacts it asks for, and the protocol that its scores follow.

    ``extractor`` is there where an artefact goes by one; ``problem`` says why it cannot be used.
    """

    selection: str
    metric: Metric
    params: Mapping[str, Any]
    artefacts: Sequence[str]
    protocol: Mapping[str, Any]
    extractor: FeatureExtractor | None = None
    problem: str = ""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The parameters as the metric takes them."""
        return arguments_of(self.metric.compute, self.params)

    @property
    def way(self) -> Way:
        """How the codes are found that the metric asks for: by its parameters ``codes_by`` and ``rows``."""
        return Way(self.params.get("codes_by", "own"), self.params.get("rows", TRAIN_IMAGES))

    @property
    def fingerprint(self) -> str:
        """Identifies the protocol."""
        return digest(self.protocol, 8)


def bind_metric(
    selection: Selection, dataset: Dataset, cache: Path, samples: int, subset: int | None, registry: Registry
) -> BoundMetric:
    """Raises UsageError and PluginError like ``bind``; PluginError for an artefact that does not exist."""
    metric: Metric = registry.get("metrics", selection.name)
    artefacts = _positional(metric)
    given = convert(metric.name, metric.compute, dict(selection.params))
    params = {p.name: p.default for p in parameters_of(metric.compute).values()} | given
    _check(metric, params)
    protocol: dict[str, Any] = {
        "metric": metric.name,
        "version": metric.version,
        "params": params,
        "protocol": PROTOCOL,
        "subset": subset,
    }
    if any(a.startswith("generated") for a in artefacts):
        protocol["samples"] = samples
    extractor, problem = None, ""
    if set(BY_EXTRACTOR) & set(artefacts):
        try:
            extractor = extractor_of(params.get("features"), dataset, cache, registry)
            protocol["features"] = extractor.fingerprint(cache)
        except NotApplicableError as error:
            protocol["features"], problem = None, str(error)  # the row will be skipped with that reason
        except BenchsuiteError:
            raise
        except Exception as error:  # a plugin's code
            raise PluginError(f"{metric.name}: its feature extractor failed: {reason_of(error)}") from error
    try:
        json.dumps(protocol)
    except (TypeError, ValueError):
        raise PluginError(f"{metric.name}: parameters and fingerprints of extractors are text and numbers") from None
    return BoundMetric(selection.unlabelled(), metric, params, artefacts, protocol, extractor, problem)


def _check(metric: Metric, params: Mapping[str, Any]) -> None:
    """Raises ParameterError for parameters that do not go together, PluginError for some that cannot say of which rows,
    or how, codes are to be found."""
    by, rows = params.get("codes_by", "own"), params.get("rows", TRAIN_IMAGES)
    known = by in get_args(CodesBy) and isinstance(rows, int) and rows > 0
    if not known and set(BY_CODES) & set(_positional(metric)):
        raise PluginError(
            f"{metric.name}: codes_by={by!r} and rows={rows!r} do not say how codes are to be found; annotate them as "
            "benchsuite.kit.coding.CodesBy and benchsuite.PositiveInt"
        )
    try:
        arguments_of(metric.compute, params)
    except ParameterError as error:
        raise ParameterError(f"{metric.name}: {error}") from None


def _positional(metric: Metric) -> tuple[str, ...]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in inspect.signature(metric.compute).parameters.values() if p.kind in kinds]
    for name in names:
        if name not in ARTEFACTS:
            raise PluginError(f"metric '{metric.name}' asks for '{name}'; artefacts are {', '.join(ARTEFACTS)}")
    return tuple(names)
