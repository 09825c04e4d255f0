"""What a plugin provides and what the harness makes of it: the types that everything else agrees on."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import msgspec
import torch
from torch import Tensor, nn

from benchsuite.errors import NotApplicableError
from benchsuite.parameters import check_fields, convert

if TYPE_CHECKING:
    from benchsuite.kit.samples import Samples
    from benchsuite.kit.training import Run

Kind = Literal["image", "vector"]
Split = Literal["train", "test"]
Status = Literal["ok", "error", "diverged", "oom", "timeout", "killed", "skipped"]


@dataclass(frozen=True)
class DataSpec:
    """What a method may know of a dataset before it sees it.

    ``shape`` is that of one sample: (channels, height, width) for images, (features,) for vectors. ``latent_dim``
    is the size of codes to use: the method's own where it states one, else the run's, else the dataset's.
    """

    shape: tuple[int, ...]
    kind: Kind
    n_train: int
    latent_dim: int
    n_classes: int | None = None


class _Parameterised:
    """A frozen dataclass whose fields are hyper-parameters, checked against their annotations when it is made.

    ``presets`` are named sets of values for them: ``dcgan[preset=tutorial,epochs=1]``, or ``DCGAN.preset("tutorial")``.
    """

    name: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def preset(cls, preset: str, **given: Any) -> Self:
        """The instance that ``name[preset=...]`` selects; ``given`` parameters win over the preset's.

        Raises UnknownNameError and ParameterError.
        """
        return cls(**convert(cls.name, cls, {**given, "preset": preset}))

    def __post_init__(self) -> None:
        check_fields(getattr(self, "name", type(self).__name__), self)


class Method(_Parameterised, ABC):
    """A way to learn a generative model; subclasses are frozen dataclasses whose fields are the hyper-parameters.

    A field ``latent_dim: int | None = None`` lets a selection state the size of codes; the harness resolves it
    into ``spec.latent_dim``.
    """

    @abstractmethod
    def build(self, spec: DataSpec) -> Model:
        """The untrained model, with every parameter and buffer in its final shape."""

    @abstractmethod
    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Train ``model`` in place on ``train``. The global random generators are seeded already."""

    def content(self) -> str:
        """Identifies what the method reads besides its parameters, such as files; empty where these and its code do.

        A cell is run again where it changes. Raises UsageError for what a person has to put right first.
        """
        return ""

    def most_samples(self) -> int | None:
        """How many samples a model of it has to give; None where it draws any number. Raises as ``content`` does."""
        return None


