"""Changes of this project's own code that the gate is tried on: ten sabotages and ten that are harmless.

Each is a replacement of text in a file; ``text`` that is not there exactly once is an error, so that none is tried by
accident.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_VAE = "plugins/benchsuite_plugins/methods/vae.py"
_GLO = "plugins/benchsuite_plugins/methods/glo.py"
_NETS = "benchsuite/kit/nets.py"
_MODELS = "benchsuite/kit/models.py"
_TRAINING = "benchsuite/kit/training.py"
_FRECHET = "plugins/benchsuite_plugins/metrics/frechet.py"
_DIGITS = "plugins/benchsuite_plugins/datasets/digits.py"


@dataclass(frozen=True)
class Change:
    """``text`` becomes ``replacement`` in ``file``; ``metric`` of ``method`` is what a sabotage is to worsen."""

    name: str
    method: Literal["vae", "glo", "glo-fast", "dcgan"]
    metric: str
    file: str
    text: str
    replacement: str

    def apply(self, root: Path) -> None:
        """Change the file below ``root``. Raises ValueError where the text is not there once."""
        path = root / self.file
        before = path.read_text(encoding="utf-8")
        if before.count(self.text) != 1:
            raise ValueError(f"{self.name}: {before.count(self.text)} times in {self.file}: {self.text!r}")
        path.write_text(before.replace(self.text, self.replacement), encoding="utf-8")


SABOTAGES = (
    Change(
        "batch norm in the wrong mode: trained as if for evaluation",
        "vae",
        "psnr",
        _VAE,
        "model = run.prepare(model)",
        "model = run.prepare(model).eval()",
    ),
    Change(
        "a loss's sign: the divergence is rewarded", "vae", "fd", _VAE, "(energy + self.beta", "(energy - self.beta"
    ),
    Change(
        "one layer narrower: a quarter of the channels of the decoder's last but one",
        "vae",
        "psnr",
        _NETS,
        "features // 2, *doubling, bias=False)]\n            features //= 2",
        "features // 8, *doubling, bias=False)]\n            features //= 8",
    ),
    Change(
        "unshuffled data",
        "glo",
        "psnr",
        _TRAINING,
        "        return torch.randperm(n, generator=generator)",
        "        return torch.arange(n)",
    ),
    Change("a dropped projection of codes", "glo-fast", "psnr", _GLO, "= model.project(moved)", "= moved"),
    Change(
        "wrong latent scale: samples from codes half as wide",
        "vae",
        "fd",
        _MODELS,
        "        return self.decode(z)",
        "        return self.decode(0.5 * z)",
    ),
    Change(
        "fewer steps: five epochs where six are asked for",
        "vae",
        "psnr",
        _VAE,
        "epochs=self.epochs, state",
        "epochs=self.epochs - 1, state",
    ),
    Change(
        "stale statistics: batch norm's follow a hundred times as slowly",
        "vae",
        "psnr",
        _NETS,
        '"batch": [nn.BatchNorm2d(features)]',
        '"batch": [nn.BatchNorm2d(features, momentum=0.001)]',
    ),
    Change(
        "a mis-seeded prior: the same codes in every batch",
        "dcgan",
        "fd",
        _MODELS,
        "self.prior.sample(n)  #",
        "self.prior.sample(n, torch.Generator().manual_seed(0))  #",
    ),
    Change(
        "a metric's direction flipped",
        "vae",
        "fd",
        _FRECHET,
        'Metric("fd", fd, higher_is_better=False',
        'Metric("fd", fd, higher_is_better=True',
    ),
)

HARMLESS = (
    Change(
        "a name: noise of its own",
        "vae",
        "",
        _VAE,
        "                z = mean + torch.randn_like(mean) * (log_variance / 2).exp()\n",
        "                noise = torch.randn_like(mean)\n                z = mean + noise * (log_variance / 2).exp()\n",
    ),
    Change("a log: another name of the loss", "vae", "", _VAE, 'name="negative_elbo"', 'name="bound"'),
    Change(
        "a comment and a docstring",
        "vae",
        "",
        _VAE,
        '        """Decoder and encoder, untrained.',
        '        """The networks, untrained.',
    ),
    Change(
        "rounding: means of the parts instead of a mean of the sum",
        "vae",
        "",
        _VAE,
        "(energy + self.beta * gaussian_kl(mean, log_variance)).mean()",
        "energy.mean() + self.beta * gaussian_kl(mean, log_variance).mean()",
    ),
    Change(
        "rounding: Adam without its fused kernel",
        "vae",
        "",
        _VAE,
        "lr=self.learning_rate, fused=True",
        "lr=self.learning_rate",
    ),
    Change(
        "order: the encoder is made before the decoder, from other random numbers",
        "vae",
        "",
        _VAE,
        "        decoder = generator(spec.shape, spec.latent_dim, self.width)\n"
        "        return decoder, encoder(spec.shape, 2 * spec.latent_dim, self.width)\n",
        "        inference = encoder(spec.shape, 2 * spec.latent_dim, self.width)\n"
        "        return generator(spec.shape, spec.latent_dim, self.width), inference\n",
    ),
    Change(
        "random stream: a number is drawn before training",
        "vae",
        "",
        _VAE,
        "        model = run.prepare(model)",
        "        torch.rand(())\n        model = run.prepare(model)",
    ),
    Change(
        "random stream: rows are shuffled by other hashes",
        "glo",
        "",
        _TRAINING,
        'f"{self.seed}/{name}/{epoch}".encode()',
        'f"{self.seed}:{name}:{epoch}".encode()',
    ),
    Change(
        "refactoring: the loss written out",
        "glo",
        "",
        _GLO,
        "            return F.mse_loss(x_hat, x)\n",
        "            return (x_hat - x).square().mean()\n",
    ),
    Change(
        "refactoring of a dataset: the same images by another expression",
        "vae",
        "",
        _DIGITS,
        "(images * 255).round().to(torch.uint8)",
        "images.mul(255).round().to(torch.uint8)",
    ),
)
