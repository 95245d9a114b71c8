"""Read-outs of one's own classes: leave-one-out is what refitting gives, and says what cannot be told."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_demo.analysis.ridge_readout import (
    FLOOR,
    PENALTY,
    best_of,
    fit_read_outs,
    interval,
    not_told_apart,
)


def pictures(
    counts: tuple[int, ...], channels: int, apart: float, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features (N, channels) of classes whose centres lie ``apart``, and labels (N,)."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = rng.normal(size=(len(counts), channels)) * apart
    return (centres[labels] + rng.normal(size=(len(labels), channels))).astype(np.float32), labels


def refitted(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """What each picture gets from an ordinary ridge regression on the others, solved anew each time."""
    found = []
    for i in range(len(labels)):
        x = np.delete(features, i, 0).astype(np.float64)
        t = np.eye(classes)[np.delete(labels, i)]
        mean, level = x.mean(0), t.mean(0)
        around = x - mean
        strength = PENALTY * (around**2).sum() / len(x) + FLOOR
        gram = around.T @ around + strength * np.eye(x.shape[1])
        weight = np.linalg.solve(gram, around.T @ (t - level))
        found.append(int(((features[i] - mean) @ weight + level).argmax()))
    return np.array(found)


@pytest.mark.parametrize(
    ("counts", "channels", "apart"),
    [((20, 20, 20), 64, 0.3), ((7, 30, 12), 8, 0.3), ((5, 5), 200, 0.05), ((6,) * 10, 16, 0.2)],
)
def test_leave_one_out_is_what_refitting_without_each_picture_gives(
    counts: tuple[int, ...], channels: int, apart: float
) -> None:
    features, labels = pictures(counts, channels, apart)
    (fit,) = fit_read_outs({"block": features}, labels, len(counts))
    expected = refitted(features, labels, len(counts))
    assert (fit.left_out == expected).all()
    assert 0 < fit.right(labels) < len(labels)  # so that the answers differ from the labels somewhere
    assert fit.confusion(labels).sum(1).tolist() == list(counts)
    assert np.trace(fit.confusion(labels)) == fit.right(labels)


def test_a_picture_unlike_all_others_is_left_out_truly() -> None:
    """The others are one and the same; without it there is no spread, and only the penalty's floor."""
    features = np.full((9, 4), 2.0, np.float32)
    features[-1] = 50
    labels = np.array([0] * 6 + [1] * 3)
    (fit,) = fit_read_outs({"block": features}, labels, 2)
    assert fit.left_out.tolist() == [0] * 9 == refitted(features, labels, 2).tolist()
    assert np.isfinite(fit.weight).all() and np.isfinite(fit.loss)


def test_the_weights_are_those_of_a_ridge_regression_scaled_for_the_softmax() -> None:
    features, labels = pictures((12, 15, 9), 10, 1.0)
    (fit,) = fit_read_outs({"block": features}, labels, 3)
    x, t = features.astype(np.float64), np.eye(3)[labels]
    around = x - x.mean(0)
    strength = PENALTY * (around**2).sum() / len(x) + FLOOR
    gram = around.T @ around + strength * np.eye(10)
    plain = np.linalg.solve(gram, around.T @ (t - t.mean(0))).T
    factor = fit.weight.ravel() @ plain.ravel() / (plain.ravel() @ plain.ravel())
    assert factor > 1  # 0 to 1 would make a softmax that is never sure
    assert fit.weight == pytest.approx(factor * plain, rel=1e-4, abs=1e-5)
    assert fit.bias == pytest.approx(factor * (t.mean(0) - plain @ x.mean(0)), rel=1e-4, abs=1e-4)


def test_the_block_that_separates_is_the_best_and_an_honest_interval_says_how_surely() -> None:
    clear, labels = pictures((20, 20, 20), 32, 3.0)
    noise, _ = pictures((20, 20, 20), 32, 0.0, seed=1)
    fits = fit_read_outs({"a": noise, "b": clear, "c": noise[:, ::-1]}, labels, 3)
    assert best_of(fits, labels) == 1 and fits[1].right(labels) == 60
    low, high = interval(fits[1], labels)
    assert 0.93 < low < 0.95 and high == pytest.approx(1)
    assert not_told_apart(fits[1].confusion(labels)) is None
    told = not_told_apart(fits[0].confusion(labels))
    assert told is not None and told[0] != told[1]


def test_two_classes_of_the_same_pictures_are_named() -> None:
    features, labels = pictures((15, 15, 15), 24, 3.0)
    rng = np.random.default_rng(2)
    features[labels == 2] = features[labels == 1] + rng.normal(size=(15, 24)).astype(np.float32) * 0.01
    (fit,) = fit_read_outs({"block": features}, labels, 3)
    told = not_told_apart(fit.confusion(labels))
    assert told is not None and set(told) == {1, 2}


def test_two_hundred_pictures_after_sixteen_blocks_take_less_than_a_second() -> None:
    channels = (256,) * 3 + (512,) * 4 + (1024,) * 6 + (2048,) * 3  # a ResNet-50's
    features = {str(i): pictures((50,) * 4, c, 0.2, i)[0] for i, c in enumerate(channels)}
    labels = np.repeat(np.arange(4), 50)
    fit_read_outs({"0": features["0"]}, labels, 4)
    spent = []
    for _ in range(3):
        started = time.process_time()
        fit_read_outs(features, labels, 4)
        spent.append(time.process_time() - started)
    assert min(spent) < 2  # of both cores: a second


@pytest.mark.parametrize("counts", [(5,), (5, 1), (0, 9)])
def test_too_few_are_refused(counts: tuple[int, ...]) -> None:
    features, labels = pictures(counts, 4, 1.0)
    with pytest.raises(ValueError, match="two classes"):
        fit_read_outs({"block": features}, labels, len(counts))


def test_numbers_that_are_none_are_refused() -> None:
    features, labels = pictures((5, 5), 4, 1.0)
    features[3, 2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        fit_read_outs({"block": features}, labels, 2)
