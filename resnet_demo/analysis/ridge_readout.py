"""Read-outs of one's own classes after every block, by ridge regression on the block's channel means.

The network is frozen; after each block a linear read-out is fitted on what the block gave, averaged over its
places, and judged by leave-one-out (Alain and Bengio 2016, https://arxiv.org/abs/1610.01644). A ridge
regression on 0/1 targets has its leave-one-out answers in closed form (Allen's PRESS, 1974; Hastie,
Tibshirani and Friedman 2009, § 7.10.1): they are those of N refits, each without one picture, at the cost of
one. The strength of the penalty is relative to the spread of the features and is taken without the left-out
picture too, so nothing of it is ever in its own judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_demo.analysis.intervals import wilson

PENALTY = 0.1  # of the weights, as a share of the features' variance over all channels
FLOOR = 1e-6  # of the penalty, for features that do not differ
TEMPERATURES = np.geomspace(0.02, 5, 60)  # tried for the probabilities


@dataclass(frozen=True, eq=False)
class RidgeReadOut:
    """What was fitted after one block: ``logits = weight @ channel means + bias``, ready for a softmax.

    Attributes:
        block: the block's name.
        weight: (K, C) float32.
        bias: (K,) float32.
        left_out: (N,) int64, the class that each picture gets from a read-out fitted without it.
        loss: mean cross-entropy of those answers, in nats.
    """

    block: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    left_out: NDArray[np.int64]
    loss: float

    def logits(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight (L, C) and bias (L,) of a network's last layer: of two classes one logit, the second's."""
        if len(self.bias) > 2:
            return self.weight, self.bias
        return self.weight[1:] - self.weight[:1], self.bias[1:] - self.bias[:1]

    def right(self, labels: NDArray[np.int64]) -> int:
        """How many pictures get their own class while left out."""
        return int((self.left_out == labels).sum())

    def confusion(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """(K, K): how many pictures of the row's class are given the column's while left out."""
        classes = len(self.bias)
        counts = np.bincount(labels * classes + self.left_out, minlength=classes**2)
        found: NDArray[np.int64] = counts.reshape(classes, classes).astype(np.int64)
        return found


def fit_read_outs(
    features: Mapping[str, NDArray[np.float32]], labels: NDArray[np.int64], classes: int
) -> tuple[RidgeReadOut, ...]:
    """One read-out a block.

    Args:
        features: block name -> channel means of its output (N, C), a row a picture.
        labels: (N,) each picture's class, 0..classes-1; at least two pictures of each of two classes or more.

    Raises:
        ValueError: there are fewer, or a feature is not finite.
    """
    counts = np.bincount(labels, minlength=classes)
    if classes < 2 or len(counts) != classes or counts.min() < 2:
        raise ValueError("at least two classes with two pictures each are needed")
    return tuple(_fit(name, means, labels, classes) for name, means in features.items())


def _fit(name: str, features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> RidgeReadOut:
    x = features.astype(np.float64)  # (N, C)
    if not np.isfinite(x).all():
        raise ValueError(f"{name} gave numbers that are not finite")
    targets = np.eye(classes)[labels]  # (N, K)
    centre, level = x.mean(0), targets.mean(0)
    around, wanted = x - centre, targets - level
    sides, squares, ways = _spectrum(around)
    spread = float(squares.sum())
    shrunk = 1 / (squares + penalty(spread, len(x)))
    weight = (ways @ (shrunk[:, None] * np.sqrt(squares)[:, None] * (sides.T @ wanted))).T  # (K, C)
    left_out = _leave_one_out(around, targets, sides, squares)
    temperature, loss = _temperature(left_out, labels)
    bias = level - weight @ centre
    return RidgeReadOut(
        name,
        (weight / temperature).astype(np.float32),
        (bias / temperature).astype(np.float32),
        left_out.argmax(1).astype(np.int64),
        loss,
    )


def penalty(spread: float, count: int) -> float:
    """The factor of the weights' squares, for ``count`` pictures whose features have squared distances from
    their mean of ``spread`` in sum."""
    return PENALTY * spread / count + FLOOR


def _spectrum(
    around: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Singular vectors (N, R), squared singular values (R,) and the other vectors (C, R) of centred features
    (N, C), by the smaller of their two products; directions of no length are left out."""
    count, channels = around.shape
    tall = count > channels
    values, vectors = np.linalg.eigh(around.T @ around if tall else around @ around.T)
    kept = values > max(values[-1], 0) * 1e-12
    values, vectors = values[kept], vectors[:, kept]
    others = (around @ vectors if tall else around.T @ vectors) / np.sqrt(values)
    return (others, values, vectors) if tall else (vectors, values, others)


def _leave_one_out(
    around: NDArray[np.float64],
    targets: NDArray[np.float64],
    sides: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """What each picture gets (N, K) from a fit on the others, with their mean and their penalty.

    With the hat matrix H of a ridge with intercept, that is ``t - (t - Ht) / (1 - H_ii)``; the penalty in H
    is that of the others: their spread is the whole one less ``n / (n - 1)`` of the picture's squared
    distance.
    """
    count = len(around)
    level = targets.mean(0)
    others = squares.sum() - (around**2).sum(1) * count / (count - 1)  # (N,)
    penalties = PENALTY * np.maximum(others, 0) / (count - 1) + FLOOR
    kept = squares / (squares + penalties[:, None])  # (N, R)
    fitted = level + (sides * kept) @ (sides.T @ (targets - level))
    own = 1 / count + (sides**2 * kept).sum(1)
    found: NDArray[np.float64] = targets - (targets - fitted) / (1 - own)[:, None]
    return found


def _temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """By what the regression's values are divided before the softmax, and the cross-entropy then.

    Chosen on the left-out values, against targets that are smoothed as Platt's (1999): of n pictures of a
    class one more and one of every other class is imagined, so that certainty must be earned by pictures.
    """
    classes = logits.shape[1]
    counts = np.bincount(labels, minlength=classes)[labels]  # (N,)
    targets = np.repeat((1 / (counts + classes))[:, None], classes, 1)
    targets[np.arange(len(labels)), labels] = (counts + 1) / (counts + classes)
    losses, hard = [], []
    for temperature in TEMPERATURES:
        scaled = logits / temperature
        scaled -= scaled.max(1, keepdims=True)
        logs = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
        losses.append(float(-(targets * logs).sum(1).mean()))
        hard.append(float(-logs[np.arange(len(labels)), labels].mean()))
    best = int(np.argmin(losses))
    return float(TEMPERATURES[best]), hard[best]


def best_of(read_outs: tuple[RidgeReadOut, ...], labels: NDArray[np.int64]) -> int:
    """Index of the read-out that is right most often; of several the one of the least loss."""
    return min(range(len(read_outs)), key=lambda i: (-read_outs[i].right(labels), read_outs[i].loss))


def interval(read_out: RidgeReadOut, labels: NDArray[np.int64]) -> tuple[float, float]:
    """95 % Wilson interval of a read-out's leave-one-out accuracy."""
    return wilson(read_out.right(labels), len(labels))


def not_told_apart(confusion: NDArray[np.int64]) -> tuple[int, int] | None:
    """The class that is found no more surely than by guessing, and what it is mistaken for most; None if
    every class is found: its share's 95 % interval then lies above one of K."""
    classes = len(confusion)
    doubtful = [
        (int(row[k]) / max(1, int(row.sum())), k)
        for k, row in enumerate(confusion)
        if wilson(int(row[k]), int(row.sum()))[0] <= 1 / classes
    ]
    if not doubtful:
        return None
    worst = min(doubtful)[1]
    others = np.where(np.arange(classes) == worst, -1, confusion[worst])
    return worst, int(others.argmax())
