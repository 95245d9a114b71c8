"""Networks that visitors have just trained, kept for a while so that they can be asked about a picture of
one's own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from resnet_demo.race.records import RaceSettings

KEPT = 16  # races; 50 blocks take 2 MB


class TrainedRaces:
    """The weights of the last few races: the ticket's id -> its settings, and a safetensors file for each
    network."""

    def __init__(self, most: int = KEPT) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[RaceSettings, dict[str, bytes]]] = OrderedDict()

    def put(self, id_: str, settings: RaceSettings, weights: dict[str, bytes]) -> None:
        """Keep a race; the one that was asked about longest ago goes."""
        with self._lock:
            self._kept[id_] = settings, dict(weights)
            self._kept.move_to_end(id_)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def get(self, id_: object) -> tuple[RaceSettings, dict[str, bytes]] | None:
        """The settings and weights of a race; None if it is not kept."""
        with self._lock:
            return self._kept.get(id_) if isinstance(id_, str) else None

    def answers(self, id_: object, grey: list[float]) -> dict[str, list[float]] | None:
        """What each network of a race answers to a picture.

        Args:
            id_: of the race's ticket.
            grey: of every pixel, row by row, 0..1.

        Returns:
            network -> probability of every class; None if the race is not kept.

        Raises:
            ValueError: another number of pixels.
        """
        with self._lock:
            if not isinstance(id_, str) or id_ not in self._kept:
                return None
            settings, weights = self._kept[id_]
            self._kept.move_to_end(id_)
        return {kind: chances(settings, kind, file, grey) for kind, file in weights.items()}


def chances(settings: RaceSettings, kind: str, file: bytes, grey: list[float]) -> list[float]:
    """The probabilities (classes,) that a trained network gives a picture of ``side * side`` grey values."""
    import safetensors.torch
    import torch

    from resnet_demo.race.data import load
    from resnet_demo.race.networks import RaceNetwork

    data = load(settings.data)
    if len(grey) != data.side**2:
        raise ValueError(f"a picture of {data.side}x{data.side} is needed, got {len(grey)} values")
    state: dict[str, Any] = safetensors.torch.load(file)
    with torch.random.fork_rng(devices=[]):
        network = RaceNetwork(kind, settings.blocks, norms=settings.norms, stride=data.stride)
    network.load_state_dict(state)
    network.eval()
    picture = data.prepared(np.asarray(grey, np.float32).reshape(data.side, data.side))
    with torch.inference_mode():
        found: list[float] = torch.softmax(network(torch.from_numpy(picture)), 1)[0].tolist()
    return found
