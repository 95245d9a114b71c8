"""The records that flow through the demo, from a photo to what the page draws.

All are frozen and hold numpy arrays, never tensors, so that whoever draws or ships them
needs no torch. ``eq=False`` where arrays are inside: a record is compared and hashed by
identity (arrays have no truth value).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from resnet_demo.modalities import modality_named

STREAM_NAMES = ("residual", "shortcut", "pre_activation", "output")  # in the order of the sum

ResizeMode = Literal["squash", "crop", "pad"]
Interpolation = Literal["bilinear", "bicubic"]
MAX_SIZE = 1024  # pixels a side: streams grow with its square


class NetworkInput(np.ndarray[Any, np.dtype[np.uint8]]):
    """A picture (H, W, 3) uint8 that a network takes as it is, without being resized or cropped once more.

    ``Run.photo`` is one. Any other array is a picture of any size, and is prepared as a photo is.

    Attributes:
        notice: a sentence about what had to be assumed to make it out of a file, or "".
    """

    notice: str = ""

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], notice: str = "") -> NetworkInput:
        """``pixels`` (H, W, 3) uint8 of the side that the network takes, with the same memory.

        Raises:
            ValueError: another shape or dtype.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"(H, W, 3) uint8 is needed, not {pixels.dtype} {pixels.shape}")
        found = pixels.view(cls)
        found.notice = notice
        return found

    def __reduce__(self) -> Any:
        """Pickled with its notice, which arrays would leave behind."""
        return NetworkInput.of, (np.asarray(self), self.notice)


@dataclass(frozen=True)
class Preprocessing:
    """How a photo becomes the network's input; stored in the checkpoint's card.

    Attributes:
        size: side of the square input in pixels.
        resize: "squash" scales both sides to ``size``; "crop" scales the short side to
            ``size / crop_share`` and keeps the centre; "pad" scales the long side and fills with grey.
        mean, std: per channel of the input, for values in 0..1: ``(x - mean) / std``; three for
            RGB, one for a grey picture such as that of a sound.
        crop_share: share of the short side that "crop" keeps, 0.05..1: torchvision's 224 of 256 are 0.875.
        interpolation: how pixels are resized.
        characters: for texts, the channels of the input in order, see ``inputs.alphabet``; ``size`` is then
            how many letters are read at most, and mean and std say nothing.
        highest: for sounds, the frequency in Hz where the last band of the picture ends, see
            ``inputs.mel_spectrogram``.
        step: for sounds, milliseconds from column to column.
        modality: what the picture is of, see ``modalities``; older cards call it "sense".
    """

    size: int = 180
    resize: ResizeMode = "crop"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    modality: str = "photo"
    crop_share: float = 1.0
    interpolation: Interpolation = "bilinear"
    characters: tuple[str, ...] = field(default=(), repr=False)
    highest: float = 8000.0
    step: float = 20.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))  # JSON gives lists
        object.__setattr__(self, "characters", tuple(self.characters))
        if not all(isinstance(character, str) for character in self.characters):
            raise TypeError("the characters of a card are text")
        object.__setattr__(self, "std", tuple(self.std))
        if not isinstance(self.size, int) or not 8 <= self.size <= MAX_SIZE:
            raise ValueError(f"the side of the input must be 8 to {MAX_SIZE} pixels, got {self.size!r:.20}")
        if self.resize not in get_args(ResizeMode) or self.interpolation not in get_args(Interpolation):
            raise ValueError(f"no way to resize: {self.resize!r:.20}, {self.interpolation!r:.20}")
        if not 500 <= self.highest <= 8000:
            raise ValueError(f"the highest frequency must lie in 500..8000 Hz, got {self.highest!r:.20}")
        if not 5 <= self.step <= 20:
            raise ValueError(f"the step of a sound must lie in 5..20 ms, got {self.step!r:.20}")
        if not 0.05 <= self.crop_share <= 1:
            raise ValueError(f"the share that is kept must lie in 0.05..1, got {self.crop_share!r:.20}")
        if not all(math.isfinite(number) for number in (*self.mean, *self.std)) or not all(
            deviation > 0 for deviation in self.std
        ):
            raise ValueError(f"means must be finite and deviations positive, got {self.mean} and {self.std}")
        if not len(self.mean) == len(self.std) in (1, 3):
            raise ValueError(f"one or three means and as many deviations, got {self.mean} and {self.std}")

    @classmethod
    def from_card(cls, stored: Mapping[str, Any]) -> Preprocessing:
        """As a card has it.

        Raises:
            TypeError, ValueError: it is not one, or names a modality that nobody knows.
        """
        if not isinstance(stored, Mapping):
            raise TypeError(f"preprocessing is an object, not {stored!r:.20}")
        found = cls(**{"modality" if name == "sense" else name: value for name, value in stored.items()})
        modality_named(found.modality)
        return found


