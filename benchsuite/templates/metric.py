"""template_name: how far the mean sample is from the mean of the test data.

Source: own work. (Name the paper here, and the equation.)
"""

from __future__ import annotations

from collections.abc import Sequence

import benchsuite


def template_name(real: benchsuite.Samples, generated: benchsuite.Samples) -> float:
    """The root mean square difference of the mean sample from the mean test sample, at least 0."""
    return float((real[:].mean(0) - generated[:].mean(0)).square().mean().sqrt())


@benchsuite.hookimpl
def benchsuite_metrics() -> Sequence[benchsuite.Metric]:
    """Provides ``template_name``."""
    return [benchsuite.Metric("template_name", template_name, higher_is_better=False)]
