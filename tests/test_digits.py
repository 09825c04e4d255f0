"""The digits are scikit-learn's, enlarged, split as the GLO paper splits, and known to the shipped classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from benchsuite import ParameterError
from benchsuite.kit.features import verified_weights
from benchsuite.kit.samples import held_out_rows
from benchsuite_plugins.datasets.digits import Digits
from benchsuite_plugins.features.classifier import SHA256, WEIGHTS, Classifier, DigitsClassifier


def test_digits_are_scikit_learns_own(tmp_path: Path) -> None:
    reference = load_digits()
    train_rows, test_rows = held_out_rows(1797)
    for split, rows in (("train", train_rows), ("test", test_rows)):
        samples = Digits().load(split, tmp_path)
        assert samples.labels is not None and samples.shape == (1, 16, 16)
        assert samples.labels.tolist() == reference.target[rows.numpy()].tolist()
        for image, original in zip(samples[:], reference.images[rows.numpy()], strict=True):
            enlarged = Image.fromarray(original.astype(np.float32)).resize((16, 16), Image.Resampling.BILINEAR)
            assert float((image[0] - torch.from_numpy(np.array(enlarged)) / 16).abs().max()) <= 0.51 / 255


def test_every_32nd_digit_is_held_out(tmp_path: Path) -> None:
    train_rows, test_rows = held_out_rows(1797)
    assert (len(train_rows), len(test_rows)) == (1740, 57)
    assert test_rows.tolist() == list(range(0, 1797, 32))
    assert not set(train_rows.tolist()) & set(test_rows.tolist())


def test_fewer_training_digits_are_evenly_spaced_ones_and_the_test_digits_stay(tmp_path: Path) -> None:
    every, few = (Digits(images=images).load("train", tmp_path) for images in (None, 435))
    assert torch.equal(few[:], every[::4]) and few.labels is not None and every.labels is not None
    assert torch.equal(few.labels, every.labels[::4])
    assert torch.equal(Digits(images=435).load("test", tmp_path)[:], Digits().load("test", tmp_path)[:])
    with pytest.raises(ParameterError, match="images=1741 is not allowed; there are 1740"):
        Digits(images=1741)


def test_the_shipped_classifier_knows_the_test_digits(tmp_path: Path) -> None:
    net = DigitsClassifier()
    net.load_state_dict(verified_weights(WEIGHTS, SHA256))
    test = Digits().load("test", tmp_path)
    assert test.labels is not None
    with torch.no_grad():
        right = int((net.eval().logits(test[:]).argmax(1) == test.labels).sum())
    assert right >= 55  # of 57, as its training script printed


def test_its_features_are_standardised_on_the_training_digits(tmp_path: Path) -> None:
    with torch.no_grad():
        features = Classifier().load(tmp_path, torch.device("cpu"))(Digits().load("train", tmp_path)[:])
    torch.testing.assert_close(features.mean(0), torch.zeros(32), atol=1e-3, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(32), atol=1e-3, rtol=0)


def test_the_weights_are_small_enough_to_ship() -> None:
    assert WEIGHTS.stat().st_size < 120_000