@dataclass(frozen=True)
class Confidence:
    """One class and the calibrated probability the network gives it, 0..1."""

    label: str
    confidence: float


@dataclass(frozen=True)
class Prediction:
    """What the network answers.

    Attributes:
        label: the most probable class.
        confidences: every class (the first five of many), most probable first, summing to
            at most 1.
        logit: the raw score behind ``label``: the network's one logit for a binary network
            (positive means the second class), else the highest logit.
        chances: of every class, in the order of the run's ``classes``; of the two classes of one logit if
        empty.
    """

    label: str
    confidences: tuple[Confidence, ...]
    logit: float
    chances: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class Block:
    """What one residual block did to one photo: numbers, and those of its four streams that were kept.

    ``pre_activation = residual + shortcut`` and ``output = relu(pre_activation)``.

    Attributes:
        name: the block's name in the network, such as "blocks.2".
        shape: (C, H, W) of every stream of the block.
        residual_norm, shortcut_norm, output_norm: Euclidean norms over all of a stream, float32.
        cosine: cosine of the angle between residual and shortcut, -1..1; 0 if one is zero.
        streams: a stack of feature maps (C, H, W), float16 or float32, by the names of STREAM_NAMES.
        means, adds: what ``activity`` and ``added`` give, from whoever had the streams in float32 at hand.
    """

    name: str
    shape: tuple[int, int, int]
    residual_norm: float
    shortcut_norm: float
    output_norm: float
    cosine: float
    streams: Mapping[str, NDArray[np.floating]] = field(default_factory=dict, repr=False)
    means: NDArray[np.float32] | None = field(default=None, repr=False)
    adds: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def residual(self) -> NDArray[np.floating]:
        """F(x), the residual branch as it enters the sum. Like the other three a KeyError if it was not
        kept."""
        return self.streams["residual"]

    @property
    def shortcut(self) -> NDArray[np.floating]:
        """What came around the branch."""
        return self.streams["shortcut"]

    @property
    def pre_activation(self) -> NDArray[np.floating]:
        """The sum."""
        return self.streams["pre_activation"]

    @property
    def output(self) -> NDArray[np.floating]:
        """The sum after the activation."""
        return self.streams["output"]

    @property
    def sum_norm(self) -> float:
        """Euclidean norm of the pre-activation, from those of its two sides (law of cosines)."""
        f, s = self.residual_norm, self.shortcut_norm
        return math.sqrt(max(f * f + s * s + 2 * f * s * self.cosine, 0.0))

    @cached_property
    def activity(self) -> NDArray[np.float32]:
        """Mean |a| of each channel of the output, (C,) float32; what channels are ranked by."""
        if self.means is not None:
            return self.means
        flat = self.output.reshape(len(self.output), -1).astype(np.float32, copy=False)
        means: NDArray[np.float32] = np.abs(flat).mean(axis=1)
        return means

    @cached_property
    def added(self) -> NDArray[np.float32]:
        """What the residual branch adds to each place of the output, (H, W) float32, averaged over the
        channels: ReLU(F(x) + shortcut) - ReLU(shortcut)."""
        if self.adds is not None:
            return self.adds
        shortcut, output = self.shortcut.astype(np.float32), self.output.astype(np.float32)
        with np.errstate(invalid="ignore"):  # infinity minus infinity is drawn as nothing
            gain: NDArray[np.float32] = output.mean(0) - np.maximum(shortcut, 0, out=shortcut).mean(0)
        return gain


@dataclass(frozen=True)
class Gate:
    """How much of each side of a block's sum is let through: 1 all of it, 0 nothing."""

    residual: float = 1.0
    shortcut: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.residual <= 1 and 0 <= self.shortcut <= 1):
            raise ValueError(f"gates must lie in 0..1, got {self.residual} and {self.shortcut}")

    @property
    def open(self) -> bool:
        """True if nothing is held back."""
        return self.residual == 1 and self.shortcut == 1


