"""Datasets of images that are prepared once, into a store, and opened from there by every cell."""

from __future__ import annotations

import errno
import hashlib
import re
import shlex
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from benchsuite.contracts import Dataset, Preparation, Split
from benchsuite.errors import DataMissingError, ParameterError, PreparationError
from benchsuite.kit.download import Source, fetch
from benchsuite.kit.files import beside, digest, locked_in_turn, remove_leftovers
from benchsuite.kit.folders import check_path
from benchsuite.kit.images import Block
from benchsuite.kit.samples import Samples, held_out_rows
from benchsuite.kit.store import FORMAT, Manifest, StoreWriter, new_store, open_store, read_manifest, tells_apart

_MOST_BAD = 20  # unreadable images after which it is pointless to look for more
_NAMED = 5  # of them that a message names

HeldOut = Literal["evenly_spaced", "official"]


@dataclass(frozen=True)
class Contents:
    """What a dataset's sources hold: ``total`` images of ``shape``, which ``blocks`` gives in order.

    ``label_names`` names classes or attributes; ``remark`` is a line for the user, such as what was ignored.
    """

    shape: tuple[int, int, int]
    total: int
    blocks: Iterator[Block]
    label_names: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class PreparedDataset(Dataset):
    """A dataset that ``benchsuite prepare`` decodes, crops and resizes once.

    Subclasses say what their ``sources`` are and ``read`` them. ``split`` decides which images are the test set:
    ``evenly_spaced`` takes every 32nd of all there are, as Bojanowski et al., Optimizing the Latent Space of Generative
    Networks, section 4.1; ``official`` is the dataset's own.
    """

    version: ClassVar[int] = 1  # goes up when ``read`` would give other images of the same sources

    split: HeldOut = "evenly_spaced"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.name, self.preprocessing().get("path", ""))

    def sources(self) -> tuple[Source, ...]:
        """The files to be fetched. They lie together in the folder that ``read`` is given."""
        return ()

    def has(self, source: Source, sources: Path) -> bool:
        """Whether what ``source`` brings is in the folder ``sources`` already, in another form."""
        return False

    def state(self) -> str:
        """Identifies the user's own files as they are, by names, sizes and times; empty where there are none."""
        return ""

    @abstractmethod
    def read(self, sources: Path, work: Path) -> Contents:
        """The images in the folder ``sources``. What has to be unpacked goes into the folder ``work`` and out again.

        Raises PreparationError for damaged or missing data.
        """

    def preprocessing(self) -> Mapping[str, Any]:
        """What decides, with the sources, which images the store holds: all parameters but the split.

        A ``path`` is where the user's own files lie, whole, so that it means the same from everywhere.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "split"}
        return values | {name: str(Path(p).expanduser().absolute()) for name, p in values.items() if name == "path"}

    @property
    def selection(self) -> str:
        """The dataset as the command line names it, less its split."""
        defaults = {f.name: f.default for f in fields(self)}
        given = [(name, value) for name, value in self.preprocessing().items() if value != defaults[name]]
        written = ",".join(f"{name}={str(value).lower() if value is True else value}" for name, value in given)
        return f"{self.name}[{written}]" if written else self.name

    def prepare(self, cache: Path, work: Preparation) -> None:
        """Fetch what is missing and write the store, unless that has been done. One process works, others wait."""
        folder = self.store_folder(cache)
        folder.parent.mkdir(parents=True, exist_ok=True)

        def wait() -> None:
            work.say(f"{self.selection}: another process prepares it; waiting")

        with _room_on(cache), locked_in_turn(folder.with_name(f".{folder.name}.lock"), wait):
            remove_leftovers(folder)
            manifest = read_manifest(folder)
            if manifest and manifest.version == self.version and not self._changed(manifest) and not work.again:
                if manifest.skipped:
                    work.say(f"{self.selection}: {manifest.skipped} images were left out when it was prepared")
                return
            sources = cache / "sources" / self.name
            if self.sources():
                sources.mkdir(parents=True, exist_ok=True)
                with locked_in_turn(sources / ".lock", wait):
                    self._fetch(sources, work)
            self._write(folder, sources, work)

    def load(self, split: Split, cache: Path) -> Samples:
        """The rows of one split, mapped from the store. Raises DataMissingError where there is none."""
        manifest = self._manifest(cache)
        try:
            samples = open_store(self.store_folder(cache), manifest)
        except (OSError, ValueError) as error:
            raise DataMissingError(
                f"the store of {self.selection} is damaged ({error}); run: {self._command()} --force"
            ) from None
        if read_manifest(self.store_folder(cache)) != manifest:  # its files may be of two stores
            raise DataMissingError(f"{self.selection} was prepared anew at this moment; run the same command again")
        samples.content = self._content_of(manifest)
        if self.split == "official":
            return samples.subset(manifest.rows(split))
        train, test = held_out_rows(len(manifest))
        return samples.subset(train if split == "train" else test)

    def default_features(self, cache: Path) -> str:
        """``classifier`` where the images have classes to tell apart, or attributes; else ``random_conv``."""
        folder = self.store_folder(cache)
        manifest = read_manifest(folder)
        return "classifier" if manifest is not None and tells_apart(folder, manifest) else "random_conv"

    def content(self, cache: Path) -> str:
        """The fingerprint of the store, with the split."""
        manifest = self._manifest(cache)
        if self._changed(manifest):
            raise DataMissingError(f"{self.selection} has changed since it was prepared; run: {self._command()}")
        parts = {part for part, _ in manifest.parts}
        if self.split == "official" and not {"train", "test"} <= parts:
            raise ParameterError(
                f"{self.name}: split='official' is not allowed, since {self.selection} has no split of its own; "
                "leave it out for every 32nd image"
            )
        return self._content_of(manifest)

    def _content_of(self, manifest: Manifest) -> str:
        return f"{manifest.fingerprint}-{self.split}"

    def _changed(self, manifest: Manifest) -> bool:
        """Whether what the store was made from has changed; what is gone has not."""
        return self.state() not in ("", manifest.state)

    def store_folder(self, cache: Path) -> Path:
        """Where the store lies, or will."""
        preprocessing = dict(self.preprocessing())
        readable = re.sub(r"[^A-Za-z0-9_.=-]+", "_", self.selection)[:60].strip("_")
        return cache / "prepared" / f"{readable}-{digest(preprocessing, 8)}"

    def _manifest(self, cache: Path) -> Manifest:
        manifest = read_manifest(self.store_folder(cache))
        if manifest is None:
            raise DataMissingError(f"{self.selection} is not in the cache; run: {self._command()}")
        if manifest.version != self.version:
            raise DataMissingError(f"{self.selection} was prepared by another version; run: {self._command()}")
        return manifest

    def _command(self) -> str:
        return f"benchsuite prepare {shlex.quote(self.selection)}"

    def _fetch(self, sources: Path, work: Preparation) -> None:
        """Fetch what is missing. What cannot be fetched is told all at once, to a person who has to do it by hand."""
        for number, source in enumerate(self.sources()):
            if self.has(source, sources):
                continue
            try:
                fetch(source, sources, work.report)
            except PreparationError as error:
                later = [s for s in self.sources()[number + 1 :] if not self.has(s, sources)]
                missing = [s.name for s in later if not (sources / s.name).exists()]
                also = f"\nalso missing there: {', '.join(missing)}" if missing else ""
                raise PreparationError(f"{error}{also}") from None

    def _write(self, folder: Path, sources: Path, work: Preparation) -> None:
        unpacked = beside(folder, "work")
        unpacked.mkdir()
        try:
            state = self.state()  # before anything is read, so that what changes meanwhile is noticed later
            contents = self.read(sources, unpacked)
            if contents.remark:
                work.say(f"{self.selection}: {contents.remark}")
            _check_room(folder.parent, contents, self.selection)
            with new_store(folder, contents.shape) as writer:
                seen = hashlib.sha256()
                bad = self._take_in(contents, writer, work, seen)
                identity = {
                    "dataset": [self.name, self._portable(), self.version, FORMAT],
                    "sources": [source.md5 for source in self.sources()],
                    "images": [contents.shape, seen.hexdigest()],
                    "labels": [writer.parts, contents.label_names],
                }
                writer.finish(
                    Manifest(
                        selection=self.selection,
                        fingerprint=digest(identity),
                        shape=contents.shape,
                        parts=tuple(writer.parts),
                        label_names=contents.label_names,
                        state=state,
                        skipped=len(bad),
                        version=self.version,
                    )
                )
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
        if bad:
            work.say(f"{self.selection}: left out {_bad_images(bad, contents.total)}")

    def _portable(self) -> Mapping[str, Any]:
        """The preprocessing, without where the sources lie: the same images elsewhere are the same dataset."""
        return {name: value for name, value in self.preprocessing().items() if name != "path"}

    def _take_in(self, contents: Contents, writer: StoreWriter, work: Preparation, seen: Any) -> list[tuple[str, str]]:
        """Write every block; the images that cannot be read, each with the reason."""
        bad: list[tuple[str, str]] = []
        done = 0
        for block in contents.blocks:
            writer.add(block)
            seen.update(block.digest or block.images.tobytes())
            seen.update(b"" if block.labels is None else block.labels.tobytes())
            bad += block.bad
            done += len(block.images) + len(block.bad)
            work.report(f"preparing {self.selection}", done, contents.total)
            if not work.skip_bad and len(bad) >= _MOST_BAD:
                break
        if bad and not work.skip_bad:
            more = " or more" if done < contents.total else ""
            raise PreparationError(
                f"{self.selection} was not prepared because of {_bad_images(bad, contents.total, more)}; "
                f"repair or remove them, or leave them out: {self._command()} --skip-bad"
            )
        if writer.rows < 2:
            raise PreparationError(
                f"{self.selection} was not prepared: of {contents.total} images {writer.rows} can be read; "
                "training and testing need one each"
            )
        return bad


def damaged(what: str | Path, why: object) -> PreparationError:
    """The error for a file or folder of sources that cannot be what its publishers made it."""
    return PreparationError(f"{what} is damaged: {why}; remove it and prepare again")


def _bad_images(bad: list[tuple[str, str]], total: int, more: str = "") -> str:
    named = "; ".join(f"{name}: {reason}" for name, reason in bad[:_NAMED])
    rest = f"; and {len(bad) - _NAMED} others" if len(bad) > _NAMED else ""
    return f"{len(bad)}{more} of {total} images, unreadable: {named}{rest}"


def _check_room(folder: Path, contents: Contents, selection: str) -> None:
    channels, height, width = contents.shape
    needed, free = contents.total * channels * height * width, shutil.disk_usage(folder).free
    if needed > free:
        raise PreparationError(
            f"{selection} needs {needed / 2**20:.0f} MiB in {folder}, where {free / 2**20:.0f} MiB are free; "
            "free some space, or move the cache with BENCHSUITE_CACHE"
        )


@contextmanager
def _room_on(cache: Path) -> Iterator[None]:
    """A disk that is full in the middle of work is said to be so."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise PreparationError(
            f"no space left in {cache}; nothing half done was kept; free some space and run the same command again, "
            "or move the cache with BENCHSUITE_CACHE"
        ) from None
