"""The contract of a dataset, check by check, on a bounded number of its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from benchsuite.contracts import Dataset, Kind, Split
from benchsuite.errors import DataMissingError, NotApplicableError
from benchsuite.harness.binding import extractor_of
from benchsuite.harness.environment import cache_folder
from benchsuite.harness.registry import load_registry
from benchsuite.kit.samples import Samples, evenly_spaced
from benchsuite.testing.claims import Memory, check_name, checks_of_claims, skipped, with_defaults
from benchsuite.testing.contract import BrokenContractError, Check, as_test, calling
from benchsuite.testing.declared import checks_of_parameters, checks_of_words
from benchsuite.testing.labels import check_labels
from benchsuite.testing.laws import check_law
from benchsuite.testing.network import network_refused
from benchsuite.testing.preparing import there_unprepared
from benchsuite.testing.returned import check_returned
from benchsuite.testing.surroundings import generators_kept, seed_all, switches_restored

PAGE = "docs/plugins/datasets.md"

_SPLITS: tuple[Split, ...] = get_args(Split)
_LOOKED_AT = 512  # rows of a split
_SEARCHED = 20_000  # training rows among which test rows are looked for ...
_SEARCHED_BYTES = 2**28  # ... and what they may take as float32
_BLOCK = 256


def dataset_contract(dataset: type[Dataset] | Dataset) -> Callable[[Check], None]:
    """A pytest function with one test for each claim of the contract of a dataset.

    >>> test_shapes = dataset_contract(Shapes)  # doctest: +SKIP

    One that has to be prepared is looked at as it is in the user's cache, and skipped where it is not there.
    """
    return as_test(dataset_checks(dataset))


def dataset_checks(dataset: type[Dataset] | Dataset) -> list[Check]:
    """Every check of a dataset: of what it declares, and of what it loads."""
    cls = dataset if isinstance(dataset, type) else type(dataset)
    subject = f"dataset '{cls.name}'"
    declared = checks_of_words(subject, cls) + checks_of_parameters(subject, cls)
    declared.append(Check(subject, "says its kind and the size of its codes", lambda: _words(cls)))
    try:
        trial = Trial(with_defaults(cls) if isinstance(dataset, type) else dataset)
    except NotApplicableError as error:
        return [*declared, skipped(subject, "loads both splits", str(error))]
    claims: dict[str, Callable[[Trial], str | None]] = {
        "says so where it has to be prepared": _unprepared,
        "loads both splits, without the network": _loads,
        "identifies what it loads": _content,
        "both splits have one shape, and the kind that it declares": _shapes,
        "images are in [0, 1], vectors finite": _values,
        "every load gives the same rows": _again,
        "loading leaves seeds and switches of others alone": _alone,
        "test rows are not training rows": _apart,
        "labels are classes or attributes": lambda trial: check_labels(*trial.both(), f"{PAGE}#loading"),
        "its features exist, and suit the data": _features,
        "its law is one": lambda trial: check_law(trial.dataset, trial.both()[1], f"{PAGE}#loading"),
    }
    return declared + checks_of_claims(subject, claims, trial)


@dataclass
class Trial:
    """``dataset`` and its splits in the user's ``cache``, each loaded once for all the checks that look at it."""

    dataset: Dataset
    cache: Path = field(default_factory=cache_folder)
    memory: Memory = field(default_factory=Memory)

    @property
    def is_prepared(self) -> bool:
        """Whether it is a dataset that has to be prepared."""
        return type(self.dataset).prepare is not Dataset.prepare

    def unprepared(self) -> str | None:
        """What there is to say of it before it is prepared. Raises BrokenContractError where it does not say so."""
        failing = "it does not say whether it is prepared"
        return self.memory.once("unprepared", lambda: _in_an_empty_cache(self.dataset), failing)

    def samples(self, split: Split) -> Samples:
        """Raises NotApplicableError where it is not prepared, BrokenContractError for what goes wrong."""
        if self.is_prepared:
            self.unprepared()
        return self.memory.once(split, lambda: self.loaded(split), "it does not load")

    def both(self) -> tuple[Samples, Samples]:
        """The training and the test split. Raises likewise."""
        return self.samples("train"), self.samples("test")

    def loaded(self, split: Split) -> Samples:
        """A split, loaded anew. Raises likewise."""
        call, read = f"load('{split}', cache)", f"{PAGE}#loading"
        expected = (
            f"{call} gives Samples; where data have to be fetched, prepare does it, and until then load raises "
            f"DataMissingError, which names the command: benchsuite prepare {self.dataset.name}"
        )
        with network_refused(call, read), calling(call, expected=expected, read=read):
            try:
                samples: object = self.dataset.load(split, self.cache)
            except DataMissingError as error:
                raise NotApplicableError(str(error)) from None
        if not isinstance(samples, Samples):
            raise BrokenContractError(expected=expected, got=f"a {type(samples).__name__}", read=read)
        if not len(samples):
            raise BrokenContractError(expected=f"rows in the split '{split}'", got="none", read=read)
        return samples


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


def _unprepared(trial: Trial) -> str | None:
    if not trial.is_prepared:
        raise NotApplicableError("it has no prepare")
    return trial.unprepared()