@dataclass(frozen=True, eq=False)
class ClassActivation:
    """Where the logit comes from, exactly, for a network that ends in average pool and linear layer.

    Zhou et al. 2016, https://arxiv.org/abs/1512.04150.

    Attributes:
        places: (h, w) float32, each place's share; they sum to logit - bias.
        channels: (C,) float32, each channel's share; they sum to the same.
        bias: of the linear layer.
        logit: the logit explained.
    """

    places: NDArray[np.float32]
    channels: NDArray[np.float32]
    bias: float
    logit: float


@dataclass(frozen=True)
class ReadOut:
    """What a linear probe reads from one block's output: the answer if the network stopped there
    (Alain and Bengio 2016, https://arxiv.org/abs/1610.01644).

    Attributes:
        block: the block's name.
        logit: of this photo, positive for the second class; where every class has one, the highest.
        confidence: probability of the second class, 0..1; where every class has a logit, of the most
        probable.
        accuracy: share of validation photos that the probe gets right.
        chances: of every class, in the order of the run's ``classes``; of the two classes of one logit if
        empty.
    """

    block: str
    logit: float
    confidence: float
    accuracy: float
    chances: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.chances:
            object.__setattr__(self, "chances", (1 - self.confidence, self.confidence))


@dataclass(frozen=True)
class ReceptiveField:
    """Which input pixels one place of a stream can depend on, the same rule down and across.

    Place i sees the pixels ``i * jump + low`` to ``i * jump + high``, both included, clipped to the picture.
    """

    jump: int
    low: int
    high: int

    @property
    def size(self) -> int:
        """Pixels a side, unclipped."""
        return self.high - self.low + 1

    def span(self, place: int, side: int) -> tuple[int, int]:
        """First and last pixel that ``place`` sees in a picture of ``side`` pixels.

        Both may be the nearest border pixel when a place sees padding alone.
        """
        first, last = place * self.jump + self.low, place * self.jump + self.high
        return min(max(first, 0), side - 1), max(min(last, side - 1), 0)


@dataclass(frozen=True)
class LayerTrace:
    """One line of the shape trace.

    Attributes:
        name: the layer's name in the network, "input" for the photo.
        kind: the class of the layer.
        shape: its output, without the batch.
        parameters: trainable scalars in it.
        flops: floating-point operations of its convolutions and linear layers for one
            photo, counting a multiply-add as two.
        milliseconds: time spent in it during the run it was taken from, or None.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    flops: int
    milliseconds: float | None = None


@dataclass(frozen=True)
class Timings:
    """Where the time of one run went, in milliseconds."""

    prepare: float
    forward: float
    total: float


@dataclass(frozen=True, eq=False)
class Run:
    """One photo through one network: everything the page draws. Belongs to one visitor.

    Attributes:
        network: name of the network on the menu.
        device: where it ran, as shown to people: "CPU", "CUDA (…)", "MPS".
        photo: the photo as the network saw it, (H, W, 3) uint8 RGB, a ``NetworkInput``; for a network that
            listens, the picture of the sound (``mel.mel_picture``).
        prediction: the answer.
        blocks: one record a residual block, in order, with the streams that the run was asked to keep.
        trace: one record a layer, "input" first.
        timings: milliseconds.
        notice: a sentence to show (such as a fall-back to the CPU), or "".
        classes: in the order of the logits; for one logit, its negative and its positive side.
        gates: one a block, or empty if every branch was open.
        activation: where the logit comes from, or None for a network that does not allow it, or without the
            last block's output.
        read_outs: what a probe reads after each block, or empty for a network without probes.
        contributions: block name -> (C,) float32, each channel's share of the last block's logit, or
            of the read-out after an earlier block; blocks of which neither is known are left out.
        fields: (block name, stream) -> receptive field.
        modality: what ``photo`` is a picture of.
        familiarity: how much the photo is like those that the network has learned from, 0..1; None for a
            network without such a score, or with a branch held back.
        familiar: whether that is as much as for most of them; None with it.
        axes: the units of its columns and rows, see ``modalities.Modality.axes``; "" for pixels.
        precision: in which the convolutions were computed: "float32", "bfloat16" or "float16".
    """

    network: str
    device: str
    photo: NDArray[np.uint8]
    prediction: Prediction
    blocks: tuple[Block, ...]
    trace: tuple[LayerTrace, ...]
    timings: Timings
    notice: str = ""
    classes: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    activation: ClassActivation | None = None
    read_outs: tuple[ReadOut, ...] = ()
    contributions: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    fields: Mapping[tuple[str, str], ReceptiveField] = field(default_factory=dict)
    modality: str = "photo"
    familiarity: float | None = None
    familiar: bool | None = None
    axes: str = ""
    precision: str = "float32"
