"""DCGAN: a generator against a discriminator, both convolutional.

Source: Radford, Metz, Chintala, Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks (2015); training step as in the PyTorch DCGAN tutorial. Changed in the default, which is for small images:
narrower, smaller batches and learning rates that fall linearly to 2%; Adam without its first moment (beta1 = 0 for
0.5), which brought ``fd`` on digits from 2.29 to 1.89 (means of seeds 7 to 11, each of them lower); a generator that
learns four times as fast as the discriminator, which brought it to 1.21 and ``psnr`` from 20.3 to 20.9 (each of them
better).

Presets:

- ``tutorial``: the PyTorch tutorial, random numbers included: on a CPU with ``--seeds 999,`` it makes the tutorial's
  networks, batches and noise in its order, given the data in its order. Left out are the pictures that it draws now and
  then in training mode, which move the averages of batch norm; metrics draw their samples in evaluation mode.
- ``flexible_priors``: Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017),
  appendix D: RMSProp, 20 dimensions, and a discriminator that narrows from 512 channels to 64. The paper's five
  deconvolutions of stride 2 would lead from its 4 x 4 grid to 128 px; here their number follows from the image size,
  and they end at 64 channels. The number of epochs is not stated.
- ``lipton``: Lipton and Tripathi, Precise Recovery of Latent Vectors from Generative Adversarial Networks (2017), whose
  DCGAN is that of Radford et al. with uniform codes and, in their code, two steps of the generator to each of the
  discriminator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchsuite import Method, Positive, hookimpl
from benchsuite.kit.gan import FLEXIBLE_PRIORS, ConvGAN


@dataclass(frozen=True)
class DCGAN(ConvGAN):
    """Deep convolutional generative adversarial network."""

    name = "dcgan"
    presets = {
        "tutorial": {
            "latent_dim": 100,
            "epochs": 5,
            "batch_size": 128,
            "learning_rate": 2e-4,
            "discriminator_learning_rate": None,
            "beta1": 0.5,
            "final_rate": 1.0,
            "width": 64,
            "tutorial_draws": True,
        },
        "flexible_priors": FLEXIBLE_PRIORS,
        "lipton": {
            "latent_dim": 100,
            "learning_rate": 2e-4,
            "discriminator_learning_rate": None,
            "beta1": 0.5,
            "final_rate": 1.0,
            "width": 64,
            "prior": "uniform",
            "generator_steps": 2,
        },
    }

    learning_rate: Positive = 8e-4
    discriminator_learning_rate: Positive | None = 2e-4


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``dcgan``."""
    return [DCGAN]
