"""Arithmetic with codes: ``arithmetic``, whether A with something - A without it + B without it shows B with it.

Codes of a few training images of each of three groups are averaged; what the sum decodes to should be of group B and
have the attribute. Attributes and groups are two attributes of the dataset, by name or number, such as Eyeglasses and
Male of CelebA. Where images have classes instead, groups are the classes and the attribute is that an image is brighter
than the median of its class: heavy strokes for digits.

An image counts as of the group whose training images are nearest by the mean of their features, and as having the
attribute where those of its group with it are nearer than those without; brightness goes by itself. This is a judge
with errors of its own, which ``originals`` tells: the share of training images that it puts into their own group.

Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks (2018), section 4.2 and Figure 3; Radford
et al., Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks (2015), section
6.3.2. Both show pictures; the numbers are our own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, PositiveInt, Samples, Score, hookimpl
from benchsuite.kit.coding import CodesBy, decoded, decoder_of
from benchsuite.kit.latents import finite
from benchsuite.kit.lines import between
from benchsuite.kit.samples import Reconstructions

_BATCH = 256
_MEMBERS = 7  # images of a group whose codes are averaged; with what the mean decodes to they fill a row of a sheet


@dataclass(frozen=True)
class _Judged:
    """Training images by ``group`` (N,) and ``attribute`` (N,), their features, and what tells the attribute."""

    group: Tensor
    attribute: Tensor
    features: Tensor
    telling: Tensor

    def members(self, group: int, attribute: bool) -> Tensor:
        """The rows of those in a group with, or without, the attribute."""
        return ((self.group == group) & (self.attribute == attribute)).nonzero().squeeze(1)

    def groups(self) -> list[int]:
        """Those with enough members both with and without the attribute."""
        every = torch.unique(self.group).tolist()
        return [g for g in every if min(len(self.members(g, has)) for has in (False, True)) >= _MEMBERS]


def arithmetic(
    model: Any,
    codes_train: Tensor,
    labels_train: Tensor,
    reconstructed_train: Reconstructions,
    extractor: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    *,
    features: str | None = None,
    rows: PositiveInt = 256,
    codes_by: CodesBy = "own",
    draws: PositiveInt = 200,
    attribute: str = "Eyeglasses",
    group: str = "Male",
    shown: PositiveInt = 2,
) -> Score:
    """The share of ``draws`` of two groups A, B whose result, A with - A without + B without, is B with; in [0, 1].

    Rows ``both``: seen as of group B and as having the attribute; ``group`` and ``attribute``: each by itself;
    ``before``: those whose B without has the attribute before anything is added; ``originals``: the share of training
    images that are seen as of their own group. ``attribute`` and ``group`` are for datasets that have attributes. The
    sheet has four rows for each of ``shown`` draws: seven images of each group and what their mean code decodes to, and
    the line from B without to the result.
    """
    decoder_of(model)  # that it is missing is said before anything is done
    original = reconstructed_train.original
    if original.kind != "image":
        raise NotApplicableError("arithmetic is with codes of images")
    finite(codes_train)
    codes = codes_train if codes_train.is_floating_point() else codes_train.float()
    known = _judged(original, labels_train.cpu(), extractor, attribute, group)
    groups = known.groups()
    if len(groups) < 2:
        raise NotApplicableError(
            f"fewer than two groups have {_MEMBERS} images with and {_MEMBERS} without the attribute; take more rows"
        )
    picked, sums, starts, targets = [], [], [], []
    for _ in range(draws):
        a, b = (groups[i] for i in torch.randperm(len(groups), generator=generator)[:2].tolist())
        three = [_some(known.members(g, has), generator) for g, has in ((a, True), (a, False), (b, False))]
        plus, minus, start = (codes[rows.to(codes.device)].mean(0) for rows in three)
        picked.append(torch.stack(three))
        sums.append(plus - minus + start)
        starts.append(start)
        targets.append(b)
    x = decoded(model, torch.stack([*sums, *starts]))
    telling = _brightness if labels_train.ndim == 1 else lambda x: _features(x, extractor)
    in_group = _nearest_group(_features(x[:draws], extractor), known, groups) == torch.tensor(targets)
    has = _has(telling(x), known, targets * 2)
    values = {
        "both": _share(in_group & has[:draws]),
        "group": _share(in_group),
        "attribute": _share(has[:draws]),
        "before": _share(has[draws:]),
        "originals": _share(_nearest_group(known.features, known, groups) == known.group, known.group, groups),
    }
    few = [(p, s, e) for p, s, e in zip(picked, starts, sums, strict=True)][:shown]
    sheet = torch.cat([_sheet(model, codes, original, *one) for one in few])
    return Score(values, n=draws, pictures={"arithmetic": sheet}, references=["before", "originals"])


def _judged(
    original: Samples, labels: Tensor, extractor: Callable[[Tensor], Tensor], attribute: str, group: str
) -> _Judged:
    features = torch.cat([_features(x, extractor) for x in original.batches(_BATCH)])
    if labels.ndim == 2:
        groups, has = (labels[:, _column(original, name, labels.shape[1])] for name in (group, attribute))
        return _Judged(groups.long(), has.bool(), features, features)
    brightness = torch.cat([_brightness(x) for x in original.batches(_BATCH)])
    has = torch.zeros(len(labels), dtype=torch.bool)
    for one in torch.unique(labels):
        mine = labels == one
        has[mine] = brightness[mine, 0] > brightness[mine, 0].median()
    return _Judged(labels.long(), has, features, brightness)


def _column(samples: Samples, name: str, count: int) -> int:
    """The number of the attribute of that name. Raises NotApplicableError where there is none."""
    if name in samples.label_names:
        return samples.label_names.index(name)
    if name.isdigit() and int(name) < count:
        return int(name)
    known = ", ".join(samples.label_names) or f"0 to {count - 1}"
    raise NotApplicableError(f"no attribute '{name}'; there are {known}")


def _some(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:_MEMBERS]]


def _features(x: Tensor, extractor: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.cat([extractor(part).cpu().double().flatten(1) for part in torch.split(x, _BATCH)])


def _brightness(x: Tensor) -> Tensor:
    """(n, ...) -> (n, 1)."""
    return x.cpu().double().flatten(1).mean(1, keepdim=True)


def _nearest_group(features: Tensor, known: _Judged, groups: Sequence[int]) -> Tensor:
    """Of each row of ``features`` the group whose training images have the nearest mean, (n,)."""
    means = torch.stack([known.features[known.group == g].mean(0) for g in groups])
    return torch.tensor(groups)[torch.cdist(features, means).argmin(1)]


def _has(telling: Tensor, known: _Judged, groups: Sequence[int]) -> Tensor:
    """Whether each row is nearer to those of its group with the attribute than to those without, (n,)."""
    means = {
        g: torch.stack([known.telling[known.members(g, has)].mean(0) for has in (False, True)]) for g in set(groups)
    }
    return torch.stack([(row - means[g]).norm(dim=1).argmin() == 1 for row, g in zip(telling, groups, strict=True)])


def _share(right: Tensor, group: Tensor | None = None, groups: Sequence[int] = ()) -> float:
    """The mean of ``right``, where ``group`` is given over the rows in ``groups``."""
    chosen = right if group is None else right[torch.isin(group, torch.tensor(groups))]
    return float(chosen.double().mean())


def _sheet(model: Any, codes: Tensor, original: Samples, picked: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Four rows of eight images, see ``arithmetic``."""
    means = codes[picked.flatten().to(codes.device)].view(3, _MEMBERS, -1).mean(1)
    shown = decoded(model, means).cpu()
    rows = [torch.cat([original[group].cpu(), mean[None]]) for group, mean in zip(picked, shown, strict=True)]
    return torch.cat([*rows, decoded(model, between(start[None], end[None], _MEMBERS)[0]).cpu()])


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``arithmetic``."""
    return [Metric("arithmetic", arithmetic, higher_is_better=None, kind="image", default=False)]
