"""A method on trial: fitted to tiny data as a cell fits it, each fit made once for all the checks that look at it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchsuite.contracts import DataSpec, Method, Model
from benchsuite.errors import NotApplicableError, ParameterError, UsageError
from benchsuite.kit.samples import Samples
from benchsuite.kit.seeds import seed_all
from benchsuite.parameters import parameters_of
from benchsuite.testing.claims import check_required
from benchsuite.testing.contract import BrokenContractError, calling
from benchsuite.testing.network import network_refused
from benchsuite.testing.surroundings import generators, in_common, switches_restored
from benchsuite.testing.tiny import RARE_SHAPES, ROWS, SHAPES, TinyRun, called, spec_of, tiny_samples

PAGE = "docs/plugins/methods.md"

# Values for hyper-parameters of these names, by which methods are small and brief.
_BRIEF = {"epochs": 2, "batch_size": 16, "width": 4}


@dataclass(frozen=True)
class Fit:
    """A fitted model, what it was fitted to, and the run; ``switched`` is what the fit changed in the process."""

    model: Model
    spec: DataSpec
    train: Samples
    run: TinyRun
    switched: Sequence[str] = ()

    def draw(self, n: int, seed: int = 1) -> Tensor:
        """``n`` samples by a generator of this seed."""
        with torch.no_grad():
            return self.model.sample(n, torch.Generator().manual_seed(seed))


def brief(cls: type[Method]) -> Method:
    """The method with its defaults, made brief where it has the usual parameters.

    Raises NotApplicableError where it needs values that only its author knows.
    """
    declared = parameters_of(cls)
    check_required(cls)
    given = {name: value for name, value in _BRIEF.items() if name in declared}
    for values in (given, {}):
        with contextlib.suppress(ParameterError):
            return cls(**values)
    raise NotApplicableError("its defaults are not allowed")


@dataclass
class Trial:
    """``method``, and every fit of it that was made.

    What goes wrong in a fit is remembered as well, and told once: by the first check that lets it through.
    """

    method: Method
    made: dict[tuple[Any, ...], Fit | BrokenContractError | NotApplicableError] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def attempt(
        self, shape: tuple[int, ...], *, seed: int = 0, rows: int = ROWS, precision: str = "fp32"
    ) -> Fit | BrokenContractError | NotApplicableError:
        """The fit, or what went wrong with it, or why the method is not for such data."""
        key = (shape, seed, rows, precision)
        if key not in self.made:
            try:
                self.made[key] = self.fitted(tiny_samples(shape, rows), TinyRun(seed=seed, precision=precision), seed)
            except (BrokenContractError, NotApplicableError) as error:
                self.made[key] = error
        return self.made[key]

    def fit(self, shape: tuple[int, ...], *, seed: int = 0, rows: int = ROWS, precision: str = "fp32") -> Fit:
        """Raises BrokenContractError for what goes wrong, but NotApplicableError once it has been told, and where the
        method is not for such data."""
        made = self.attempt(shape, seed=seed, rows=rows, precision=precision)
        if isinstance(made, Fit):
            return made
        raise self.telling(made, f"for {called(shape)}")

    def telling(self, error: BrokenContractError | NotApplicableError, where: str) -> Exception:
        """``error`` the first time, and after that a word that it was told."""
        if str(error) in self.told:
            return NotApplicableError(f"{where} the method cannot be tried, as was said")
        self.told.add(str(error))
        return error

    def home(self) -> Fit:
        """The fit to the first kind of data that the method is for. Raises as ``home_shape`` does."""
        return self.fit(self.home_shape())

    def home_shape(self) -> tuple[int, ...]:
        """The first of the shapes that the method can be fitted to.

        Raises BrokenContractError where it fails for all that it is for, NotApplicableError where it is for none.
        """
        reasons, broken = [], None
        for shapes in (SHAPES, RARE_SHAPES):
            for shape in shapes:
                made = self.attempt(shape)
                if isinstance(made, Fit):
                    return shape
                if isinstance(made, BrokenContractError):
                    broken = broken or made
                else:
                    reasons.append(f"{called(shape)}: {made}")
            if broken:
                raise self.telling(broken, "for all data")
        raise self.telling(
            NotApplicableError(f"it is for none of the tiny data ({'; '.join(reasons)})"), "for all data"
        )

    def kinds(self) -> list[tuple[int, ...]]:
        """The first shape of each kind of data, images and vectors, that the method can be fitted to."""
        found = {len(self.home_shape()): self.home_shape()}
        for shape in SHAPES:
            if isinstance(self.attempt(shape), Fit):
                found.setdefault(len(shape), shape)
        return list(found.values())

    def built(self, spec: DataSpec, seed: int) -> Model:
        """The untrained model. Raises BrokenContractError, and NotApplicableError for what the method is not for."""
        seed_all(seed)
        for_ = called(spec.shape)
        with calling(f"build(spec) for {for_}", expected=f"a model of {for_}", read=f"{PAGE}#build"):
            try:
                model = self.method.build(spec)
            except UsageError as error:  # which names what would have to be given instead
                raise NotApplicableError(str(error)) from None
        if not isinstance(model, Model):
            raise BrokenContractError(
                expected="build(spec) returns a benchsuite.Model",
                got=f"a {type(model).__name__}",
                read=f"{PAGE}#build",
            )
        return model

    def fitted(self, train: Samples, run: TinyRun, seed: int) -> Fit:
        """A fit that is not remembered. Raises as ``fit`` does, and CutError where ``run`` is cut off."""
        spec = spec_of(train)
        with switches_restored() as switched, network_refused(f"fitting {self.method.name}", f"{PAGE}#fit"):
            model = self.built(spec, seed)
            expected = f"fit ends, for {len(train)} rows of {called(train.shape)}"
            with calling("fit(model, train, run)", expected=expected, read=f"{PAGE}#fit"):
                self.method.fit(model, train, run)
                run.close()
        return Fit(model.eval(), spec, train, run, tuple(switched))

    def reseeded(self, shape: tuple[int, ...], seeds: Sequence[int] = (0, 1)) -> list[str]:
        """The modules whose global generator ends in one state, whatever the seed that it was given at first."""
        ends = []
        for seed in seeds:
            train = tiny_samples(shape)
            self.fitted(train, TinyRun(seed=seed), seed)
            ends.append(generators())
        return in_common(ends[0], ends[1])


def saved_and_loaded(fit: Fit, method: Method, path: Path) -> Model:
    """The model of ``fit`` by way of a file, as a cell keeps it, in a model that was built anew with another seed."""
    torch.save(fit.model.state_dict(), path)
    seed_all(99)
    model = method.build(fit.spec)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()
