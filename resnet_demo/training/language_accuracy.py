"""How many texts a network that reads gets right, every text by the page's own way to the network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from resnet_demo.inference.forward import to_tensor
from resnet_demo.inputs.alphabet import normalise, text_pixels
from resnet_demo.records import Preprocessing
from resnet_demo.training.data import DataError

LETTERS = 8_192  # in one pass


@torch.inference_mode()
def text_logits(model: nn.Module, texts: Sequence[str], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Logits (N, classes) of normalised texts; those of one length go through the network together."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, text in enumerate(texts):
        by_length[min(len(text), preprocessing.size)].append(i)
    found: dict[int, NDArray[np.float32]] = {}
    model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for length, members in by_length.items():
        batch = max(1, LETTERS // length)
        for first in range(0, len(members), batch):
            some = members[first : first + batch]
            pixels = np.stack([text_pixels(texts[i][:length]) for i in some])
            logits = model(to_tensor(pixels, preprocessing)).float().numpy()
            found.update(zip(some, logits, strict=True))
    return np.stack([found[i] for i in range(len(texts))])


def labelled_texts(folder: Path, classes: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The texts of a folder that holds ``xx.txt`` for languages ``xx`` among ``classes``, a text a line,
    and their labels. Languages may be missing, empty lines are passed over.

    Raises:
        DataError: no such file, one of another language, or no text.
    """
    files = sorted(folder.glob("*.txt"))
    if unknown := [file.name for file in files if file.stem not in classes]:
        raise DataError(f"{folder} holds {unknown[0]}; this network knows {', '.join(classes)}.")
    texts: list[str] = []
    labels: list[int] = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} is not readable UTF-8: {error}") from error
        read = [line for line in map(normalise, lines) if line]
        texts += read
        labels += [list(classes).index(file.stem)] * len(read)
    if not texts:
        raise DataError(
            f"{folder} must hold xx.txt, a text a line, for languages such as {classes[0]}; it has none."
        )
    return texts, np.array(labels, np.int64)


def accuracy_by_class(confusion: NDArray[np.int64], classes: Sequence[str]) -> Mapping[str, float]:
    """Share right of each class that occurs, from (K, K) counts, rows true class."""
    counts = confusion.sum(1)
    return {c: float(confusion[i, i] / counts[i]) for i, c in enumerate(classes) if counts[i]}