class Model(nn.Module, ABC):
    """What was fitted. All its state is in parameters and buffers, so that saving and moving it are free.

    What can be neither is in the extra state of torch's modules, as numbers and tensors.

    Optional, found by presence:

    - ``latent_dim``: the size of codes;
    - ``encode(x) -> z``: (N, *shape) -> (N, latent_dim);
    - ``decode(z) -> x``: (N, latent_dim) -> (N, *shape), images in [0, 1];
    - ``log_prob(x) -> (N,)``: log density in nats;
    - ``elbo(x, generator, draws) -> (N,)``: an estimate of the evidence lower bound of log p(x) in nats, constants
      included, by ``draws`` codes for each row; ``generator`` lives on the CPU;
    - ``log_likelihood(x, generator, draws) -> (N,)``: likewise the importance-weighted bound, which rises to log p(x)
      with ``draws``. These three raise NotApplicableError where what was fitted has no density;
    - ``codes``: (n_train, latent_dim), those of the training rows in order, counted apart from the parameters;
    - ``prior``: an object with ``sample(n, generator)``, and where known ``std``, ``low``, ``high``, ``log_prob``;
    - ``project(z) -> z``: the nearest codes that the model allows;
    - ``copied_rows``: (m,) training rows that ``sample`` copies; distances leave them out of their reference;
    - ``posterior_sample(x, generator)``: for each row of x (N, *shape) one draw from q(z | x), (N, latent_dim);
    - ``made_elsewhere``: true where samples come from another program: what it takes to train and to draw them, and how
      many numbers it has learnt, is not known, and records do not say it;
    - ``learnt_numbers``: how many numbers were learnt besides the parameters, by arithmetic that is not torch's;
    - ``pictures()``: images in [0, 1] by name, (n, *shape), eight a row, that are kept as NAME.png beside samples.png.
    """

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` samples, (n, *shape), images in [0, 1]. ``generator`` lives on the CPU and is the only randomness."""


@dataclass(frozen=True)
class Preparation:
    """How a dataset is to be prepared, and whom to tell.

    ``skip_bad`` leaves out images that cannot be read instead of refusing all; ``again`` prepares what is prepared
    already. ``report(what, done, of)`` shows progress, ``of`` None where the end is not known; ``say`` shows a line.
    """

    skip_bad: bool = False
    again: bool = False
    report: Callable[[str, int, int | None], None] = lambda what, done, of: None
    say: Callable[[str], None] = lambda line: None


class Dataset(_Parameterised, ABC):
    """Named data; subclasses are frozen dataclasses whose fields are its options."""

    latent_dim: ClassVar[int]
    kind: ClassVar[Kind] = "image"

    def prepare(self, cache: Path, work: Preparation) -> None:
        """Fetch and verify what ``load`` needs into ``cache``. The only network access that a dataset may make.

        Raises PreparationError, saying what to do by hand.
        """

    def content(self, cache: Path) -> str:
        """Identifies the prepared data; empty where the dataset's parameters and code do.

        Raises DataMissingError where ``prepare`` has to come first, and ParameterError for what the data do not allow.
        """
        return ""

    @abstractmethod
    def load(self, split: Split, cache: Path) -> Samples:
        """One split. Raises DataMissingError where ``prepare`` has to come first."""

    def default_features(self, cache: Path) -> str:
        """The extractor of feature metrics that select none, by name; it must suit the data as they are."""
        return "random_conv" if self.kind == "image" else "pixels"

    def truth(self) -> object:
        """The law that the data were drawn from, see benchsuite.kit.laws. Raises NotApplicableError if unknown."""
        raise NotApplicableError(f"the law of dataset '{self.name}' is not known")


class FeatureExtractor(_Parameterised, ABC):
    """A fixed map from samples to feature vectors; subclasses are frozen dataclasses whose fields are its options."""

    kind: ClassVar[Kind | None] = None  # of the data that it is for; None for any
    kept: ClassVar[bool] = True  # whether the features of training samples are kept in the cache

    def for_dataset(self, dataset: Dataset) -> FeatureExtractor:
        """The extractor to use on ``dataset``: this one, unless it is trained on the very data.

        Raises NotApplicableError for data that it is not made for.
        """
        return self

    def prepare(self, cache: Path, work: Preparation) -> None:
        """Fetch, or make, and verify what ``load`` needs into ``cache``. Raises PreparationError."""

    @abstractmethod
    def fingerprint(self, cache: Path) -> str:
        """Identifies weights and preprocessing; scores made under different fingerprints are never compared.

        Raises NotApplicableError for weights that are not there, naming the command that gets them.
        """

    @abstractmethod
    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The map itself, ready on ``device``: (N, *shape), images in [0, 1] -> (N, D).

        It may have ``logits(features)``, (N, D) -> (N, K), of the classes that it tells apart. Raises
        NotApplicableError as ``fingerprint`` does, and for weights whose checksum is wrong.
        """


@dataclass(frozen=True)
class Score:
    """What a metric found, together with what a reader of the number has to know.

    ``caution`` is a sentence that tables print under themselves. ``disqualifies`` says that the model copies its
    training data, so that its distances to them are no merit: every score of its samples is marked with the caution.
    ``n`` is how many samples were compared, where it is not all. ``arrays``, for plots, and ``pictures``, images in
    [0, 1], (n, *shape), are kept by name beside the record, in the folder ``plots``. ``references`` are the keys of
    ``value`` that are there to be compared with: they have no direction.
    """

    value: float | Tensor | Mapping[str, float]
    caution: str = ""
    disqualifies: bool = False
    n: int | None = None
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    pictures: Mapping[str, Tensor] = field(default_factory=dict)
    references: Sequence[str] = ()


@dataclass(frozen=True)
class Metric:
    """A score: a plain function of artefacts, which it names by its positional parameters, as pytest fixtures do.

    Artefacts are listed in the plugin guide. Keyword-only parameters with defaults are the metric's own and can be
    selected (``fd[features=classifier]``); ``features`` selects the extractor of every artefact that goes by one,
    ``codes_by`` how codes are found, and ``rows`` of how many training rows; see benchsuite.kit.coding.
    ``compute`` returns a number, a mapping of numbers that gives rows named ``metric.key``, or ``metric`` for the key
    "", or a Score of either.
    ``version`` goes up when the same model would score otherwise.
    ``kind`` says that it is for images or for vectors only, so that it is not chosen unasked for the others.
    ``default`` says whether it is chosen where a run names no metrics.
    """

    name: str
    compute: Callable[..., float | Tensor | Mapping[str, float] | Score]
    higher_is_better: bool | None
    unit: str = ""
    version: int = 1
    kind: Kind | None = None
    default: bool = True

    @property
    def direction(self) -> Literal["max", "min", "none"]:
        """The column ``direction`` of results.csv."""
        return "none" if self.higher_is_better is None else "max" if self.higher_is_better else "min"


@dataclass(frozen=True)
class Cell:
    """One method on one dataset with one seed, and everything its numbers depend on. All fields are JSON."""

    key: str
    method: str  # the label: ``@label`` where one was given, else the selection
    method_name: str
    params: Mapping[str, Any]
    dataset: str
    dataset_name: str
    dataset_params: Mapping[str, Any]
    dataset_fingerprint: str
    seed: int
    latent_dim: int | None
    metrics: tuple[str, ...]
    samples: int
    device: str
    precision: str
    threads: int
    budget: float | None  # seconds of training after which it stops early
    subset: int | None = None  # training images that the dataset is reduced to
    content: str = ""  # what identifies prepared data, besides the dataset's fingerprint
    method_content: str = ""  # what identifies what the method reads besides its parameters


@dataclass(frozen=True)
class MetricRow:
    """One score of one cell. ``n`` counts the samples it was computed on; ``fingerprint`` identifies its ``protocol``.

    ``reason`` says why there is no value, or what a reader has to know of the value. ``disqualifies`` is that of Score.
    """

    metric: str
    selection: str
    value: float | None
    unit: str
    direction: str
    n: int | None
    fingerprint: str
    status: Status = "ok"
    reason: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    disqualifies: bool = False


@dataclass(frozen=True)
class PhaseRow:
    """One timed phase of one cell. ``items`` counts what was processed; memory is the peak above the cell's start.

    ``joules`` are those of the whole device, see benchsuite.kit.energy; None where it does not tell.
    """

    phase: str
    seconds: float
    cpu_seconds: float
    items: int
    peak_host_mib: float | None
    peak_device_mib: float | None
    joules: float | None = None


@dataclass(frozen=True)
class Record:
    """How one cell ended. Stored as JSON; everything in a run's tables derives from its records."""

    cell: Cell
    status: Status
    reason: str = ""
    traceback: str = ""
    metrics: tuple[MetricRow, ...] = ()
    phases: tuple[PhaseRow, ...] = ()
    parameters: int | None = None  # learnt numbers, codes apart
    codes: int | None = None
    reconstruction: str = ""  # where codes come from: "encoder", "codes" or "recovery", per split
    device: str = ""
    environment: str = ""
    contended: bool = False
    attempts: int = 1
    notes: tuple[str, ...] = ()
    reference: bool = False  # the model hands out training data by design: there to be compared with, no contestant
    data: str = ""  # identifies the rows of both splits, whatever code made them; empty where no score was made

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json.dumps`` accepts and ``from_json`` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | bytes) -> Record:
        """The record that ``to_json`` wrote, as a dictionary or as JSON text. Raises ValueError for anything else."""
        if not isinstance(data, bytes):
            return msgspec.convert(data, cls)
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError:  # JSON knows no infinity, and a score may be infinite
            return msgspec.convert(json.loads(data), cls)


@dataclass(frozen=True)
class ExecutorOptions:
    """What a run asks of its executor. ``jobs`` is how many cells may run at once."""

    jobs: int


class Executor(ABC):
    """Decides where cells run. Isolation is not its business: ``run_cell`` brings it along and can be pickled."""

    name: ClassVar[str]

    @abstractmethod
    def run(
        self, cells: Sequence[Cell], run_cell: Callable[[Cell], Record], options: ExecutorOptions
    ) -> Iterator[Record]:
        """Run every cell and yield each record as it comes. Closing the iterator starts no further cell."""
