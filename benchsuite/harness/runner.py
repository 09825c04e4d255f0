"""One cell, start to record: load, build, fit, evaluate. Runs in the cell's own process."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchsuite.contracts import Cell, Dataset, DataSpec, Method, MetricRow, Model, PhaseRow, Record, Status
from benchsuite.errors import (
    BenchsuiteError,
    ContractError,
    DataMissingError,
    DivergedError,
    NotApplicableError,
    PluginError,
    UsageError,
    is_out_of_memory,
    reason_of,
    text_of,
)
from benchsuite.harness import gallery
from benchsuite.harness.binding import bind_metric, make
from benchsuite.harness.environment import cache_folder, environment_key
from benchsuite.harness.evaluation import Evaluation, broken_metric
from benchsuite.harness.loading import data_fingerprint, load_split
from benchsuite.harness.outputs import check_output
from benchsuite.harness.pictures import write_sheet
from benchsuite.harness.recipe import parse_selections
from benchsuite.harness.registry import Registry, load_registry
from benchsuite.harness.rescoring import rescored, sources_of_codes, with_failed_metrics
from benchsuite.harness.store import RunStore
from benchsuite.kit.files import replacing
from benchsuite.kit.nets import sizes_of
from benchsuite.kit.samples import Samples
from benchsuite.kit.seeds import seed_all
from benchsuite.kit.timing import Timings
from benchsuite.kit.training import Run

_CHECKPOINT_SECONDS = float(os.environ.get("BENCHSUITE_CHECKPOINT_SECONDS", "10"))
_BUSY_SHARE = 0.8  # of one processor, below which a cell had to wait for others


@dataclass(frozen=True)
class Job:
    """What a cell's process is told.

    ``score_only`` scores a finished model again without training it; ``rescore`` also what stands already. ``note`` is
    for the record of such a model.
    """

    cell: Cell
    run_folder: str
    keep_model: bool
    shared_device: bool  # other cells run at the same time
    score_only: bool
    attempts: int
    memory_limit: int | None
    rescore: bool = False
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON, for the pipe."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """The job that ``to_json`` wrote."""
        cell = Cell(**{**data["cell"], "metrics": tuple(data["cell"]["metrics"])})
        return cls(**{**data, "cell": cell})


def run_job(job: Job, report: Callable[[float, str], None]) -> None:
    """Run one cell and store its record. Whatever the plugins raise becomes the record's status and reason."""
    store = RunStore(Path(job.run_folder))
    torch.set_num_threads(job.cell.threads)
    previous = store.record(job.cell.key) if job.score_only else None
    work = _Work(job, store, report)
    try:
        record = work.score(previous) if previous else work.run()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        traceback.print_exc()  # into the cell's log
        record = work.failed(error, previous)
    store.write_record(record)
    if record.status in ("ok", "diverged", "skipped"):
        (work.folder / "checkpoint.pt").unlink(missing_ok=True)


