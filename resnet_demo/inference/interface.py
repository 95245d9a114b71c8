"""What the page asks of whatever runs its photos: one interface for the engine in this process and for a
cluster.

Nothing here needs torch or Ray: the page is built before either is imported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_demo.i18n import later
from resnet_demo.inputs.files import FileSource
from resnet_demo.inputs.sound_stretch import Recording
from resnet_demo.modalities import modality_named
from resnet_demo.networks.cards import named_by
from resnet_demo.networks.download import Progress, nothing
from resnet_demo.records import STREAM_NAMES, Ablation, Gate, GradientFlow, NetworkInput, Preprocessing, Run

# a photo as a file, opened or as an array, a sound or its samples, a text, or a NetworkInput
Photo = FileSource | Recording | Image.Image | NDArray[np.uint8] | NDArray[np.float32]
PhotoT = TypeVar("PhotoT", bound=Photo)

if TYPE_CHECKING:
    from resnet_demo.networks.own_networks import OwnNetwork

PATIENCE_S = 60.0  # seconds to wait for one's turn
MAX_BATCH = 8  # photos that share one pass
BUSY = later("The network is busy with other people's photos; try again in a minute.")
FAILED = later("The network failed on this photo; try another one.")
NO_RAY = "Ray is not installed; run: pip install -r requirements-ray.txt"


class EngineError(RuntimeError):
    """A run could not be done; the message is one sentence fit for the page."""


def no_network(name: str, networks: Iterable[str]) -> EngineError:
    """The error for a name that is not on the menu."""
    return EngineError(
        later(
            "There is no network called {name}; choose one of {names}.",
            name=f"{name!r:.60}",
            names=", ".join(networks),
        )
    )


def has_ray() -> bool:
    """Whether Ray is installed; it is not imported."""
    try:
        return find_spec("ray") is not None
    except ImportError:
        return False


@dataclass(frozen=True)
class NetworkInfo:
    """What a caller needs to know of a loaded network.

    Attributes:
        name: on the menu.
        blocks: residual blocks, and so gates.
        preprocessing: how a photo becomes its input.
    """

    name: str
    blocks: int
    preprocessing: Preprocessing


def as_pixels(given: Photo, info: NetworkInfo) -> NetworkInput:
    """What the network takes, (H, W, 3) uint8: the picture of what was given, or a ``NetworkInput`` as it is.

    Raises:
        EngineError: something of another kind than the network takes.
        PhotoError: a file or an array that is no photo.
    """
    modality = modality_named(info.preprocessing.modality)
    if (
        isinstance(given, NetworkInput)
        and given.dtype == np.uint8
        and modality.is_input(given.shape, info.preprocessing)
    ):
        return given
    picture = modality.to_picture(given, info.preprocessing)
    if picture is None:
        raise EngineError(later(modality.refusal, name=info.name))
    return picture if isinstance(picture, NetworkInput) else NetworkInput.of(picture)


class PhotoEngine(Protocol):
    """Runs photos, for many threads at a time. Every error is one sentence fit for the page."""

    @property
    def default(self) -> str:
        """The network taken when none is named."""
        ...

    def info(self, network: str | None = None, progress: Progress = nothing) -> NetworkInfo:
        """Those of ``network``, which is loaded, or fetched, if it has not been."""
        ...

    def first_taking(self, modality: str) -> str | None:
        """The first network that takes a modality, or None."""
        ...

    @overload
    def run(
        self,
        photos: list[PhotoT],
        network: str | None = None,
        gates: Sequence[Gate] = (),
        keep: Collection[str] = STREAM_NAMES,
        here: bool = False,
    ) -> list[Run]: ...

    @overload
    def run(
        self,
        photos: Photo,
        network: str | None = None,
        gates: Sequence[Gate] = (),
        keep: Collection[str] = STREAM_NAMES,
        here: bool = False,
    ) -> Run:
        """A photo, or each of a list, through one network, with the streams of its residual blocks that are
        named in ``keep``; ``here`` means not on a GPU that is lent by the call."""
        ...

    def hear(
        self, samples: NDArray[np.float32], network: str | None = None, gates: Sequence[Gate] = ()
    ) -> Run:
        """One sound through a network that listens."""
        ...

    def read_text(self, text: str, network: str | None = None, gates: Sequence[Gate] = ()) -> Run:
        """One text through a network that reads."""
        ...

    def ablation(self, run: Run) -> Ablation:
        """The photo of ``run`` through its network with parts of it removed."""
        ...

    def gradient_flow(
        self, run: Run, depth: int, norms: bool = True, progress: Progress = nothing
    ) -> GradientFlow:
        """How the gradient fares on the photo of ``run`` in fresh networks of ``depth`` blocks."""
        ...

    def explain(
        self, question: str, run: Run, options: Mapping[str, Any] | None = None, progress: Progress = nothing
    ) -> Any:
        """The answer to a question about the photo of ``run`` that needs gradients; see
        ``inference.explain``."""
        ...


def streams_to_keep(names: Collection[str]) -> tuple[str, ...]:
    """``names`` in the order of STREAM_NAMES.

    Raises:
        EngineError: there is no such stream.
    """
    if unknown := sorted(set(names) - set(STREAM_NAMES)):
        raise EngineError(
            f"No stream is called {unknown[0]!r:.60}; the streams are {', '.join(STREAM_NAMES)}."
        )
    return tuple(name for name in STREAM_NAMES if name in names)


def run_as(
    modality: str, engine: PhotoEngine, given: Photo, network: str | None, gates: Sequence[Gate]
) -> Run:
    """As ``run``, but without a name the first network that takes ``modality`` is taken.

    Raises:
        EngineError: none does, or this one does not.
    """
    name = network or engine.first_taking(modality)
    if name is None:
        raise EngineError(modality_named(modality).missing)
    return engine.run(given, name, gates)


@dataclass(frozen=True)
class OwnCheckpoint:
    """A network of one's own, from the command line.

    Attributes:
        checkpoint: ours with its card, or anybody's state dict, see ``networks.own_networks``.
        classes: file of its class names; what lies beside the checkpoint when None.
        allow_pth: whether pickles of PyTorch are read, as tensors alone.
        preprocessing: file that says how a photo becomes the input; what lies beside the checkpoint when
        None.
        blocks: residual blocks, 0 if it has not been loaded to count them.
    """

    checkpoint: Path
    classes: Path | None = None
    allow_pth: bool = False
    preprocessing: Path | None = None
    blocks: int = 0

    @property
    def name(self) -> str:
        """On the menu: its card's, or the file's."""
        return named_by(self.checkpoint)

    def network(self) -> OwnNetwork:
        """What it is loaded from; torch is imported for it."""
        from resnet_demo.networks.own_networks import OwnNetwork

        return OwnNetwork(self.name, self.checkpoint, self.classes, self.allow_pth, self.preprocessing)


@dataclass(frozen=True)
class EngineConfig:
    """What an engine is built from, on this machine or on another.

    Attributes:
        device: "auto", "cuda", "mps" or "cpu".
        weights: folder of the checkpoints on offer; the package's own when None.
        own: a network of one's own, which comes first.
    """

    device: str = "auto"
    weights: Path | None = None
    own: OwnCheckpoint | None = None


@dataclass(frozen=True)
class ReplicaConfig:
    """How many copies of an engine run, and on what.

    Attributes:
        least, most: replicas; Ray chooses a number between them by the requests under way.
        address: of a Ray cluster, "auto" for the one this machine belongs to; None starts one on this
        machine. cpus, gpus: of each replica, fractions allowed; shared out evenly when None.
    """

    least: int = 1
    most: int = 1
    address: str | None = None
    cpus: float | None = None
    gpus: float | None = None

    @staticmethod
    def parse(replicas: str) -> tuple[int, int]:
        """Least and most from "2" or "1:8".

        Raises:
            ValueError: neither, or out of order.
        """
        low, _, high = replicas.partition(":")
        least, most = int(low), int(high or low)
        if not 1 <= least <= most:
            raise ValueError("replicas must be N or MIN:MAX, at least 1 and in order")
        return least, most


@dataclass(frozen=True)
class Limits:
    """How much a page takes in at a time.

    Attributes:
        runs: of photos under way.
        waiting: events that queue for them.
        frames: live frames in the server.
    """

    runs: int = MAX_BATCH  # fewer would make the passes that photos share smaller than they can be
    waiting: int = 48  # a class of 30 behind one school's address presses at once
    frames: int = 16

    @staticmethod
    def of(replicas: int) -> Limits:
        """Enough to give each of ``replicas`` a full pass and the next one."""
        each = 2 * MAX_BATCH * replicas
        return Limits(each, each, each)
