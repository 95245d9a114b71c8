"""From logits to an answer with calibrated confidences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnet_demo.i18n import later
from resnet_demo.networks.checkpoints import Card
from resnet_demo.records import Confidence, Prediction

NO_ANSWER = later("no answer")  # the label for a network without a last layer


def predict(logits: NDArray[np.float32], card: Card) -> Prediction:
    """Calibrated confidences from the logits (classes,), or (1,) for a binary network.

    The logits are divided by the card's temperature before the sigmoid or softmax
    (Guo et al. 2017, https://arxiv.org/abs/1706.04599); the logit reported is the raw one.
    """
    if not card.classes:  # features, not logits
        return Prediction(NO_ANSWER, (Confidence(NO_ANSWER, 0.0),), 0.0, (0.0,))
    every = chances(logits[None], card)[0]
    ranked = np.argsort(-every, kind="stable")[:5]
    confidences = tuple(Confidence(card.classes[i], float(every[i])) for i in ranked)
    return Prediction(confidences[0].label, confidences, float(logits.max()), tuple(float(c) for c in every))


def chances(logits: NDArray[np.float32], card: Card) -> NDArray[np.float64]:
    """Calibrated probabilities (N, classes) from logits (N, classes), or (N, 1) for a binary network."""
    scaled = logits.astype(np.float64) / card.temperature
    if scaled.shape[1] == 1:
        second = 1 / (1 + np.exp(-np.clip(scaled[:, 0], -700, 700)))
        return np.stack([1 - second, second], 1)
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    found: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return found
