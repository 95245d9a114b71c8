"""From a text to the tensor that a network takes: a 1 in the channel of each letter."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_demo.inputs.alphabet import alphabet_of, text_of
from resnet_demo.records import Preprocessing


def letters_to_tensor(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    """Texts of one length, as ``text_pixels`` gives them, for the network: 1 in the channel of each letter,
    else 0.

    Args:
        pixels: (1, L, 3) or (B, 1, L, 3) uint8.

    Returns:
        (B, characters, 1, L) float32 on the CPU.
    """
    alphabet = alphabet_of(preprocessing.characters)
    texts = [alphabet.encode(text_of(text)) for text in pixels.reshape(-1, *pixels.shape[-3:])]
    return one_hot(np.stack(texts), len(alphabet.channels))


def one_hot(channels: NDArray[np.integer], count: int) -> Tensor:
    """(B, count, 1, L) float32 in channels_last order from the channels (B, L) of letters."""
    batch, length = channels.shape
    x = torch.zeros(batch, 1, length, count)
    x.scatter_(3, torch.from_numpy(channels.astype(np.int64)).view(batch, 1, length, 1), 1.0)
    return x.permute(0, 3, 1, 2)