class _Work:
    """The steps of one cell and what they share."""

    def __init__(self, job: Job, store: RunStore, report: Callable[[float, str], None]) -> None:
        self.job, self.cell, self.report = job, job.cell, report
        self.folder = store.cell_folder(job.cell.key)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.registry: Registry = load_registry()
        self.device = torch.device("cpu")
        self.timings = Timings(self.device)
        self.notes: list[str] = []

    def run(self) -> Record:
        self._set_up()
        method, dataset, train, spec, model = self._build()
        if method.content() != self.cell.method_content:
            raise DataMissingError(f"what {self.cell.method} reads has changed meanwhile; run the same command again")
        run = Run(
            seed=self.cell.seed,
            device=self.device,
            precision=self.cell.precision,
            budget=self.cell.budget,
            checkpoint=self.folder / "checkpoint.pt",
            checkpoint_seconds=_CHECKPOINT_SECONDS,
            curve=self.folder / "curve.csv",
            timings=self.timings,
            on_progress=self.report,
        )
        with self.timings.phase("fit", len(train)):
            method.fit(model, train, run)
            run.close()
        if run.resumed_at:
            self.notes.append(f"resumed at batch {run.resumed_at}; fit seconds count from there")
        if run.stopped_early:
            self.notes.append(f"training stopped by its budget of {self.cell.budget:g} s")
        _check_finite(method, model)
        if self.job.keep_model:
            with replacing(self.folder / "model.pt") as path:
                torch.save(model.state_dict(), path)
        return self._evaluate(method, dataset, train, spec, model)

    def score(self, previous: Record) -> Record:
        """Score a model that was trained before; scores that stand already are kept."""
        self._set_up()
        method, dataset, train, spec, model = self._build()
        path = self.folder / "model.pt"
        if not path.exists():
            raise BenchsuiteError("no model was kept to score; run it again, without --keep none")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception:
            path.unlink(missing_ok=True)  # damaged: the next plan trains the cell again
            raise
        model.load_state_dict(state)  # which fails where code has changed: no fault of the file's
        known = () if self.job.rescore else previous.metrics
        scored = self._evaluate(method, dataset, train, spec, model, known)
        return rescored(previous, scored, self.cell, self.job.note)

    def _keep_pictures(self, model: Model) -> None:
        """The model's own pictures. What goes wrong with them is a note: the scores are there already."""
        try:
            for name, images in getattr(model, "pictures", dict)().items():
                if not name.isidentifier() or name in gallery.NAMES:
                    raise ContractError(f"a picture cannot be named '{name}'")
                write_sheet(images, self.folder / f"{name}.png")
        except Exception as error:
            traceback.print_exc()  # into the cell's log
            self.notes.append(f"no pictures: {reason_of(error)}")

    def failed(self, error: BaseException, previous: Record | None) -> Record:
        """The record of an error; a model that was only to be scored again keeps the scores that it has."""
        status, reason = _status_of(error), reason_of(error)
        if previous is not None:
            return with_failed_metrics(previous, self.cell, status, reason)
        record = replace(self._record(status, reason), traceback="".join(traceback.format_exception(error)))
        # Data that have to be prepared first are no failure of the cell: it is tried again however often.
        return replace(record, attempts=0) if isinstance(error, DataMissingError) else record

    def _set_up(self) -> None:
        self.device = _resolve_device(self.cell.device)
        self.timings = Timings(self.device)
        _allow_tf32(self.cell.precision != "fp32")
        seed_all(self.cell.seed)

    def _build(self) -> tuple[Method, Dataset, Samples, DataSpec, Model]:
        cell = self.cell
        method: Method = make("methods", cell.method_name, cell.params, self.registry)
        dataset: Dataset = make("datasets", cell.dataset_name, cell.dataset_params, self.registry)
        with self.timings.phase("load"):
            train = load_split(dataset, "train", cell, cache_folder(), self.device)
        latent_dim = cell.latent_dim or dataset.latent_dim
        spec = DataSpec(train.shape, train.kind, len(train), latent_dim, train.n_classes)
        with self.timings.phase("build"):
            model = self._built(method, spec)
        return method, dataset, train, spec, model

    def _built(self, method: Method, spec: DataSpec) -> Model:
        torch.manual_seed(self.cell.seed)  # a dataset may have drawn numbers
        return method.build(spec).to(self.device)

    def _evaluate(
        self,
        method: Method,
        dataset: Dataset,
        train: Samples,
        spec: DataSpec,
        model: Model,
        known: tuple[MetricRow, ...] = (),
    ) -> Record:
        model = _to_score(model)
        _allow_tf32(False)  # precision is that of training; scores are computed exactly
        generator, n = torch.Generator().manual_seed(0), min(16, self.cell.samples)
        with torch.no_grad():
            check_output(self.cell.method_name, f"sample({n})", model.sample(n, generator), n, spec, dataset)
        evaluation = Evaluation(
            model=model,
            method=self.cell.method_name,
            spec=spec,
            dataset=dataset,
            train=train,
            cache=cache_folder(),
            cell=self.cell,
            folder=self.folder,
            timings=self.timings,
            build=lambda: _to_score(self._built(method, spec)),
        )
        rows: list[MetricRow] = []
        for number, text in enumerate(self.cell.metrics):
            self.report(number / len(self.cell.metrics), f"scoring {text}")
            rows += self._score(evaluation, text, known)
        if spec.kind == "image":
            write_sheet(evaluation.picture(64), self.folder / "samples.png")
            self._keep_pictures(model)
        self.notes += gallery.keep(evaluation, self.folder)
        record = self._record("ok", "")
        parameters, codes = sizes_of(model)
        record = replace(
            record,
            metrics=tuple(rows),
            parameters=parameters,
            codes=codes,
            reconstruction=sources_of_codes(rows),
            reference=hasattr(model, "copied_rows"),
            data=data_fingerprint(dataset, train, self.cell, cache_folder()),
        )
        return _without_making(record) if getattr(model, "made_elsewhere", False) else record

    def _score(self, evaluation: Evaluation, text: str, known: tuple[MetricRow, ...]) -> list[MetricRow]:
        (selection,) = parse_selections(text)
        known = tuple(row for row in known if row.selection == text and row.status in ("ok", "skipped"))
        before = [row for row in known if row.status == "ok"]
        try:
            cell, cache = self.cell, cache_folder()
            bound = bind_metric(selection, evaluation.dataset, cache, cell.samples, cell.subset, self.registry)
        except (PluginError, UsageError) as error:  # what is not installed any more was when it was scored
            return before or [broken_metric(text, error)]
        if bound.problem and before:
            return before
        return [row for row in known if row.fingerprint == bound.fingerprint] or evaluation.score(bound)

    def _record(self, status: Status, reason: str) -> Record:
        phases = tuple(
            PhaseRow(p.name, p.seconds, p.cpu_seconds, p.items, p.peak_host_mib, p.peak_device_mib, p.joules)
            for p in self.timings.phases
        )
        return Record(
            self.cell,
            status,
            reason,
            phases=phases,
            device=str(self.device),
            environment=environment_key(self.device),
            contended=self.job.shared_device or self._waited(),
            attempts=self.job.attempts,
            notes=tuple(self.notes),
        )

    def _waited(self) -> bool:
        """Whether training on the processor got less of it than it asked for, by its own clock."""
        fit = [p for p in self.timings.phases if p.name == "fit" and p.seconds > 1]
        return self.device.type == "cpu" and any(p.cpu_seconds < _BUSY_SHARE * p.seconds for p in fit)


