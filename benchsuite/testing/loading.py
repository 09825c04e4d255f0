"""A dataset, and its splits as they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchsuite.contracts import Dataset, Split
from benchsuite.errors import DataMissingError, NotApplicableError
from benchsuite.harness.environment import cache_folder
from benchsuite.kit.samples import Samples
from benchsuite.testing.claims import Memory
from benchsuite.testing.contract import BrokenContractError, calling
from benchsuite.testing.network import network_refused
from benchsuite.testing.preparing import there_unprepared

PAGE = "docs/plugins/datasets.md"


@dataclass
class LoadedDataset:
    """``plugin`` and its splits in the user's ``cache``, each loaded once for all the checks that look at it."""

    plugin: Dataset
    cache: Path = field(default_factory=cache_folder)
    memory: Memory = field(default_factory=Memory)

    @property
    def is_prepared(self) -> bool:
        """Whether it is a dataset that has to be prepared."""
        return type(self.plugin).prepare is not Dataset.prepare

    def unprepared(self) -> str | None:
        """What there is to say of it before it is prepared. Raises BrokenContractError where it does not say so."""
        failing = "it does not say whether it is prepared"
        return self.memory.once("unprepared", lambda: _in_an_empty_cache(self.plugin), failing)

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
            f"DataMissingError, which names the command: benchsuite prepare {self.plugin.name}"
        )
        with network_refused(call, read), calling(call, expected=expected, read=read):
            try:
                samples: object = self.plugin.load(split, self.cache)
            except DataMissingError as error:
                raise NotApplicableError(str(error)) from None
        if not isinstance(samples, Samples):
            raise BrokenContractError(expected=expected, got=f"a {type(samples).__name__}", read=read)
        if not len(samples):
            raise BrokenContractError(expected=f"rows in the split '{split}'", got="none", read=read)
        return samples


def _in_an_empty_cache(dataset: Dataset) -> str | None:
    """Raises BrokenContractError unless ``dataset``, which has to be prepared, says so where it was not."""
    calls = calls_of(dataset)
    there = there_unprepared(dataset.name, calls, DataMissingError, f"{PAGE}#preparing")
    if there and len(there) < len(calls):
        missing = next(name for name in calls if name not in there)
        raise BrokenContractError(
            expected=f"in an empty cache {there[0]} raises DataMissingError, as {missing} does",
            got="it returned something",
            read=f"{PAGE}#preparing",
        )
    return "it has a prepare, and loads all the same where that was not called" if there else None


def calls_of(dataset: Dataset) -> dict[str, Callable[[Path], object]]:
    """All that reads the cache."""
    return {
        "content(cache)": dataset.content,
        "load('train', cache)": lambda cache: dataset.load("train", cache),
        "load('test', cache)": lambda cache: dataset.load("test", cache),
    }
