"""A GAN of fully connected networks, for vectors above all, with a generator as small as mean + scale z.

Source: Velasquez Vergara, Generative Adversarial Networks (2017), algorithm 1 and the networks of sections 3.2.1 and
3.3.2.1. Changed: Adam with learning rates that fall linearly, without which the iterates orbit the equilibrium; samples
come from a fixed training set.

``generator=linear`` and ``discriminator=logistic`` are the toy example of Weber, Exploiting the Hidden Tasks of GANs
(2021), appendix A: x = B (z, 1), and w x without a bias.

Presets: ``bivariate_normal`` (section 3.2.1), ``mixture_kl`` and ``mixture_reverse_kl`` (Table 1). The thesis prints a
standard deviation of 0.952 for KL(p || q); the optimum, which matches the moments of the mixture, is N(2, 1.044^2).
KL(q || p) has three local minima among the normals: the two modes, N(1.0015, 0.3024^2) and N(2.9985, 0.3024^2), and a
higher one between them, N(2, 0.8951^2); where training ends depends on where it starts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from benchsuite import (
    BelowOne,
    Count,
    DataSpec,
    Method,
    ParameterError,
    Positive,
    PositiveInt,
    hookimpl,
)
from benchsuite.kit.gan import GAN, GANModel
from benchsuite.kit.nets import MLP, Activation, Affine

Interval = tuple[float, float]


@dataclass(frozen=True)
class FullyConnectedGAN(GAN):
    """Generative adversarial network of multilayer perceptrons.

    ``generator=affine`` is mean + scale z, one of each a coordinate, which start at points drawn evenly from the
    intervals ``start_mean`` and ``start_scale``; ``generator=linear`` has a whole matrix and no hidden layer.
    ``discriminator=logistic`` is linear too, and without a bias.
    """

    name = "gan"
    presets = {
        "bivariate_normal": {
            "latent_dim": 2,
            "epochs": 60,
        },
        "mixture_kl": {
            "generator": "affine",
            "loss": "kl",
            "epochs": 64,
            "learning_rate": 1e-2,
            "discriminator_learning_rate": 2e-3,
            "beta1": 0.9,
            "start_mean": (0.0, 4.0),
            "start_scale": (0.5, 1.5),
        },
        "mixture_reverse_kl": {
            "generator": "affine",
            "loss": "reverse_kl",
            "epochs": 55,
            "batch_size": 128,
            "learning_rate": 2e-3,
            "discriminator_learning_rate": 5e-3,
            "beta1": 0.9,
            "discriminator_steps": 2,
            "warm_up": 300,
            "start_mean": (0.0, 1.0),
            "start_scale": (0.5, 0.5),
        },
    }

    epochs: Count = 60
    batch_size: PositiveInt = 256
    learning_rate: Positive = 1e-3
    discriminator_learning_rate: Positive | None = 5e-3
    beta1: BelowOne = 0.5
    generator: Literal["mlp", "affine", "linear"] = "mlp"
    generator_hidden: tuple[PositiveInt, ...] = (20,)
    generator_activation: Activation = "softplus"
    discriminator: Literal["mlp", "logistic"] = "mlp"
    discriminator_hidden: tuple[PositiveInt, ...] = (40, 40)
    discriminator_activation: Activation = "tanh"
    start_mean: Interval = (0.0, 0.0)
    start_scale: Interval = (1.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, default in (("start_mean", 0.0), ("start_scale", 1.0)):
            low, high = getattr(self, name)
            if self.generator != "affine" and (low, high) != (default, default):
                raise ParameterError(f"{self.name}: {name} is for generator=affine; got generator={self.generator}")
            if low > high:
                raise ParameterError(
                    f"{self.name}: {name}={[low, high]} is not allowed; {name} is an interval, lower end first"
                )

    def build(self, spec: DataSpec) -> GANModel:
        """Generator and discriminator, untrained. Raises ParameterError for an affine generator of anything but
        vectors with as many coordinates as codes."""
        dim = math.prod(spec.shape)
        critic: nn.Module
        if self.discriminator == "logistic":
            critic = nn.Linear(dim, 1, bias=False)
        else:
            critic = MLP(dim, 1, self.discriminator_hidden, self.discriminator_activation)
        return GANModel(
            spec, self.make_prior(spec), self._generator(spec, dim), nn.Sequential(nn.Flatten(), critic, nn.Flatten(0))
        )

    def _generator(self, spec: DataSpec, dim: int) -> nn.Module:
        if self.generator != "affine":
            hidden = self.generator_hidden if self.generator == "mlp" else ()
            net = MLP(spec.latent_dim, dim, hidden, self.generator_activation)
            return nn.Sequential(net, nn.Tanh(), nn.Unflatten(1, spec.shape)) if spec.kind == "image" else net
        if spec.shape != (spec.latent_dim,):
            raise ParameterError(
                f"{self.name}: generator=affine is for vectors with as many coordinates as codes; "
                f"got data of shape {spec.shape} and latent_dim={spec.latent_dim}"
            )
        affine = Affine(dim)
        with torch.no_grad():
            affine.mean.uniform_(*self.start_mean)
            affine.scale.uniform_(*self.start_scale)
        return affine


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``gan``."""
    return [FullyConnectedGAN]
