"""``cluster_ratio``: whether classes are clusters among the codes of the training data, in codes and in their t-SNE.

The paper prints ratios of between-cluster to within-cluster distances, 0.1 for an untrained and 1.9 for a trained GAN,
without a definition. Here it is the mean distance between the centroids of two classes over the mean distance of a code
from the centroid of its own class. With labels that have nothing to do with the codes, 1024 of ten classes have 0.14 by
this reading, which is what the paper's 0.1 for no structure says; the mean distance between codes of two classes over
that between codes of one would be 1. Whether the paper measured codes or the t-SNE that it shows is open as well: both
are rows.

Source: Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017), section 4.1 and Figure
2, whose codes are those of ``codes_by=reversal``; van der Maaten and Hinton, Visualizing Data using t-SNE (2008).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, PositiveInt, Score, hookimpl
from benchsuite.kit.coding import CodesBy
from benchsuite.kit.latents import finite
from benchsuite.kit.samples import evenly_spaced

_MOST = 2000  # codes, since the time that t-SNE takes grows with their number
_FEWEST = 4  # codes of which t-SNE makes anything
_ROUNDING = 1e-12  # of the largest number in codes
_PERPLEXITY = 30.0  # the usual one; a third of the neighbours that there are, where these are few


def cluster_ratio(
    codes_train: Tensor,
    labels_train: Tensor,
    generator: torch.Generator,
    *,
    rows: PositiveInt = 1024,
    codes_by: CodesBy = "own",
) -> Score:
    """The mean distance between centroids of classes over that of codes from their own centroid, at least 0.

    Rows ``codes``, ``tsne``, the same in two dimensions by t-SNE, and ``null``, which is expected of normal codes whose
    labels are permuted. At most 2000 codes are looked at, evenly spaced; classes with a single one are left out.
    """
    codes, labels = _of_classes(codes_train, labels_train)
    classes = _numbered(labels)
    ratio = _ratio(codes, classes)  # before the embedding, which does not bear codes that are all the same
    embedding = _tsne(codes, generator)
    found = {"codes": ratio, "tsne": _ratio(embedding, classes), "null": _null(classes)}
    return Score(found, n=len(codes), arrays={"embedding": embedding, "labels": labels})


def _of_classes(codes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The codes (n, d) to look at, and their labels, (n,). Raises NotApplicableError where classes are too few."""
    if labels.ndim != 1:
        raise NotApplicableError("clusters are of samples with one class each; these have several attributes")
    chosen = evenly_spaced(len(codes), _MOST)
    codes, labels = finite(codes)[chosen], labels.cpu()[chosen]
    classes = _numbered(labels)
    sizes = classes.bincount()
    if int((sizes > 1).sum()) < 2:
        raise NotApplicableError(f"two classes with two codes each are needed; {len(sizes)} have {len(codes)} in all")
    kept = sizes[classes] > 1
    return codes[kept], labels[kept]


def _numbered(labels: Tensor) -> Tensor:
    """The class of each of ``labels`` (n,), as numbers 0, 1, ... without gaps, (n,)."""
    return torch.as_tensor(torch.unique(labels, return_inverse=True)[1])


def _ratio(codes: Tensor, classes: Tensor) -> float:
    """Of ``codes`` (n, d) in ``classes`` (n,). Raises NotApplicableError where every code is its class's centroid."""
    sizes = classes.bincount()
    sums = torch.zeros(len(sizes), codes.shape[1], dtype=codes.dtype).index_add_(0, classes, codes)
    centroids = sums / sizes[:, None]
    within = float((codes - centroids[classes]).norm(dim=1).mean())
    if within <= _ROUNDING * float(codes.abs().max()):
        raise NotApplicableError("all codes of a class are the same, so that there is no spread to compare with")
    return float(torch.nn.functional.pdist(centroids).mean()) / within


def _null(classes: Tensor) -> float:
    """What ``_ratio`` expects of normal codes of any covariance whatever ``classes`` say: a ratio of expectations.

    Between centroids of a and of b codes lies a vector with 1 / a + 1 / b times the covariance of codes, between one of
    c codes and their centroid one with 1 - 1 / c times; lengths go with the roots of these.
    """
    shares = 1 / classes.bincount().double()
    between = torch.combinations(shares).sum(1).sqrt().mean()
    return float(between / (1 - shares[classes]).sqrt().mean())


def _tsne(codes: Tensor, generator: torch.Generator) -> Tensor:
    """The t-SNE of ``codes`` (n, d), which differ, (n, 2). With one thread, lest it goes by how many a cell has.

    It does not depend on the scale of codes, which is taken off: the library computes in float32, and ends the process
    where that overflows.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n, d = codes.shape
    if n < _FEWEST:
        raise NotApplicableError(f"t-SNE needs {_FEWEST} codes; there are {n}")
    seed = int(torch.randint(2**31, (1,), generator=generator))
    perplexity = min(_PERPLEXITY, (n - 1) / 3)
    centred = codes - codes.mean(0)
    scaled = (centred / centred.abs().max()).numpy()
    start = "pca" if d > 1 else "random"  # two principal axes need two dimensions
    with threadpool_limits(1):
        embedded = TSNE(perplexity=perplexity, init=start, random_state=seed, n_jobs=1).fit_transform(scaled)
    return torch.from_numpy(embedded).double()


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``cluster_ratio``."""
    return [Metric("cluster_ratio", cluster_ratio, higher_is_better=None, default=False)]
