"""The contract of a feature extractor, check by check, on tiny data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from benchsuite.contracts import Dataset, FeatureExtractor, Kind
from benchsuite.errors import NotApplicableError, PluginError, UsageError
from benchsuite.harness.binding import make
from benchsuite.harness.registry import load_registry
from benchsuite.testing.claims import check_name, with_defaults
from benchsuite.testing.contract import BrokenContractError, Check, as_test, calling
from benchsuite.testing.elsewhere import check_moved
from benchsuite.testing.features import CPU, PAGE, ROWS, LoadedExtractor, applied, loaded
from benchsuite.testing.options import check_options
from benchsuite.testing.parameterised import checks_of_parameterised
from benchsuite.testing.preparing import there_unprepared
from benchsuite.testing.returned import check_returned
from benchsuite.testing.surroundings import generators_kept, switches_restored
from benchsuite.testing.tiny import called, tiny_samples
from benchsuite.testing.untouched import check_untouched

_RTOL, _ATOL = 1e-3, 1e-4  # what another order of sums makes of float32
_DATASETS: dict[Kind, str] = {"image": "digits", "vector": "ring"}


def extractor_contract(extractor: type[FeatureExtractor] | FeatureExtractor) -> Callable[[Check], None]:
    """A pytest function with one test for each claim of the contract of a feature extractor.

    >>> test_edges = extractor_contract(Edges)  # doctest: +SKIP

    One that has to be prepared goes by what is in the user's cache, and is skipped where it is not there.
    """
    return as_test(extractor_checks(extractor))


def extractor_checks(extractor: type[FeatureExtractor] | FeatureExtractor) -> list[Check]:
    """Every check of a feature extractor: of what it declares, and of what it makes of tiny data."""
    claims: dict[str, Callable[[LoadedExtractor], str | None]] = {
        "says so where it has to be prepared": _unprepared,
        "its fingerprint is a text, the same each time": _fingerprint,
        "gives features, (N, D), without the network": _gives,
        "any number of rows will do": _any_rows,
        "says so where data do not suit it": _refuses,
        "gives the same features each time": _again,
        "treats each row as if it were alone": _alone,
        "leaves what it is given as it was": _leaves,
        "leaves seeds and switches of others alone": _surroundings,
        "works on another device": check_moved,
        "gives an extractor for a dataset, or says why not": _for_dataset,
        "other options have another fingerprint": check_options,
        "logits keep their promise": _logits,
    }
    return checks_of_parameterised(
        "feature extractor",
        extractor,
        of_class={"says its kind": _words},
        by_default=with_defaults,
        on_trial=LoadedExtractor,
        claims=claims,
        foremost="gives features",
    )


def _words(cls: type[FeatureExtractor]) -> None:
    check_name(cls)
    if cls.kind not in (None, *get_args(Kind)):
        raise BrokenContractError(
            expected="kind is 'image', 'vector', or None for both", got=f"kind = {cls.kind!r}", read=f"{PAGE}#the-map"
        )


def _unprepared(extractor: LoadedExtractor) -> str | None:
    plugin = extractor.plugin
    if type(plugin).prepare is FeatureExtractor.prepare:
        raise NotApplicableError("it has no prepare")
    calls: dict[str, Callable[[Path], object]] = {
        "fingerprint(cache)": plugin.fingerprint,
        "load(cache, device)": lambda cache: plugin.load(cache, CPU),
    }
    there = there_unprepared(plugin.name, calls, NotApplicableError, f"{PAGE}#weights")
    return f"{' and '.join(there)} found weights outside of the cache" if there else None


def _fingerprint(extractor: LoadedExtractor) -> None:
    read = f"{PAGE}#fingerprints"
    expected = "fingerprint(cache) is a text that identifies weights and preprocessing, the same each time"
    with calling("fingerprint(cache)", expected=expected, read=read):
        first, second = extractor.plugin.fingerprint(extractor.cache), extractor.plugin.fingerprint(extractor.cache)
    if not isinstance(first, str) or not first or first != second:
        raise BrokenContractError(expected=expected, got=f"{first!r}, then {second!r}", read=read)


def _gives(extractor: LoadedExtractor) -> None:
    extractor.home()


def _any_rows(extractor: LoadedExtractor) -> None:
    shape = extractor.home()
    for rows in (1, 2, 33):
        extractor.of(shape, rows)


def _refuses(extractor: LoadedExtractor) -> str | None:
    extractor.home()
    refused, taken = [], []
    for shape in extractor.shapes():
        try:
            extractor.of(shape)
            taken.append(len(shape))
        except NotApplicableError as error:
            refused.append(f"{called(shape)} ({error})")
    if extractor.plugin.kind is None and len(set(taken)) == 1:
        kind = "image" if 3 in taken else "vector"
        return f"it is for {kind}s only; kind = '{kind}' in its body says so before anything runs"
    return f"it is not for {'; '.join(refused)}" if refused else None


def _again(extractor: LoadedExtractor) -> None:
    shape = extractor.home()
    first = extractor.of(shape)
    for what, features in (("called", extractor.features()), ("loaded", loaded(extractor.plugin, extractor.cache))):
        if not torch.equal(first, applied(features, tiny_samples(shape, ROWS)[:])):
            raise BrokenContractError(
                expected="the same rows have the same features, each time",
                got=f"others when it was {what} again; put layers into eval mode, and draw filters by a generator with "
                "a fixed seed, or load them",
                read=f"{PAGE}#the-map",
            )


def _alone(extractor: LoadedExtractor) -> None:
    shape = extractor.home()
    features, x = extractor.features(), tiny_samples(shape, 33)[:]
    together = extractor.of(shape, 33)
    alone = torch.cat([applied(features, row) for row in torch.split(x, 1)])
    if together.shape != alone.shape or not torch.allclose(together, alone, _RTOL, _ATOL * _scale(together)):
        raise BrokenContractError(
            expected="a row has the same features, whatever rows lie beside it",
            got="others when rows come one by one; do not normalise by the rows that come together, as batch norm does "
            "in training mode",
            read=f"{PAGE}#the-map",
        )


def _scale(x: Tensor) -> float:
    return max(1.0, float(x.abs().max()))


def _leaves(extractor: LoadedExtractor) -> None:
    x = tiny_samples(extractor.home(), ROWS)[:]
    kept = x.clone()
    applied(extractor.features(), x)
    if not torch.equal(x, kept):
        raise BrokenContractError(
            expected="the rows that are given stay as they were",
            got="they were changed in place; x = x * 2 makes new ones, x *= 2 does not",
            read=f"{PAGE}#the-map",
        )


def _surroundings(extractor: LoadedExtractor) -> None:
    x, read = tiny_samples(extractor.home(), ROWS)[:], f"{PAGE}#the-map"
    with switches_restored() as switched:
        features = loaded(extractor.plugin, extractor.cache)  # which may draw, as layers do when they are made
        with generators_kept("an extractor at work", read, "features are a fixed map"):
            applied(features, x)
    check_untouched(switched, expected="an extractor leaves the process as it was", before="it changed ", read=read)


def _for_dataset(extractor: LoadedExtractor) -> str | None:
    plugin, read = extractor.plugin, f"{PAGE}#weights"
    refused = []
    for name in [name for kind, name in _DATASETS.items() if plugin.kind in (None, kind)]:
        expected = f"for_dataset(dataset), of {name}, returns an extractor, or raises NotApplicableError"
        try:
            with calling("for_dataset(dataset)", expected=expected, read=read):
                found: object = plugin.for_dataset(_dataset(name))
        except NotApplicableError as error:
            refused.append(f"{name} ({error})")
            continue
        if not isinstance(found, FeatureExtractor):
            got = "nothing; return self where it is for any" if found is None else f"a {type(found).__name__}"
            raise BrokenContractError(expected=expected, got=got, read=read)
    return f"it is not for {'; '.join(refused)}" if refused else None


def _dataset(name: str) -> Dataset:
    try:
        found: Dataset = make("datasets", name, {}, load_registry())
    except (PluginError, UsageError) as error:  # a built-in plugin that is blocked
        raise NotApplicableError(str(error)) from None
    return found


def _logits(extractor: LoadedExtractor) -> None:
    shape = extractor.home()
    logits: Callable[[Tensor], Any] | None = getattr(extractor.features(), "logits", None)
    if logits is None:
        raise NotApplicableError("it tells no classes apart")
    features, read = extractor.of(shape), f"{PAGE}#the-map"
    expected = "logits(features), (N, D) -> (N, K), tells K classes apart, two or more"
    with calling("logits(features)", expected=expected, read=read):
        found = applied(logits, features)
    classes = found.shape[1] if isinstance(found, Tensor) and found.ndim == 2 else 0
    if classes < 2:
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise BrokenContractError(expected=expected, got=got, read=read)
    check_returned(found, call="logits(features)", shape=(ROWS, classes), read=read)
