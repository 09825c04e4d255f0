"""The contract of a dataset, check by check, on a bounded number of its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor

from benchsuite.contracts import Dataset, Kind, Split
from benchsuite.errors import NotApplicableError
from benchsuite.harness.binding import extractor_of
from benchsuite.harness.registry import load_registry
from benchsuite.kit.samples import Samples, evenly_spaced
from benchsuite.kit.seeds import seed_all
from benchsuite.testing.claims import check_name, with_defaults
from benchsuite.testing.contract import BrokenContractError, Check, as_test, calling
from benchsuite.testing.labels import check_labels
from benchsuite.testing.laws import check_law
from benchsuite.testing.loading import PAGE, LoadedDataset, calls_of
from benchsuite.testing.network import network_refused
from benchsuite.testing.parameterised import checks_of_parameterised
from benchsuite.testing.preparing import check_writes_nothing
from benchsuite.testing.returned import check_returned
from benchsuite.testing.splits import check_apart
from benchsuite.testing.surroundings import generators_kept, switches_restored
from benchsuite.testing.untouched import check_untouched

_SPLITS: tuple[Split, ...] = get_args(Split)
_LOOKED_AT = 512  # rows of a split


def dataset_contract(dataset: type[Dataset] | Dataset) -> Callable[[Check], None]:
    """A pytest function with one test for each claim of the contract of a dataset.

    >>> test_shapes = dataset_contract(Shapes)  # doctest: +SKIP

    One that has to be prepared is looked at as it is in the user's cache, and skipped where it is not there.
    """
    return as_test(dataset_checks(dataset))


def dataset_checks(dataset: type[Dataset] | Dataset) -> list[Check]:
    """Every check of a dataset: of what it declares, and of what it loads."""
    claims: dict[str, Callable[[LoadedDataset], str | None]] = {
        "says so where it has to be prepared": _unprepared,
        "loads both splits, without the network": _loads,
        "writes nothing into the cache": _writes,
        "identifies what it loads": _content,
        "both splits have one shape, and the kind that it declares": _shapes,
        "images are in [0, 1], vectors finite": _values,
        "every load gives the same rows": _again,
        "loading leaves seeds and switches of others alone": _alone,
        "test rows are not training rows": lambda dataset: check_apart(*dataset.both(), f"{PAGE}#splits"),
        "labels are classes or attributes": lambda dataset: check_labels(*dataset.both(), f"{PAGE}#loading"),
        "its features exist, and suit the data": _features,
        "its law is one": _law,
    }
    return checks_of_parameterised(
        "dataset",
        dataset,
        of_class={"says its kind and the size of its codes": _words},
        by_default=with_defaults,
        on_trial=LoadedDataset,
        claims=claims,
        foremost="loads both splits",
    )


def _words(cls: type[Dataset]) -> None:
    check_name(cls)
    if cls.kind not in get_args(Kind):
        raise BrokenContractError(
            expected="kind is 'image' or 'vector'", got=f"kind = {cls.kind!r}", read=f"{PAGE}#loading"
        )
    width: object = getattr(cls, "latent_dim", None)
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise BrokenContractError(
            expected="latent_dim, the size of codes where nobody else says one, is a whole number, at least 1",
            got=f"latent_dim = {width!r}",
            read=f"{PAGE}#loading",
        )


def _unprepared(dataset: LoadedDataset) -> str | None:
    if not dataset.is_prepared:
        raise NotApplicableError("it has no prepare")
    return dataset.unprepared()


def _writes(dataset: LoadedDataset) -> None:
    if dataset.is_prepared:
        raise NotApplicableError("it has a prepare; what it does in an empty cache was tried before")
    dataset.both()
    check_writes_nothing(calls_of(dataset.plugin), f"{PAGE}#preparing")


def _loads(dataset: LoadedDataset) -> None:
    dataset.both()


def _content(dataset: LoadedDataset) -> None:
    samples, read = dataset.samples("train"), f"{PAGE}#preparing"
    expected = "content(cache) is a text, the same each time"
    with network_refused("content(cache)", read), calling("content(cache)", expected=expected, read=read):
        first, second = dataset.plugin.content(dataset.cache), dataset.plugin.content(dataset.cache)
    if not isinstance(first, str) or first != second:
        raise BrokenContractError(expected=expected, got=f"{first!r}, then {second!r}", read=read)
    if samples.content not in ("", first):
        raise BrokenContractError(
            expected="the content of the Samples that load gives is what content(cache) returns",
            got=f"'{samples.content}' and '{first}'",
            read=read,
        )
    if dataset.is_prepared and not first:
        raise BrokenContractError(
            expected="content(cache) identifies what was prepared, so that cells run again when it changes",
            got="an empty text",
            read=read,
        )


def _shapes(dataset: LoadedDataset) -> None:
    train, test = dataset.both()
    if train.shape != test.shape:
        raise BrokenContractError(
            expected="the rows of both splits have one shape",
            got=f"{train.shape} in 'train' and {test.shape} in 'test'",
            read=f"{PAGE}#loading",
        )
    for split, samples in (("train", train), ("test", test)):
        if samples.kind != dataset.plugin.kind:
            raise BrokenContractError(
                expected=f"{dataset.plugin.kind}s, since kind = '{dataset.plugin.kind}'",
                got=f"{samples.kind}s in '{split}', of shape {samples.shape}; images are (channels, height, width), "
                "vectors (D,)",
                read=f"{PAGE}#loading",
            )


def _rows(samples: Samples, most: int = _LOOKED_AT) -> Tensor:
    """The numbers of evenly spaced rows."""
    return evenly_spaced(len(samples), most)


def _values(dataset: LoadedDataset) -> None:
    for split, samples in zip(_SPLITS, dataset.both(), strict=True):
        rows = _rows(samples)
        check_returned(
            samples[rows],
            call=f"load('{split}', cache)",
            shape=(len(rows), *samples.shape),
            image=samples.kind == "image",
            read=f"{PAGE}#loading",
        )


def _again(dataset: LoadedDataset) -> None:
    dataset.both()
    for split in _SPLITS:
        loads = []
        for seed in (0, 1):
            seed_all(seed)
            loads.append(dataset.loaded(split))
        first, second = loads
        rows = _rows(first)
        if len(first) == len(second) and torch.equal(first[rows], second[rows]) and _same_labels(first, second):
            continue
        raise BrokenContractError(
            expected=f"load('{split}', cache) gives the same rows each time, whatever the seed of a run",
            got="others; what is drawn is drawn by a generator of its own with a fixed seed: "
            "torch.Generator().manual_seed(1)",
            read=f"{PAGE}#loading",
        )


def _same_labels(first: Samples, second: Samples) -> bool:
    if first.labels is None or second.labels is None:
        return first.labels is second.labels
    return torch.equal(first.labels, second.labels)


def _alone(dataset: LoadedDataset) -> None:
    dataset.both()
    instead = "draw by a generator of your own, as in torch.randn(n, d, generator=torch.Generator().manual_seed(1))"
    with switches_restored() as switched, generators_kept("load", f"{PAGE}#loading", instead):
        for split in _SPLITS:
            dataset.loaded(split)[:1]
    check_untouched(
        switched, expected="load leaves the process as it was", before="it changed ", read=f"{PAGE}#loading"
    )


def _law(dataset: LoadedDataset) -> None:
    (_, test), read = dataset.both(), f"{PAGE}#loading"
    with network_refused("truth(), or its law,", read):
        check_law(dataset.plugin, test, read)


def _features(dataset: LoadedDataset) -> None:
    x, read = dataset.samples("train")[:3], f"{PAGE}#loading"
    expected = "default_features(cache) selects an extractor, such as 'random_conv' or 'pixels', that suits the data"
    what = "default_features, or the extractor,"
    with torch.no_grad(), network_refused(what, read), calling(what, expected=expected, read=read):
        extractor = extractor_of(None, dataset.plugin, dataset.cache, load_registry())
        extractor.fingerprint(dataset.cache)  # says where weights are missing
        features = extractor.load(dataset.cache, torch.device("cpu"))
        try:
            found = features(x)
        except NotApplicableError as error:
            raise BrokenContractError(
                expected=expected, got=f"{extractor.name} refuses them: {error}", read=read
            ) from None
    width = found.shape[-1] if isinstance(found, Tensor) and found.ndim else 0
    check_returned(found, call=f"{extractor.name} of {len(x)} rows", shape=(len(x), width), read=read)