def _in_an_empty_cache(dataset: Dataset) -> str | None:
    """Raises BrokenContractError unless ``dataset``, which has to be prepared, says so where it was not."""
    calls: dict[str, Callable[[Path], object]] = {
        "content(cache)": dataset.content,
        "load('train', cache)": lambda cache: dataset.load("train", cache),
        "load('test', cache)": lambda cache: dataset.load("test", cache),
    }
    there = there_unprepared(dataset.name, calls, DataMissingError, f"{PAGE}#preparing")
    if there and len(there) < len(calls):
        missing = next(name for name in calls if name not in there)
        raise BrokenContractError(
            expected=f"in an empty cache {there[0]} raises DataMissingError, as {missing} does",
            got="it returned something",
            read=f"{PAGE}#preparing",
        )
    return "it has a prepare, and loads all the same where that was not called" if there else None


def _loads(trial: Trial) -> None:
    trial.both()


def _content(trial: Trial) -> None:
    samples, read = trial.samples("train"), f"{PAGE}#preparing"
    expected = "content(cache) is a text, the same each time"
    with calling("content(cache)", expected=expected, read=read):
        first, second = trial.dataset.content(trial.cache), trial.dataset.content(trial.cache)
    if not isinstance(first, str) or first != second:
        raise BrokenContractError(expected=expected, got=f"{first!r}, then {second!r}", read=read)
    if samples.content not in ("", first):
        raise BrokenContractError(
            expected="the content of the Samples that load gives is what content(cache) returns",
            got=f"'{samples.content}' and '{first}'",
            read=read,
        )
    if trial.is_prepared and not first:
        raise BrokenContractError(
            expected="content(cache) identifies what was prepared, so that cells run again when it changes",
            got="an empty text",
            read=read,
        )


def _shapes(trial: Trial) -> None:
    train, test = trial.both()
    if train.shape != test.shape:
        raise BrokenContractError(
            expected="the rows of both splits have one shape",
            got=f"{train.shape} in 'train' and {test.shape} in 'test'",
            read=f"{PAGE}#loading",
        )
    for split, samples in (("train", train), ("test", test)):
        if samples.kind != trial.dataset.kind:
            raise BrokenContractError(
                expected=f"{trial.dataset.kind}s, since kind = '{trial.dataset.kind}'",
                got=f"{samples.kind}s in '{split}', of shape {samples.shape}; images are (channels, height, width), "
                "vectors (D,)",
                read=f"{PAGE}#loading",
            )


def _rows(samples: Samples, most: int = _LOOKED_AT) -> Tensor:
    """The numbers of evenly spaced rows."""
    return evenly_spaced(len(samples), most)


def _values(trial: Trial) -> None:
    for split, samples in zip(_SPLITS, trial.both(), strict=True):
        rows = _rows(samples)
        check_returned(
            samples[rows],
            call=f"load('{split}', cache)",
            shape=(len(rows), *samples.shape),
            image=samples.kind == "image",
            read=f"{PAGE}#loading",
        )


def _again(trial: Trial) -> None:
    trial.both()
    for split in _SPLITS:
        loads = []
        for seed in (0, 1):
            seed_all(seed)
            loads.append(trial.loaded(split))
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


def _alone(trial: Trial) -> None:
    trial.both()
    instead = "draw by a generator of your own, as in torch.randn(n, d, generator=torch.Generator().manual_seed(1))"
    with switches_restored() as switched, generators_kept("load", f"{PAGE}#loading", instead):
        for split in _SPLITS:
            trial.loaded(split)[:1]
    if switched:
        raise BrokenContractError(
            expected="load leaves the process as it was",
            got=f"it changed {', '.join(switched)}",
            read=f"{PAGE}#loading",
        )


def _apart(trial: Trial) -> str | None:
    train, test = trial.both()
    if train.shape != test.shape:
        raise NotApplicableError("the splits have different shapes, as was said")
    row_bytes = 4 * torch.Size(train.shape).numel()
    known = set(_bytes_of(train, _rows(train, min(_SEARCHED, max(1, _SEARCHED_BYTES // row_bytes)))))
    looked_at = list(_bytes_of(test, _rows(test)))
    found = sum(row in known for row in looked_at)
    rows = _rows(test)
    same = len(train) == len(test) and torch.equal(train[rows], test[rows])
    few_values = len(known) < min(len(train), _SEARCHED) / 2
    if same or (found == len(looked_at) and not few_values):
        raise BrokenContractError(
            expected="load('test', cache) gives rows that are held out: none of them is for training",
            got=f"every one of {len(looked_at)} test rows is a training row; does load look at split?",
            read=f"{PAGE}#splits",
        )
    return f"{found} of {len(looked_at)} test rows are among the training rows too" if found else None


def _bytes_of(samples: Samples, rows: Tensor) -> list[int]:
    """A hash of each of these rows."""
    found = []
    for part in torch.split(rows, _BLOCK):
        found += [hash(row.tobytes()) for row in samples[part].numpy()]
    return found


def _features(trial: Trial) -> None:
    dataset, cache, read = trial.dataset, trial.cache, f"{PAGE}#loading"
    x = trial.samples("train")[:3]
    expected = "default_features(cache) selects an extractor, such as 'random_conv' or 'pixels', that suits the data"
    with torch.no_grad(), calling("default_features, or the extractor,", expected=expected, read=read):
        extractor = extractor_of(None, dataset, cache, load_registry())
        extractor.fingerprint(cache)  # says where weights are missing
        features = extractor.load(cache, torch.device("cpu"))
        try:
            found = features(x)
        except NotApplicableError as error:
            raise BrokenContractError(
                expected=expected, got=f"{extractor.name} refuses them: {error}", read=read
            ) from None
    width = found.shape[-1] if isinstance(found, Tensor) and found.ndim else 0
    check_returned(found, call=f"{extractor.name} of {len(x)} rows", shape=(len(x), width), read=read)
