"""benchsuite: a plugin-based benchmarking suite for latent-variable generative models.

This is the public face: what ``__all__`` names is what plugins and scripts may use, besides ``benchsuite.kit``.
Names are resolved when first used, so that importing benchsuite loads neither torch nor a plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchsuite.contracts import (
        Cell,
        Dataset,
        DataSpec,
        Executor,
        ExecutorOptions,
        FeatureExtractor,
        Method,
        Metric,
        Model,
        Preparation,
        Record,
        Score,
        Split,
    )
    from benchsuite.errors import (
        BenchsuiteError,
        ContractError,
        DataMissingError,
        DivergedError,
        NotApplicableError,
        ParameterError,
        PluginError,
        PreparationError,
        UsageError,
    )
    from benchsuite.hookspecs import API_VERSION, hookimpl
    from benchsuite.kit.coding import CodesBy
    from benchsuite.kit.estimators import EstimatorMethod
    from benchsuite.kit.modules import ModuleMethod
    from benchsuite.kit.moments import Moments
    from benchsuite.kit.priors import NormalPrior
    from benchsuite.kit.samples import Reconstructions, Samples
    from benchsuite.kit.training import Run
    from benchsuite.parameters import (
        BelowOne,
        Between,
        Count,
        Fraction,
        NonNegative,
        Positive,
        PositiveInt,
        Selecting,
        Sizes,
    )
    from benchsuite.reports import Picture, Report, Reporter
    from benchsuite.suite import run, score

__version__ = "0.1.0"

PUBLIC_NAMES = {
    "benchsuite.contracts": (
        "Cell",
        "DataSpec",
        "Dataset",
        "Executor",
        "ExecutorOptions",
        "FeatureExtractor",
        "Method",
        "Metric",
        "Model",
        "Preparation",
        "Record",
        "Score",
        "Split",
    ),
    "benchsuite.errors": (
        "BenchsuiteError",
        "ContractError",
        "DataMissingError",
        "DivergedError",
        "NotApplicableError",
        "ParameterError",
        "PluginError",
        "PreparationError",
        "UsageError",
    ),
    "benchsuite.hookspecs": ("API_VERSION", "hookimpl"),
    "benchsuite.kit.coding": ("CodesBy",),
    "benchsuite.kit.estimators": ("EstimatorMethod",),
    "benchsuite.kit.modules": ("ModuleMethod",),
    "benchsuite.kit.moments": ("Moments",),
    "benchsuite.kit.priors": ("NormalPrior",),
    "benchsuite.kit.samples": ("Reconstructions", "Samples"),
    "benchsuite.kit.training": ("Run",),
    "benchsuite.parameters": (
        "BelowOne",
        "Between",
        "Count",
        "Fraction",
        "NonNegative",
        "Positive",
        "PositiveInt",
        "Selecting",
        "Sizes",
    ),
    "benchsuite.reports": ("Picture", "Report", "Reporter"),
    "benchsuite.suite": ("run", "score"),
}

_HOME = {name: module for module, names in PUBLIC_NAMES.items() for name in names}

__all__ = [  # noqa: RUF022 - in the order of the table above
    "Cell",
    "DataSpec",
    "Dataset",
    "Executor",
    "ExecutorOptions",
    "FeatureExtractor",
    "Method",
    "Metric",
    "Model",
    "Preparation",
    "Record",
    "Score",
    "Split",
    "BenchsuiteError",
    "ContractError",
    "DataMissingError",
    "DivergedError",
    "NotApplicableError",
    "ParameterError",
    "PluginError",
    "PreparationError",
    "UsageError",
    "API_VERSION",
    "hookimpl",
    "CodesBy",
    "EstimatorMethod",
    "ModuleMethod",
    "Moments",
    "NormalPrior",
    "Reconstructions",
    "Samples",
    "Run",
    "BelowOne",
    "Between",
    "Count",
    "Fraction",
    "NonNegative",
    "Positive",
    "PositiveInt",
    "Selecting",
    "Sizes",
    "Picture",
    "Report",
    "Reporter",
    "run",
    "score",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'benchsuite' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
