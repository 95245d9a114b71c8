"""What the page asks of whatever runs its photos: one interface for the engine in this process and for a
cluster.

Nothing here needs torch or Ray: the page is built before either is imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_demo.explanations import Ablation, GradientFlow
from resnet_demo.i18n import later
from resnet_demo.inputs.files import FileSource
from resnet_demo.inputs.sound_stretch import Recording
from resnet_demo.modalities import modality_named
from resnet_demo.networks.cards import named_by
from resnet_demo.networks.download import Progress, nothing
from resnet_demo.records import STREAM_NAMES, Gate, NetworkInput, Preprocessing, Run

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


class PhotoEngine(ABC):
    """Runs photos, for many threads at a time. Every error is one sentence fit for the page."""

    @property
    @abstractmethod
    def default(self) -> str:
        """The network taken when none is named."""

    @abstractmethod
    def info(self, network: str | None = None, progress: Progress = nothing) -> NetworkInfo:
        """Those of ``network``, which is loaded, or fetched, if it has not been.

        Args:
            progress: told the share of a download that has arrived, 0..1.
        """

    @abstractmethod
    def first_taking(self, modality: str) -> str | None:
        """The first network that takes a modality, or None."""

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
    ) -> Run: ...

    def run(
        self,
        photos: Any,
        network: str | None = None,
        gates: Sequence[Gate] = (),
        keep: Collection[str] = STREAM_NAMES,
        here: bool = False,
    ) -> Run | list[Run]:
        """A photo, or each of a list of photos, through one network, with what its residual blocks did.

        Single photos that come while the network is busy share its next pass; a list is one pass.

        Args:
            photos: a file, by its bytes or its path, as the page opens it; a picture, upright, of any
                size, as Pillow or as numpy has it, (H, W), (H, W, 3) or (H, W, 4) uint8; or a
                ``NetworkInput`` such as the ``photo`` of an earlier run of this network, which is
                taken as it is. A network that listens takes the samples of a sound, as ``open_sound``
                gives them, one that reads a text. Or a list of such.
            network: a name on the menu, or None for the default.
            gates: one a block, or empty for all open. They hold for this run alone.
            keep: the streams to keep of every block. Without any (an empty tuple) a run is numbers alone: no
                stream leaves the device, which is faster for many photos of which nobody looks at the maps.
            here: not on a GPU that is lent by the call, for photos in quick succession.

        In float32, or in fewer bits where the engine may and that is faster; ``Run.precision`` says which.

        Returns:
            A run, or for a list a list of runs, whose milliseconds are their shares of the pass.

        Raises:
            EngineError, CheckpointError, PhotoError: one sentence fit for the page.
        """
        given = photos if isinstance(photos, list) else [photos]
        runs = self._run_all(given, network, tuple(gates), streams_to_keep(keep), here) if given else []
        return runs if isinstance(photos, list) else runs[0]

    def exact(self, run: Run) -> Run:
        """``run`` in float32, for numbers that people copy: itself, or made once more if it was computed in
        fewer bits.

        Raises:
            EngineError, CheckpointError: one sentence fit for the page.
        """
        if run.precision == "float32":
            return run
        return self._run_all([run.photo], run.network, run.gates, STREAM_NAMES, exact=True)[0]

    @abstractmethod
    def _run_all(
        self,
        photos: list[Any],
        network: str | None,
        gates: tuple[Gate, ...],
        keep: tuple[str, ...],
        here: bool = False,
        exact: bool = False,
    ) -> list[Run]:
        """What ``run`` gives for one photo or more; ``keep`` holds names of streams, in their order."""

    def hear(
        self, samples: NDArray[np.float32], network: str | None = None, gates: Sequence[Gate] = ()
    ) -> Run:
        """One sound through a network that listens, the first on the menu for None; else as ``run``.

        Args:
            samples: as ``open_sound`` gives them.

        Raises:
            EngineError: none listens, or this one does not.
        """
        return self._run_as("sound", samples, network, gates)

    def read_text(self, text: str, network: str | None = None, gates: Sequence[Gate] = ()) -> Run:
        """One text through a network that reads, the first on the menu for None; else as ``run``.

        Args:
            text: any; its first letters are read, as many as the network's card says.

        Raises:
            EngineError, TextError: none reads, this one does not, or there is no letter in it.
        """
        return self._run_as("text", text, network, gates)

    def _run_as(self, modality: str, given: Photo, network: str | None, gates: Sequence[Gate]) -> Run:
        name = network or self.first_taking(modality)
        if name is None:
            raise EngineError(modality_named(modality).missing)
        return self.run(given, name, gates)

    @abstractmethod
    def ablation(self, run: Run) -> Ablation:
        """The photo of ``run`` through its network with each branch removed, each shortcut, and, with
        few enough blocks, every set of branches."""

    @abstractmethod
    def gradient_flow(
        self, run: Run, depth: int, norms: bool = True, progress: Progress = nothing
    ) -> GradientFlow:
        """How the gradient fares on the photo of ``run`` in fresh networks of ``depth`` blocks."""

    @abstractmethod
    def explain(
        self, question: str, run: Run, options: Mapping[str, Any] | None = None, progress: Progress = nothing
    ) -> Any:
        """The answer to a question about the photo of ``run`` that needs gradients; see
        ``inference.explain``."""


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
        precision: "float32", "auto" or "bfloat16", see ``inference.precision``.
    """

    device: str = "auto"
    weights: Path | None = None
    own: OwnCheckpoint | None = None
    precision: str = "float32"


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
        networks: whether visitors may bring networks, each for themselves.
    """

    runs: int = MAX_BATCH  # fewer would make the passes that photos share smaller than they can be
    waiting: int = 48  # a class of 30 behind one school's address presses at once
    frames: int = 16
    networks: bool = True

    @staticmethod
    def of(replicas: int) -> Limits:
        """Enough to give each of ``replicas`` a full pass and the next one."""
        each = 2 * MAX_BATCH * replicas
        return Limits(each, each, each)
