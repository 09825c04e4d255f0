"""Recovery: finding the codes of given data by optimising them through a frozen decoder, many at a time.

One engine for the test codes of Bojanowski et al., Optimizing the Latent Space of Generative Networks (2018), section
4.4, for Lipton and Tripathi, Precise Recovery of Latent Vectors from Generative Adversarial Networks (2017), and for
algorithm 1 of Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from benchsuite.kit.nets import frozen
from benchsuite.kit.newton import BFGS
from benchsuite.kit.objective import RECOVERY_LOSSES, Objective, RecoveryLoss, RecoveryLossName
from benchsuite.kit.samples import Samples
from benchsuite.kit.solvers import Solver

BatchNormMode = Literal["eval", "train"]
ClippingName = Literal["none", "standard", "stochastic"]
Constraint = Callable[[Tensor], Tensor]

_CODES = 1024  # the most that are optimised at once, restarts included
_NUMBERS = 2**24  # the most numbers that their data, or a matrix for each, may have


@dataclass(frozen=True)
class Recovered:
    """The best of each sample's paths: its ``codes`` (N, d), their ``loss`` (N,), and after how many ``steps`` (N,).

    The loss is infinite where no path had one.
    """

    codes: Tensor
    loss: Tensor
    steps: Tensor


@dataclass(frozen=True)
class Progress:
    """Where recovery stands, for those who watch: ``codes`` (m, d) and their ``loss`` (m,) after ``step`` steps.

    They are starts number ``restart`` (m,) of the samples ``sample`` (m,), as far as these are not done.
    """

    step: int
    sample: Tensor
    restart: Tensor
    codes: Tensor
    loss: Tensor


def recover(
    decode: Callable[[Tensor], Tensor],
    x: Tensor | Samples,
    starts: Tensor,
    *,
    solver: Solver | None = None,
    loss: RecoveryLossName | RecoveryLoss = "mse",
    constrain: Constraint | None = None,
    stop_loss: float | None = None,
    patience: int | None = None,
    net: nn.Module | None = None,
    batch_norm: BatchNormMode = "eval",
    batch_size: int | None = None,
    on_progress: Callable[[float], None] | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> Recovered:
    """The point of least loss on the paths from each sample's starts, for every row of ``x``.

    ``x`` is (N, *shape), on any device, ``starts`` (restarts, N, d), whose type and device the work is done in.
    ``loss`` is ``mse``, ``lap1`` or a function of (x_hat, x) to (n,), each the smaller the better. ``solver`` is by
    default BFGS, which has no step size to choose. ``constrain`` is applied to the starts and after each step, see
    ``clipping``.

    A sample is done when one of its paths reaches ``stop_loss``; a path is done when its least loss has not fallen by a
    thousandth in ``patience`` steps, or when its solver cannot go on.

    ``net`` is the module whose weights are frozen and whose batch norms are in the mode ``batch_norm`` meanwhile, by
    default ``decode`` itself, or whose method it is. In ``eval`` mode no code's path depends on what shares its batch;
    under ``train`` they share statistics, so that results depend on ``batch_size`` and nothing stops early.

    At most ``batch_size`` codes, or the restarts of one sample, are optimised at once, which bounds memory whatever N
    is. ``on_progress`` is told the part done, in [0, 1]; ``watch`` sees every point of every path. Raises ValueError
    for what does not go together.
    """
    solver = solver or BFGS()
    _check(x, starts, batch_norm, batch_size, patience, stops=stop_loss is not None or patience is not None)
    if constrain and not solver.takes_constraints:
        raise ValueError(
            f"{type(solver).__name__} cannot constrain its codes; choose another solver: "
            "GradientDescent, Adam, RMSProp or LevenbergMarquardt"
        )
    measure = RECOVERY_LOSSES[_known("loss", loss, RecoveryLossName)] if isinstance(loss, str) else loss
    search = _Search(solver, constrain, stop_loss, patience, watch)
    restarts, n, d = starts.shape
    if n == 0:
        return Recovered(starts[0], starts[0, :, 0], torch.zeros(0, dtype=torch.long, device=starts.device))
    size = batch_size or min(_CODES, _NUMBERS // max(x[:1].numel(), d * d))
    rows = max(1, size // restarts)
    found = []
    owner: Any = getattr(decode, "__self__", decode) if net is None else net
    # What was made in inference mode could not be differentiated.
    with torch.inference_mode(False), _prepared(owner if isinstance(owner, nn.Module) else None, batch_norm):
        for first in range(0, n, rows):
            start = starts[:, first : first + rows]
            target = x[first : first + rows].to(starts)
            targets = target.repeat(restarts, *[1] * (target.ndim - 1))
            objective = Objective(decode, targets, measure, coupled=batch_norm == "train")
            report = _part_of(on_progress, first / n, start.shape[1] / n)
            found.append(search.run(objective, start, first, report))
    return Recovered(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def clipping(
    name: ClippingName, low: Tensor | float, high: Tensor | float, generator: torch.Generator | None = None
) -> Constraint | None:
    """What keeps codes in a box, for ``constrain``. ``low`` and ``high`` are (d,) or one number.

    ``standard`` takes coordinates outside to the nearest bound; ``stochastic`` draws each one that is at a bound or
    outside anew, uniform on the box and independent of the others, by ``generator``, on its device.

    Raises ValueError for another name or a box without inside.

    Source: Lipton and Tripathi (2017), section 2.
    """
    if _known("clipping", name, ClippingName) == "none":
        return None
    if not bool((torch.as_tensor(low) < torch.as_tensor(high)).all()):
        raise ValueError(f"a box has low < high in every coordinate; got low={low} and high={high}")
    if name == "standard":
        return lambda z: torch.maximum(torch.minimum(z, torch.as_tensor(high).to(z)), torch.as_tensor(low).to(z))

    def redraw(z: Tensor) -> Tensor:
        device = z.device if generator is None else generator.device
        lowest, highest = torch.as_tensor(low).to(z), torch.as_tensor(high).to(z)
        unit = torch.rand(z.shape, generator=generator, device=device, dtype=z.dtype).to(z.device)
        return torch.where((z <= lowest) | (z >= highest), lowest + (highest - lowest) * unit, z)

    return redraw


@dataclass(frozen=True)
class _Search:
    """What paths have in common."""

    solver: Solver
    constrain: Constraint | None
    stop_loss: float | None
    patience: int | None
    watch: Callable[[Progress], None] | None

    def run(
        self, objective: Objective, starts: Tensor, first: int, report: Callable[[float], None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best codes (n, d) from ``starts`` (restarts, n, d), their losses (n,) and steps (n,).

        ``first`` is the number of the first sample.
        """
        restarts, n, _ = starts.shape
        paths = torch.arange(restarts * n, device=starts.device)  # those still going
        best = self._allowed(starts.detach().flatten(0, 1).clone())
        least = torch.full_like(best[:, 0], torch.inf)
        at, improved, mark = torch.zeros_like(paths), torch.zeros_like(paths), least.clone()
        state = self.solver.begin(objective, best.clone())
        for step in range(self.solver.steps + 1):
            last = step == self.solver.steps
            codes = state["codes"]
            value, gradient = (objective.value(codes), codes) if last else objective.value_and_gradient(codes)
            lower = value < least[paths]
            lowered = paths[lower]
            best[lowered], least[lowered], at[lowered] = codes[lower], value[lower], step
            if self.watch:
                self.watch(Progress(step, first + paths % n, paths // n, codes, value))
            if last:
                break
            self.solver.advance(objective, state, value, gradient, step / self.solver.steps)
            state["codes"] = self._allowed(state["codes"])
            if self.patience is not None:
                much = least < torch.where(mark > 0, 0.999, 1.001) * mark
                improved, mark = torch.where(much, step, improved), torch.where(much, least, mark)
            going = None if objective.coupled else self._going(state, least.view(restarts, n), step - improved, paths)
            if going is not None and not bool(going.all()):
                paths, state = paths[going], {name: rows[going] for name, rows in state.items()}
                objective.keep(going)
            if not len(paths):
                break
            report(step / self.solver.steps)
        report(1.0)
        choice = least.view(restarts, n).argmin(0) * n + torch.arange(n, device=starts.device)
        return best[choice], least[choice], at[choice]

    def _allowed(self, codes: Tensor) -> Tensor:
        if self.constrain is None:
            return codes
        with torch.no_grad():
            return self.constrain(codes)

    def _going(self, state: dict[str, Tensor], least: Tensor, waited: Tensor, paths: Tensor) -> Tensor | None:
        """Which of ``paths`` go on, a mask; None where nothing was asked that could stop one."""
        stopped = [state["stalled"]] if "stalled" in state else []
        if self.stop_loss is not None:
            stopped.append((least.amin(0) <= self.stop_loss)[paths % least.shape[1]])
        if self.patience is not None:
            stopped.append(waited[paths] >= self.patience)
        return ~torch.stack(stopped).any(0) if stopped else None


@contextmanager
def _prepared(net: nn.Module | None, batch_norm: BatchNormMode) -> Iterator[None]:
    """``net`` with frozen weights and its batch norms in the mode asked for; afterwards all is as it was."""
    if net is None:
        yield
        return
    modes = [(module, module.training) for module in net.modules()]
    statistics = [(buffer, buffer.clone()) for buffer in net.buffers()] if batch_norm == "train" else []
    try:
        net.eval()
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train(batch_norm == "train")
        with frozen(net):
            yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, before in statistics:
                buffer.copy_(before)


def _part_of(on_progress: Callable[[float], None] | None, done: float, share: float) -> Callable[[float], None]:
    return lambda part: on_progress(done + share * part) if on_progress else None


def _known(what: str, name: Any, literal: Any) -> Any:
    """``name``, if it is one of those of ``literal``."""
    if name not in get_args(literal):
        raise ValueError(f"{what}={name!r} is not allowed; {what} is one of {', '.join(get_args(literal))}")
    return name


def _check(
    x: Tensor | Samples,
    starts: Tensor,
    batch_norm: BatchNormMode,
    batch_size: int | None,
    patience: int | None,
    *,
    stops: bool,
) -> None:
    _known("batch_norm", batch_norm, BatchNormMode)
    for name, number in (("batch_size", batch_size), ("patience", patience)):
        if number is not None and number < 1:
            raise ValueError(f"{name}={number} is not allowed; {name} is at least 1, or None")
    if starts.ndim != 3 or starts.shape[1] != len(x) or 0 in (starts.shape[0], starts.shape[2]):
        raise ValueError(f"starts are (restarts, {len(x)}, d) for {len(x)} samples; got {tuple(starts.shape)}")
    if not starts.is_floating_point() or (isinstance(x, Tensor) and not x.is_floating_point()):
        raise ValueError("data and starts are floating-point numbers; images of whole numbers go into Samples first")
    if batch_norm == "train" and stops:
        raise ValueError("stop_loss and patience need batch_norm='eval': codes that share statistics cannot stop apart")
