"""Models with a sampler of q(z | x) beside their decoder, trained against a discriminator of pairs (x, z).

Source: Mescheder, Nowozin, Geiger, Adversarial Variational Bayes (2017); Dumoulin et al., Adversarially Learned
Inference (2016); as in Velasquez Vergara, Generative Adversarial Networks (2017), section 4.2.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchsuite.contracts import DataSpec, Method, Model
from benchsuite.errors import ParameterError
from benchsuite.kit.laws import ExponentialRing
from benchsuite.kit.models import LatentModel
from benchsuite.kit.nets import Activation, Norm, PairNet, frozen, generator
from benchsuite.kit.optimisers import make_optimiser
from benchsuite.kit.priors import NormalPrior
from benchsuite.kit.samples import Samples
from benchsuite.kit.training import Run
from benchsuite.parameters import BelowOne, Count, Fraction, Positive, PositiveInt, Sizes

Likelihood = Literal["gaussian", "exponential"]

# The thesis's networks and what they took to learn the posterior of section 4.2.1.
POSTERIOR: dict[str, Any] = {
    "latent_dim": 2,
    "epochs": 310,
    "batch_size": 256,
    "learning_rate": 1e-3,
    "discriminator_learning_rate": 5e-3,
    "discriminator_steps": 3,
    "hidden": (20, 20, 20),
    "activation": "tanh",
    "noise_dim": 3,
    "likelihood": "exponential",
}


class BidirectionalModel(LatentModel):
    """A decoder with a normal prior, an encoder from data and noise to codes, and a discriminator of pairs."""

    def __init__(
        self, spec: DataSpec, prior: NormalPrior, decoder: nn.Module, encoder: PairNet, critic: PairNet, noise_dim: int
    ) -> None:
        super().__init__(spec, prior, decoder)
        self.encoder = encoder
        self.discriminator = critic
        self.noise_dim = noise_dim

    def draw_posterior(self, x: Tensor) -> Tensor:
        """One code from q(z | x) for each row by the device's global generator, (N, *shape) -> (N, latent_dim)."""
        return self._encoded(x, torch.randn(len(x), self.noise_dim, device=x.device))

    def posterior_draws(self, x: Tensor, n: int) -> Tensor:
        """``n`` codes from q(z | x) for each row by the device's global generator, (n, N, latent_dim).

        Data pass through the encoder's convolutions once, however many codes there are.
        """
        features = self.encoder.body(self.signal(x)).expand(n, len(x), -1).flatten(0, 1)
        noise = torch.randn(n * len(x), self.noise_dim, device=x.device)
        codes: Tensor = self.encoder.head(torch.cat([features, noise], 1))
        return codes.view(n, len(x), -1)

    def posterior_sample(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """One code from q(z | x) for each row by a CPU ``generator``, (N, *shape) -> (N, latent_dim)."""
        return self._encoded(x, torch.randn(len(x), self.noise_dim, generator=generator).to(x.device))

    def encode(self, x: Tensor) -> Tensor:
        """The code where the encoder's noise is 0, (N, *shape) -> (N, latent_dim)."""
        return self._encoded(x, torch.zeros(len(x), self.noise_dim, device=x.device))

    def judge(self, x: Tensor, z: Tensor) -> Tensor:
        """The discriminator's output for pairs, (N, *shape) and (N, latent_dim) -> (N,)."""
        out: Tensor = self.discriminator(self.signal(x), z)
        return out.squeeze(1)

    def observe(self, z: Tensor) -> Tensor:
        """x from p(x | z) as the discriminator is shown it, with gradients to the decoder: (N, *shape)."""
        return self.decode(z)

    def negative_log_likelihood(self, x: Tensor, z: Tensor, sigma: float) -> Tensor:
        """-log N(x; decode(z), sigma^2) less its constant, (N,) in nats."""
        return (self.decode(z) - x).square().flatten(1).sum(1) / (2 * sigma**2)

    def _encoded(self, x: Tensor, noise: Tensor) -> Tensor:
        z: Tensor = self.encoder(self.signal(x), noise)
        return z


class _Expectation(nn.Module):
    """A decoder without parameters: E[x | z] of a known law."""

    def __init__(self, law: ExponentialRing) -> None:
        super().__init__()
        self.law = law

    def forward(self, z: Tensor) -> Tensor:
        return self.law.expectation(z)


class ExponentialModel(BidirectionalModel):
    """The known prior and likelihood of an ExponentialRing, of which only q(z | x) is to be learnt.

    Networks see log(1 + x), since x has a heavy tail.
    """

    law = ExponentialRing()

    def signal(self, x: Tensor) -> Tensor:
        """log(1 + x)."""
        return x.clamp_min(0).log1p()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, 1): x drawn given codes from the prior."""
        z: Tensor = self.prior.sample(n, generator)  # type: ignore[operator]
        return self.law.sample_given(z, generator)

    def observe(self, z: Tensor) -> Tensor:
        """x drawn from p(x | z), (N, 1)."""
        return self.law.sample_given(z)

    def negative_log_likelihood(self, x: Tensor, z: Tensor, sigma: float) -> Tensor:
        """-log p(x | z), (N,) in nats; ``sigma`` has no part in it."""
        return -self.law.log_likelihood(x, z)


@dataclass(frozen=True)
class Bidirectional(Method):
    """The training of a BidirectionalModel; subclasses say what its two sides minimise.

    Every batch is a step of the discriminator; after each ``discriminator_steps`` of these the encoder and the decoder
    make one. Learning rates fall on a line to ``final_rate`` times their first values. ``width`` is the convolutions',
    ``hidden`` the sizes of the fully connected layers in which data meet noise or codes; ``noise_dim`` is the
    encoder's, by default twice the codes'. ``likelihood=exponential`` is the known model of ``exponential_posterior``.
    """

    latent_dim: PositiveInt | None = None
    epochs: Count = 40
    batch_size: PositiveInt = 64
    learning_rate: Positive = 1e-3
    discriminator_learning_rate: Positive | None = None
    beta1: BelowOne = 0.5
    final_rate: Fraction = 0.02
    discriminator_steps: PositiveInt = 1
    width: PositiveInt = 32
    hidden: Sizes = (128, 128)
    activation: Activation = "relu"
    noise_dim: PositiveInt | None = None
    likelihood: Likelihood = "gaussian"

    def build(self, spec: DataSpec) -> BidirectionalModel:
        """Decoder, encoder and discriminator, untrained."""
        noise_dim = self.noise_dim or 2 * spec.latent_dim
        encoder = self._pair_net(spec, noise_dim, spec.latent_dim, "batch")
        critic = self._pair_net(spec, spec.latent_dim, 1, self.critic_norm)
        if self.likelihood == "gaussian":
            decoder = generator(spec.shape, spec.latent_dim, self.width)
            return BidirectionalModel(spec, NormalPrior(spec.latent_dim), decoder, encoder, critic, noise_dim)
        law = ExponentialModel.law
        if spec.shape != (1,) or spec.latent_dim != law.latent_dim:
            raise ParameterError(
                f"{self.name}: likelihood=exponential is for data of shape (1,) and latent_dim={law.latent_dim}; "
                f"got {spec.shape} and {spec.latent_dim}"
            )
        prior = NormalPrior(spec.latent_dim, law.prior_std)
        return ExponentialModel(spec, prior, _Expectation(law), encoder, critic, noise_dim)

    @property
    def critic_norm(self) -> Norm:
        """The normalisation of the discriminator's convolutions."""
        return "batch"

    def _pair_net(self, spec: DataSpec, vector_dim: int, out_dim: int, norm: Norm) -> PairNet:
        return PairNet(
            spec.shape,
            vector_dim,
            out_dim,
            width=self.width,
            hidden=self.hidden,
            activation=self.activation,
            norm=norm,
        )

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Alternate steps of the discriminator and of encoder and decoder."""
        assert isinstance(model, BidirectionalModel)
        model = run.prepare(model)
        networks = [*model.encoder.parameters(), *model.decoder.parameters()]
        optimiser = make_optimiser("adam", networks, self.learning_rate, beta1=self.beta1)
        critic_rate = self.discriminator_learning_rate or self.learning_rate
        critic_optimiser = make_optimiser("adam", model.discriminator.parameters(), critic_rate, beta1=self.beta1)
        state = (model, optimiser, critic_optimiser)
        for batch in run.batches(train, batch_size=self.batch_size, epochs=self.epochs, state=state):
            run.decay(optimiser, final=self.final_rate)
            run.decay(critic_optimiser, final=self.final_rate)
            with run.autocast():
                loss = self.discriminator_loss(model, batch.x)
            run.step(critic_optimiser, loss, name="discriminator")
            if (run.steps + 1) % self.discriminator_steps == 0:
                with frozen(model.discriminator), run.autocast():
                    loss = self.generator_loss(model, batch.x)
                run.step(optimiser, loss, name="generator")

    @abstractmethod
    def discriminator_loss(self, model: BidirectionalModel, x: Tensor) -> Tensor:
        """The discriminator's loss on a batch of data, a number; nothing but the discriminator takes a gradient."""

    @abstractmethod
    def generator_loss(self, model: BidirectionalModel, x: Tensor) -> Tensor:
        """The encoder's and decoder's loss on a batch of data, a number."""
