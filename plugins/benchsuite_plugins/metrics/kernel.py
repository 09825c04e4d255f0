"""``kid``: the kernel distance between features of training images and of samples.

Source: Binkowski et al., Demystifying MMD GANs (2018), section 4. They average over random subsets of 1000 images;
here all pairs are taken, which is the same estimate without the noise of drawing subsets. It is called KID only on
Inception features; on any other extractor its values compare only with those of the same extractor.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from benchsuite import Metric, NotApplicableError, PositiveInt, Score, hookimpl
from benchsuite.kit.kernel import kernel_distance
from benchsuite.kit.samples import evenly_spaced


def kid(
    real_features: Tensor, generated_features: Tensor, *, features: str | None = None, limit: PositiveInt = 10_000
) -> Score:
    """The unbiased squared maximum mean discrepancy; about 0, perhaps below it, for samples of the data's own law.

    Of each side at most ``limit`` evenly spaced rows are taken; these are copied, 80 MB for 10,000 with 2048 features.
    """
    if min(len(real_features), len(generated_features), limit) < 2:
        raise NotApplicableError("a kernel distance needs at least two images on each side")
    real, generated = (x[evenly_spaced(len(x), limit)] for x in (real_features, generated_features))
    return Score(kernel_distance(real, generated), n=len(generated))


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``kid``."""
    return [Metric("kid", kid, higher_is_better=False, default=False)]
