"""The figures of a network that reads, for its card: on a test folder, by language and close pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_demo.networks.resnet import ResNet
from resnet_demo.records import Preprocessing
from resnet_demo.training.evaluate import Evaluation, summarise, wilson
from resnet_demo.training.language_accuracy import accuracy_by_class, labelled_texts, text_logits

PAIRS = ("nb da", "nb nn", "cs sk", "id ms", "bs hr", "sr mk", "ru uk", "xh zu", "tn st", "hi mr", "ar fa")
CONFUSED = 12  # pairs (true, answered) listed, the most frequent first


def figures_of(
    model: ResNet, preprocessing: Preprocessing, classes: Sequence[str], folder: Path, temperature: float
) -> dict[str, Any]:
    """What is found on the ``sentences`` and ``words`` of ``folder``, see ``udhr``.

    Raises:
        DataError: it holds none.
    """
    found: dict[str, Any] = {}
    for part in ("sentences", "words"):
        texts, labels = labelled_texts(folder / part, classes)
        result = summarise(text_logits(model, texts, preprocessing), labels, temperature)
        found[part] = {
            **_share(int(np.trace(result.confusion)), result.n),
            "calibration_error": result.calibration_error,
            "by_language": dict(accuracy_by_class(result.confusion, classes)),
            "confused": confused(result.confusion, classes),
        }
        if part == "sentences":
            found["pairs"] = pairs(result, classes)
    return found


def _share(right: int, n: int) -> dict[str, Any]:
    return {"accuracy": right / n if n else 0.0, "n": n, "interval": wilson(right, n)}


def pairs(result: Evaluation, classes: Sequence[str]) -> Mapping[str, Any]:
    """The share right among the texts of two languages that are close, of all answers that there are."""
    index = {name: i for i, name in enumerate(classes)}
    found = {}
    for pair in PAIRS:
        one, other = (index[name] for name in pair.split())
        rows = result.confusion[[one, other]]
        right = int(rows[0, one] + rows[1, other])
        mixed = int(rows[0, other] + rows[1, one])
        found[pair] = {**_share(right, int(rows.sum())), "mixed_up": mixed}
    return found


def confused(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[list[Any]]:
    """[true, answered, how often] of the CONFUSED most frequent mistakes."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSED]
    places = [np.unravel_index(i, wrong.shape) for i in order]
    return [[classes[t], classes[a], int(wrong[t, a])] for t, a in places if wrong[t, a]]
