"""The contract of what a fitted model offers beyond samples, each part checked where the model has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchsuite.errors import NotApplicableError
from benchsuite.testing.contract import BrokenContractError, calling
from benchsuite.testing.returned import check_returned
from benchsuite.testing.surroundings import generators_kept
from benchsuite.testing.trial import PAGE, Fit, Trial

_READ = f"{PAGE}#what-a-model-may-have"
_SOME = 7
_RTOL, _ATOL = 1e-3, 1e-4  # what another order of sums makes of float32


def model_claims() -> dict[str, Callable[[Trial], str | None]]:
    """Claims on codes, densities, the prior and pictures."""
    parts: dict[str, Callable[[Fit], None]] = {
        "encode": _encode,
        "decode": _decode,
        "codes": _codes,
        "prior": _prior,
        "project": _project,
        "log_prob": _log_prob,
        "elbo": lambda fit: _bound(fit, "elbo"),
        "log_likelihood": lambda fit: _bound(fit, "log_likelihood"),
        "posterior_sample": _posterior_sample,
        "copied_rows": _copied_rows,
        "learnt_numbers": _learnt_numbers,
        "pictures": _pictures,
    }
    return {f"'{part}' is as the guide says": _where_there(part, run) for part, run in parts.items()}


def _where_there(part: str, run: Callable[[Fit], None]) -> Callable[[Trial], None]:
    def checked(trial: Trial) -> None:
        fit = trial.home()
        if not hasattr(fit.model, part):
            raise NotApplicableError(f"the model has no {part}")
        if part in ("encode", "decode", "project", "posterior_sample") and _width(fit) is None:
            raise BrokenContractError(
                expected=f"a model with {part} has latent_dim, the size of its codes", got="none", read=_READ
            )
        alone = generators_kept(part, _READ, "draw by the generator that is given, if any")
        with torch.no_grad(), alone, calling(part, expected=f"{part} works", read=_READ):
            run(fit)

    return checked


def _width(fit: Fit) -> int | None:
    width = getattr(fit.model, "latent_dim", None)
    return width if isinstance(width, int) else None


def _part(fit: Fit, name: str) -> Any:
    return getattr(fit.model, name)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def _some_codes(fit: Fit) -> Tensor:
    prior = getattr(fit.model, "prior", None)
    if prior is not None:
        drawn: Tensor = prior.sample(_SOME, _generator())
        return drawn
    codes = getattr(fit.model, "codes", None)
    if codes is not None:
        some: Tensor = codes[:_SOME].detach()
        return some
    return torch.randn(_SOME, _width(fit) or 1, generator=_generator())


def _check_alone(together: Tensor, alone: Tensor, call: str) -> None:
    if not torch.allclose(together, alone, _RTOL, _ATOL):
        most = float((together - alone).abs().max())
        raise BrokenContractError(
            expected=f"{call} treats each row as if it were alone",
            got=f"numbers that differ by up to {most:.3g} when rows come one by one; a layer such as batch norm "
            "that stays in training mode does that",
            read=_READ,
        )


def _check_repeated(once: Tensor, again: Tensor, call: str) -> None:
    if not torch.equal(once, again):
        raise BrokenContractError(
            expected=f"{call} follows its generator", got="other numbers for a generator in the same state", read=_READ
        )


def _encode(fit: Fit) -> None:
    x, width = fit.train[:_SOME], _width(fit) or 0
    z = check_returned(_part(fit, "encode")(x), call=f"encode of {_SOME} rows", shape=(_SOME, width), read=_READ)
    _check_alone(z, torch.cat([_part(fit, "encode")(row) for row in torch.split(x, 1)]), "encode")


def _decode(fit: Fit) -> None:
    z = _some_codes(fit)
    image, shape = fit.spec.kind == "image", fit.spec.shape
    kept = z.clone()
    decode = _part(fit, "decode")
    x = check_returned(decode(z), call=f"decode of {_SOME} codes", shape=(_SOME, *shape), image=image, read=_READ)
    if not torch.equal(z, kept):
        raise BrokenContractError(expected="decode leaves the codes as they were", got="it changed them", read=_READ)
    _check_alone(x, torch.cat([decode(row) for row in torch.split(z, 1)]), "decode")


def _codes(fit: Fit) -> None:
    codes = _part(fit, "codes")
    width = _width(fit) or (codes.shape[-1] if isinstance(codes, Tensor) and codes.ndim else 0)
    check_returned(codes, call="codes, one for each training row,", shape=(fit.spec.n_train, width), read=_READ)


def _prior(fit: Fit) -> None:
    prior = _part(fit, "prior")
    drawn = prior.sample(_SOME, _generator())
    width = _width(fit) or (drawn.shape[-1] if isinstance(drawn, Tensor) and drawn.ndim else 0)
    check_returned(drawn, call=f"prior.sample({_SOME}, generator)", shape=(_SOME, width), read=_READ)
    _check_repeated(drawn, prior.sample(_SOME, _generator()), "prior.sample")
    if hasattr(prior, "log_prob"):
        check_returned(prior.log_prob(drawn), call="prior.log_prob(z)", shape=(_SOME,), read=_READ)


def _project(fit: Fit) -> None:
    z, width = _some_codes(fit), _width(fit) or 0
    once = check_returned(_part(fit, "project")(z.clone()), call="project(z)", shape=(_SOME, width), read=_READ)
    twice = _part(fit, "project")(once.clone())
    if not torch.allclose(once, twice, _RTOL, _ATOL):
        raise BrokenContractError(
            expected="project gives allowed codes, which it leaves where they are",
            got=f"codes that it moves again, by up to {float((once - twice).abs().max()):.3g}",
            read=_READ,
        )


def _log_prob(fit: Fit) -> None:
    x, log_prob = fit.train[:_SOME], _part(fit, "log_prob")
    found = check_returned(log_prob(x), call="log_prob(x)", shape=(_SOME,), read=_READ)
    _check_alone(found, torch.cat([log_prob(row) for row in torch.split(x, 1)]), "log_prob")


def _bound(fit: Fit, name: str) -> None:
    estimate = _part(fit, name)
    found = check_returned(
        estimate(fit.train[:_SOME], _generator(), 4), call=f"{name}(x, generator, draws)", shape=(_SOME,), read=_READ
    )
    _check_repeated(found, estimate(fit.train[:_SOME], _generator(), 4), name)


def _posterior_sample(fit: Fit) -> None:
    x, draw = fit.train[:_SOME], _part(fit, "posterior_sample")
    z = check_returned(
        draw(x, _generator()), call="posterior_sample(x, generator)", shape=(_SOME, _width(fit) or 0), read=_READ
    )
    _check_repeated(z, draw(x, _generator()), "posterior_sample")


def _copied_rows(fit: Fit) -> None:
    rows = _part(fit, "copied_rows")
    whole = isinstance(rows, Tensor) and rows.dtype == torch.int64 and rows.ndim == 1
    if not whole or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < fit.spec.n_train):
        raise BrokenContractError(
            expected=f"copied_rows are numbers of training rows, int64, from 0 to {fit.spec.n_train - 1}",
            got=f"{rows!r}"[:80],
            read=_READ,
        )


def _learnt_numbers(fit: Fit) -> None:
    count = _part(fit, "learnt_numbers")
    if not isinstance(count, int) or count < 0:
        raise BrokenContractError(expected="learnt_numbers is a whole number", got=f"{count!r}"[:80], read=_READ)


def _pictures(fit: Fit) -> None:
    if fit.spec.kind != "image":
        raise NotApplicableError("there are no images")
    for name, images in _part(fit, "pictures")().items():
        n = len(images) if isinstance(images, Tensor) and images.ndim else 0
        check_returned(images, call=f"pictures()['{name}']", shape=(n, *fit.spec.shape), image=True, read=_READ)