def _without_making(record: Record) -> Record:
    """``record`` of samples that were made elsewhere, without the sizes and times of what only reads them."""
    phases = tuple(phase for phase in record.phases if phase.phase not in ("fit", "sample", "warm_up.sample"))
    note = "its samples were made elsewhere, at a cost that is not known"
    return replace(record, phases=phases, parameters=None, codes=None, notes=(*record.notes, note))


def _to_score(model: Model) -> Model:
    """In the layout that training gives, also where it was loaded: in another one networks round otherwise."""
    return model.to(memory_format=torch.channels_last).eval()


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def _resolve_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BenchsuiteError(f"device '{name}' was asked for, but torch finds no CUDA device; use --device cpu")
    return torch.device(name)


def _check_finite(method: Method, model: Model) -> None:
    for name, value in model.named_parameters():
        if not bool(torch.isfinite(value).all()):
            raise DivergedError(f"{method.name}: '{name}' holds NaN or infinity after training")
    for name, buffer in model.named_buffers():  # where infinity may be meant, as in a mask
        if buffer.is_floating_point() and bool(buffer.isnan().any()):
            raise DivergedError(f"{method.name}: '{name}' holds NaN after training")


def _status_of(error: BaseException) -> Status:
    if isinstance(error, NotApplicableError):
        return "skipped"
    if isinstance(error, DivergedError):
        return "diverged"
    if is_out_of_memory(error, text_of(error)):
        return "oom"
    return "error"


def describe_exit(code: int) -> tuple[Status, str]:
    """The status and reason of a process that left no record; ``code`` is negative for a signal."""
    if code >= 0:
        return "error", f"the cell's process ended with exit code {code} and left no record"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    hint = "; the system may have run out of memory" if -code == getattr(signal, "SIGKILL", 9) else ""
    return "killed", f"killed by signal {-code} ({name}){hint}"
