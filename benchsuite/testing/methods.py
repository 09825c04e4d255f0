"""The contract of a method, check by check, on tiny data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchsuite.contracts import Method
from benchsuite.errors import NotApplicableError
from benchsuite.testing.contract import BrokenContractError, Check, as_test, calling
from benchsuite.testing.devices import check_fit, check_moved
from benchsuite.testing.models import model_claims
from benchsuite.testing.parameterised import checks_of_parameterised
from benchsuite.testing.returned import check_returned
from benchsuite.testing.surroundings import generators_kept
from benchsuite.testing.tiny import SHAPES, CutError, TinyRun, called, tiny_samples
from benchsuite.testing.trial import PAGE, Fit, Trial, brief, saved_and_loaded

_ROWS = (3, 16, 31)  # fewer than a batch of 16, just one, an odd last batch; the others have 33, a last batch of one
_STATE = "keep it in parameters and buffers (register_buffer)"


def method_contract(method: type[Method] | Method) -> Callable[[Check], None]:
    """A pytest function with one test for each claim of the contract of a method.

    >>> test_waves = method_contract(Waves(epochs=1))  # doctest: +SKIP

    A class stands for its defaults, made brief where it has ``epochs``, ``batch_size`` and ``width``.
    """
    return as_test(method_checks(method))


def method_checks(method: type[Method] | Method) -> list[Check]:
    """Every check of a method: of what it declares, and of what it does with tiny data on the processor."""
    claims: dict[str, Callable[[Trial], str | None]] = {
        "can be fitted to images or vectors, or says that it is not for them": _applies,
        "samples have the shape and range of the data": _shapes,
        "any number of rows will do": _any_rows,
        "what it reads has one fingerprint": _content,
        "fit changes the model, and leaves the data as they were": _fits,
        "fit leaves the process as it was": _switches,
        "the seed decides the fit": _seeded,
        "fit leaves the seeds of others alone": _reseeds,
        "samples follow their generator and nothing else": _samples,
        "a saved model is the same model": _saved,
        "a fit that is cut off resumes to the same bits": _resumes,
        "bfloat16 trains, and leaves a model in float32": _half,
        "the model works on another device": _moves,
        "fit works on another device": _fits_elsewhere,
    }
    return checks_of_parameterised(
        "method",
        method,
        of_class={},
        by_default=brief,
        on_trial=Trial,
        claims=claims | model_claims(),
        foremost="trains",
    )


def _applies(trial: Trial) -> str | None:
    trial.home()
    made = {shape: trial.attempt(shape) for shape in SHAPES}
    for shape, one in made.items():
        if isinstance(one, BrokenContractError):
            raise trial.telling(one, f"for {called(shape)}")
    refused = [f"{called(shape)} ({one})" for shape, one in made.items() if isinstance(one, NotApplicableError)]
    return f"it is not for {'; '.join(refused)}" if refused else None


def _shapes(trial: Trial) -> None:
    home = trial.home_shape()
    for shape in (home, *(s for s in SHAPES if s != home)):
        fit = trial.attempt(shape)
        for n in (1, 5):
            if isinstance(fit, Fit):
                _check_drawn(fit, n)


def _check_drawn(fit: Fit, n: int) -> None:
    call, read = f"sample({n}, generator), for {called(fit.spec.shape)},", f"{PAGE}#samples"
    with calling(call, expected=f"{n} samples", read=read):
        drawn = fit.draw(n)
    check_returned(drawn, call=call, shape=(n, *fit.spec.shape), image=fit.spec.kind == "image", read=read)


def _content(trial: Trial) -> None:
    method = trial.method
    with calling("content()", expected="a fingerprint of what the method reads", read=f"{PAGE}#state"):
        once, again, most = method.content(), method.content(), method.most_samples()
    if not isinstance(once, str) or once != again:
        raise BrokenContractError(
            expected="content() is text, the same as long as what the method reads is the same",
            got=f"{once!r}, and then {again!r}",
            read=f"{PAGE}#state",
        )
    if most is not None and (not isinstance(most, int) or most < 1):
        raise BrokenContractError(
            expected="most_samples() is a positive whole number, or None", got=repr(most), read=f"{PAGE}#state"
        )


def _any_rows(trial: Trial) -> None:
    for shape in trial.kinds():
        for rows in _ROWS:
            trial.fit(shape, rows=rows)


def _fits(trial: Trial) -> None:
    fit = trial.home()
    train, untrained = tiny_samples(fit.spec.shape), trial.built(fit.spec, 0)
    if fit.train.fingerprint() != train.fingerprint():
        raise BrokenContractError(
            expected="fit leaves the training data as they were",
            got="it changed them in place; work on a copy: x.clone()",
            read=f"{PAGE}#fit",
        )
    before, after = untrained.state_dict(), fit.model.state_dict()
    if before and not differing(before, after):
        raise BrokenContractError(
            expected="fit trains the model that it is given, in place",
            got="every parameter and buffer of it is as build made it" + _remark_on_plain_state(fit.model),
            read=f"{PAGE}#fit",
        )


def _switches(trial: Trial) -> None:
    switched = trial.home().switched
    if switched:
        raise BrokenContractError(
            expected="build and fit leave the process as it was",
            got=f"they changed {', '.join(switched)}; others run in it too",
            read=f"{PAGE}#fit",
        )


def differing(first: dict[str, object], second: dict[str, object]) -> list[str]:
    """The names in either state whose values are not bitwise the same."""
    names = dict.fromkeys([*first, *second])
    return [name for name in names if not _same(first.get(name), second.get(name))]


def _same(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a.nan_to_num(), b.nan_to_num())
    if isinstance(a, dict) and isinstance(b, dict):
        return not differing(a, b)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and a == b


def plain_state(model: nn.Module) -> list[str]:
    """The tensors that are kept as plain attributes, by name: what is neither saved nor moved.

    Torch's hooks for norms of weights make a weight anew at each call, of parameters that are.
    """
    return [
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, Tensor) and not (hasattr(module, f"{name}_orig") or hasattr(module, f"{name}_g"))
    ]


def _remark_on_plain_state(model: nn.Module) -> str:
    plain = plain_state(model)
    return f"; {', '.join(plain)}: a plain attribute is neither saved nor moved; {_STATE}" if plain else ""


def _seeded(trial: Trial) -> str | None:
    fit, shape = trial.home(), trial.home_shape()
    again = trial.fitted(tiny_samples(shape), TinyRun(), 0)
    changed = differing(fit.model.state_dict(), again.model.state_dict())
    if changed:
        raise BrokenContractError(
            expected="two fits with one seed come to the same bits",
            got=f"{_few(changed)} came out otherwise; draw from torch, numpy or random, which are seeded, or by "
            "generators seeded by run.seed",
            read=f"{PAGE}#seeds",
        )
    other = trial.fit(shape, seed=1)
    if differing(fit.model.state_dict(), other.model.state_dict()) or not fit.model.state_dict():
        return None
    return "every seed comes to the same model"


def _reseeds(trial: Trial) -> None:
    reseeded = trial.reseeded(trial.home_shape())
    if reseeded:
        raise BrokenContractError(
            expected="build and fit leave the seeds of global generators alone: they are seeded already",
            got=f"they seeded that of {', '.join(reseeded)}, so that every seed of a run is the same",
            read=f"{PAGE}#seeds",
        )


def _samples(trial: Trial) -> str | None:
    fit = trial.home()
    instead = "draw by the generator that sample is given, as in torch.randn(n, d, generator=generator)"
    with generators_kept("sample(n, generator)", f"{PAGE}#samples", instead):
        first, again, other = fit.draw(20), fit.draw(20), fit.draw(20, seed=2)
    if not torch.equal(first, again):
        raise BrokenContractError(
            expected="two generators in the same state give the same samples",
            got="they gave others; keep no state between calls, and put layers into eval mode",
            read=f"{PAGE}#samples",
        )
    if not torch.equal(first, other):
        return None
    if torch.equal(first, first[:1].expand_as(first)):
        return "every sample is the same, whatever the generator"
    raise BrokenContractError(
        expected="another generator gives other samples",
        got=f"the same; {instead}",
        read=f"{PAGE}#samples",
    )


def _saved(trial: Trial) -> None:
    fit = trial.home()
    expected = "the fitted state_dict() can be saved, and loaded into a model that build makes anew"
    with tempfile.TemporaryDirectory() as folder:
        with calling("loading it", expected=expected, read=f"{PAGE}#state"):
            loaded = saved_and_loaded(fit, trial.method, Path(folder) / "model.pt")
        with calling("sample, once loaded,", expected=expected, read=f"{PAGE}#state"):
            drawn = Fit(loaded, fit.spec, fit.train, fit.run).draw(9)
    if not torch.equal(drawn, fit.draw(9)):
        raise BrokenContractError(
            expected="a model that was saved and loaded gives the same samples",
            got="others: some of what fit learnt is not in state_dict()"
            + (_remark_on_plain_state(fit.model) or f"; {_STATE}"),
            read=f"{PAGE}#state",
        )


def _resumes(trial: Trial) -> str | None:
    shape, whole = trial.home_shape(), trial.home()
    batches, stages = whole.run.handed_out, whole.run.staged
    cuts = [(at, None) for at in sorted({1, batches // 2, batches - 1}) if 0 < at < batches]
    for at, after in [*cuts, *((None, stage) for stage in range(1, stages + 1))]:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Path(folder) / "checkpoint.pt"
            _cut_off(trial, shape, TinyRun(checkpoint=checkpoint, cut_at=at, cut_after=after))
            resumed = trial.fitted(tiny_samples(shape), TinyRun(checkpoint=checkpoint), 0)
        changed = differing(whole.model.state_dict(), resumed.model.state_dict())
        if changed:
            raise BrokenContractError(
                expected="a fit that is cut off and resumed comes to the same bits as one that is not",
                got=f"cut off after {f'batch {at} of {batches}' if at else f'stage {after} of {stages}'}, "
                f"{_few(changed)} came out otherwise; list all that is changed there in state= of run.batches, or of "
                "run.stage: modules, optimisers, generators, tensors",
                read=f"{PAGE}#resuming",
            )
    if not cuts and not stages:
        return "it takes no two batches from run.batches, so that a fit that is cut off begins anew"
    return "run.batches has no state=, so that a fit that is cut off begins anew" if whole.run.without_state else None


def _cut_off(trial: Trial, shape: tuple[int, ...], run: TinyRun) -> None:
    try:
        trial.fitted(tiny_samples(shape), run, 0)
    except CutError:
        return
    raise BrokenContractError(
        expected="fit ends when it is killed",
        got="it went on; let BaseException pass",
        read=f"{PAGE}#resuming",
    )


def _half(trial: Trial) -> None:
    for shape in trial.kinds():
        _check_single(trial.fit(shape, precision="bf16"))


def _check_single(fit: Fit) -> None:
    low = [name for name, value in fit.model.state_dict().items() if getattr(value, "dtype", None) == torch.bfloat16]
    if low:
        raise BrokenContractError(
            expected="a model whose state is in float32, also after a fit with --precision bf16",
            got=f"{_few(low)} in bfloat16; precision is run.autocast()'s, around the forward pass",
            read=f"{PAGE}#fit",
        )
    _check_drawn(fit, 5)


def _moves(trial: Trial) -> None:
    fit = trial.home()
    plain = plain_state(fit.model)
    if plain:
        raise BrokenContractError(
            expected="all tensors of a model move with model.to(device)",
            got=f"{_few(plain)} would stay behind, as plain attributes do; {_STATE}",
            read=f"{PAGE}#devices",
        )
    check_moved(trial.built(fit.spec, 0), fit.spec)


def _fits_elsewhere(trial: Trial) -> None:
    spec = trial.home().spec
    check_fit(trial.method, trial.built(spec, 0), spec)


def _few(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
