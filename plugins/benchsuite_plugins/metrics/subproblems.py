"""What the subproblems of a generator's step do: whether they are the standard step, and what inverse examples are.

``update_difference`` compares a step of the generator that goes through both subproblems with the standard one, on one
model; ``inverse_examples`` follows samples through them; ``generator_kernel`` is what a step makes of the change that
it is asked for. All work on a copy of the model, with batch norm as in training.

Source: Weber, Exploiting the Hidden Tasks of GANs: Making Implicit Subproblems Explicit (2021), eq. 13, Figure 1 and
appendix A.3. The paper leaves open whether losses are sums or means; eq. 13 needs delta_1 reduced as the GAN's loss is,
here by the mean over the batch, and delta_2 summed: ``reduction=mean`` is what torch's mse_loss would make of it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from benchsuite import Between, Metric, NotApplicableError, Positive, PositiveInt, Samples, Score, hookimpl
from benchsuite.kit.adversarial import LOSSES, LossName
from benchsuite.kit.gan import GANModel
from benchsuite.kit.nets import frozen
from benchsuite.kit.optimisers import OptimiserName, make_optimiser
from benchsuite.kit.subproblems import REGRESSIONS, RegressionLoss, inverse_change

Codes = Annotated[int, Between(2)]
_SHOWN = 8  # images in a row of a sheet
_LARGEST = 8  # coordinates of data whose kernel is small enough


def update_difference(
    model: Any,
    generator: torch.Generator,
    *,
    optimiser: OptimiserName = "sgd",
    precision: Literal["float64", "float32"] = "float64",
    learning_rate: Positive = 2e-4,
    inversion_rate: Positive = 0.25,
    regression_rate: Positive | None = None,
    regression_loss: RegressionLoss = "l2",
    reduction: Literal["sum", "mean"] = "sum",
    epsilon: Positive = 1e-8,
    codes: Codes = 64,
) -> Mapping[str, float]:
    """|split - standard| / |standard| of what one step adds to the generator's parameters, the largest over all losses.

    The standard step has ``learning_rate``; the split one inverts at ``inversion_rate`` by gradient descent and
    regresses at ``regression_rate``, by default learning_rate / inversion_rate. Row ``length`` is |split| / |standard|,
    the median over losses. Each loss is applied to the model's discriminator as it is.
    """
    gan = _copy(model, precision)
    z = gan.prior.sample(codes, generator).to(getattr(torch, precision))  # type: ignore[operator]
    learnt = [p for p in gan.decoder.parameters() if p.requires_grad]
    settings = {"epsilon": epsilon, "beta1": 0.5}
    second_rate = regression_rate or learning_rate / inversion_rate
    differences, lengths = [], []
    with torch.enable_grad():
        fake = gan.decoder(z)
        start = fake.detach()
        for loss in LOSSES.values():
            with frozen(gan.discriminator):
                judged = loss.generator(gan.discriminator(fake)).mean()
            standard = _update(learnt, judged, optimiser, learning_rate, settings)
            change = inverse_change(gan.discriminator, start, loss.generator, rate=inversion_rate)
            distance = REGRESSIONS[regression_loss](fake, start, change)
            if reduction == "mean":
                distance = distance * ((2 if regression_loss == "l2" else 1) / fake.numel())
            split = _update(learnt, distance, optimiser, second_rate, settings)
            if not standard.norm() > 0:
                raise NotApplicableError("the generator has no gradient here, so that there is no step to compare with")
            differences.append((split - standard).norm() / standard.norm())
            lengths.append(split.norm() / standard.norm())
    return {"": float(torch.stack(differences).max()), "length": float(torch.stack(lengths).median())}


def inverse_examples(
    model: Any,
    generator: torch.Generator,
    *,
    loss: LossName = "non_saturating",
    inversion_rate: Positive = 0.25,
    inversion_steps: PositiveInt = 1,
    regression_rate: Positive = 8e-4,
    codes: Codes = 64,
) -> Score:
    """How real the discriminator finds samples, their inverse examples, and the samples of the same codes after the
    generator's regression on these, one step of gradient descent.

    Rows ``sample``, ``inverse`` and ``updated`` are means of D, in [0, 1]; ``more_real`` and ``updated_more_real`` the
    shares of inverse examples and of updated samples with a higher D than the sample they come from; ``fake`` the share
    of samples with D below 1/2; ``approach`` the share of the way to the inverse examples that the updated samples have
    gone. Kept are sheets of samples, inverse examples, updated samples, and the two changes, each enlarged to the full
    range; and the three outputs of each code, as logits.
    """
    gan = _copy(model, "float32")
    z = gan.prior.sample(codes, generator)  # type: ignore[operator]
    with torch.enable_grad():
        fake = gan.decoder(z)
        start = fake.detach()
        change = inverse_change(
            gan.discriminator, start, LOSSES[loss].generator, rate=inversion_rate, steps=inversion_steps
        )
        descent = make_optimiser("sgd", gan.decoder.parameters(), regression_rate)
        REGRESSIONS["l2"](fake, start, change).backward()  # type: ignore[no-untyped-call]
        descent.step()
    with torch.no_grad():
        moved = gan.decoder(z) - start
        before, inverted, after = (gan.discriminator(x) for x in (start, start + change, start + moved))
    rows = {
        "sample": float(before.sigmoid().mean()),
        "inverse": float(inverted.sigmoid().mean()),
        "updated": float(after.sigmoid().mean()),
        "more_real": float((inverted > before).double().mean()),
        "updated_more_real": float((after > before).double().mean()),
        "fake": float((before < 0).double().mean()),
        "approach": float((moved * change).sum() / change.square().sum()),
    }
    pictures = {"steps": _sheet(start, change, moved)} if gan.kind == "image" else {}
    return Score(rows, n=codes, arrays={"sample": before, "inverse": inverted, "updated": after}, pictures=pictures)


def generator_kernel(model: Any, generated: Samples, generator: torch.Generator, *, codes: PositiveInt = 256) -> Score:
    """The kernel K = (dx / dtheta)(dx / dtheta)' of a generator of vectors, by which a step moves what it generates.

    Rows, each a mean over codes of the prior: ``diagonal``, the mean of K's diagonal; ``from_identity``, the distance
    of K from the nearest multiple of I relative to K; ``from_length``, its distance from (|z|^2 + 1) I relative to
    that, which is 0 for a linear generator with a bias. ``ideal`` is the mean of |z|^2 + 1 under a standard normal.
    """
    if generated.kind != "vector" or generated.shape[0] > _LARGEST:
        raise NotApplicableError(f"the kernel is for vectors of at most {_LARGEST} coordinates; got {generated.shape}")
    decoder, prior = getattr(model, "decoder", None), getattr(model, "prior", None)
    if not isinstance(decoder, nn.Module) or prior is None or not any(True for _ in decoder.parameters()):
        raise NotApplicableError("the method has no generator with parameters")
    decoder = copy.deepcopy(decoder).double().cpu()
    z = prior.sample(codes, generator).double().cpu()
    learnt = dict(decoder.named_parameters())

    def one(parameters: Mapping[str, Tensor], code: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(decoder, dict(parameters), (code[None],))
        return out[0]

    with torch.enable_grad():
        slopes = torch.func.vmap(torch.func.jacrev(one), (None, 0))(learnt, z)
    jacobian = torch.cat([slope.flatten(2) for slope in slopes.values()], 2)  # (codes, coordinates, parameters)
    kernel = jacobian @ jacobian.mT
    identity = torch.eye(kernel.shape[1], dtype=torch.float64)
    level = kernel.diagonal(dim1=1, dim2=2).mean(1)
    length = z.square().sum(1) + 1
    return Score(
        {
            "diagonal": float(level.mean()),
            "from_identity": float(_relative(kernel, level[:, None, None] * identity, kernel)),
            "from_length": float(_relative(kernel, length[:, None, None] * identity, length[:, None, None] * identity)),
            "ideal": z.shape[1] + 1,
        },
        n=codes,
        references=["ideal"],
    )


def _relative(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    distances = torch.div((a - b).norm(dim=(1, 2)), scale.norm(dim=(1, 2)).clamp_min(1e-300))
    return distances.mean()


def _copy(model: Any, precision: str) -> GANModel:
    """``model`` in training mode. Raises NotApplicableError for what is no GAN."""
    if not isinstance(model, GANModel):
        raise NotApplicableError("the method has no generator that a discriminator of samples judges")
    return copy.deepcopy(model).cpu().to(getattr(torch, precision)).train()


def _update(
    parameters: Sequence[Tensor], loss: Tensor, name: OptimiserName, rate: float, settings: Mapping[str, float]
) -> Tensor:
    """What the first step of an optimiser down ``loss`` adds to ``parameters``, flat, in float64.

    Made to zeros, beside which small steps are not rounded away.
    """
    zeros = [torch.zeros_like(p) for p in parameters]
    for zero, slope in zip(zeros, torch.autograd.grad(loss, parameters, retain_graph=True), strict=True):
        zero.grad = slope
    make_optimiser(name, zeros, rate, **settings).step()
    return torch.cat([zero.flatten() for zero in zeros]).double()


def _sheet(start: Tensor, change: Tensor, moved: Tensor) -> Tensor:
    """Rows of at most eight: samples, inverse examples, updated samples, and the changes enlarged, in [0, 1]."""
    rows = [start, start + change, start + moved]
    rows += [each / each.abs().max().clamp_min(1e-12) for each in (change[:_SHOWN], moved[:_SHOWN])]
    return ((torch.cat([row[:_SHOWN] for row in rows]) + 1) / 2).clamp(0, 1)


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``update_difference``, ``inverse_examples`` and ``generator_kernel``, where they are named."""
    return [
        Metric("update_difference", update_difference, higher_is_better=None, default=False),
        Metric("inverse_examples", inverse_examples, higher_is_better=None, default=False),
        Metric("generator_kernel", generator_kernel, higher_is_better=None, kind="vector", default=False),
    ]
