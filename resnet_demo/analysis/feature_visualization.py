"""Feature visualisation: pictures that excite one channel of a block's branch, its shortcut, or their sum.

Olah, Mordvintsev and Schubert 2017 (https://distill.pub/2017/feature-visualization): gradient ascent on the
picture, whose unknowns are the coefficients of its frequencies and of three decorrelated colours, so that no
frequency and no colour is harder to reach than another; every step sees the picture moved, turned and
scaled a little, so that what remains is robust. The sum is excited before the ReLU: behind it a silent
channel has no gradient and would stay grey.

A picture that excites a channel is no meaning of the channel: others excite it too, and most of what it
does for photos may be something else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_demo.analysis.capture import hook_blocks, residual_blocks
from resnet_demo.records import Preprocessing

STREAMS = ("residual", "shortcut", "pre_activation")
STEPS = 64
RATE = 0.08  # of Adam
CONTRAST = 4.0  # the larger, the greyer the first pictures
MARGIN = (
    8  # one part of the side in so many lies around the picture: its corners are seen as often as its middle
)
EDGE = 32  # of which the network sees one part in so many: what is at the edge of its view is not shown
# Square root of the covariance of colours in natural photos, scaled: github.com/tensorflow/lucid, color.py.
COLOURS = ((0.5628, 0.1948, 0.0433), (0.5845, 0.0, -0.1082), (0.5845, -0.1948, 0.0649))


@dataclass
class Ascent:
    """A climb under way: N pictures, one for each of N channels.

    Attributes:
        block, stream, channels: what is excited; ``stream`` is one of ``STREAMS``.
        spectra: (N, C, h, h // 2 + 1, 2) float32, the unknowns; h is the side with its margin.
        first, second: Adam's running moments, of the same shape.
        step: steps taken so far.
        side: of the pictures, in pixels.
        excitation: (N,) mean of the channel over all places at the last step, in the stream's own units.
    """

    block: str
    stream: str
    channels: tuple[int, ...]
    spectra: Tensor
    first: Tensor
    second: Tensor
    step: int
    side: int
    excitation: Tensor


class _EnoughError(Exception):
    """Raised to leave a forward pass once the stream that counts is there."""


def begin(
    model: nn.Module,
    block: str,
    stream: str,
    channels: Sequence[int],
    side: int,
    colours: int = 3,
    seed: int = 0,
) -> Ascent:
    """A climb from almost grey noise; the same for the same seed and channel, whatever else is in the batch.

    Raises:
        ValueError: there is no such block, stream or channel, or the side is out of range.
    """
    blocks = residual_blocks(model)
    if block not in blocks:
        raise ValueError(f"no block is called {block!r:.60}; they are {', '.join(blocks)}")
    if stream not in STREAMS:
        raise ValueError(f"no stream is called {stream!r:.60}; choose one of {', '.join(STREAMS)}")
    if not channels or not 16 <= side <= 512:
        raise ValueError(f"at least one channel and a side of 16 to 512 are needed, got {side}")
    canvas = side + 2 * (side // MARGIN)
    shape = (colours, canvas, canvas // 2 + 1, 2)
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed + 7919 * c)) for c in channels]
    spectra = 0.01 * torch.stack(drawn).to(next(model.parameters()))
    zeros = torch.zeros_like(spectra)
    found = tuple(int(channel) for channel in channels)
    return Ascent(block, stream, found, spectra, zeros, zeros.clone(), 0, side, spectra.new_zeros(len(found)))


def climb(
    model: nn.Module,
    ascent: Ascent,
    preprocessing: Preprocessing,
    steps: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Ascent:
    """``steps`` more steps of gradient ascent.

    Args:
        model: in eval mode, contiguous.
        preprocessing: its mean and std turn pixels into the network's input.
        progress: told the share of the steps that is done.

    Raises:
        ValueError: the block has no such channel.
    """
    spectra, first, second = (t.clone() for t in (ascent.spectra, ascent.first, ascent.second))
    mean, std = (spectra.new_tensor(v)[:, None, None] for v in (preprocessing.mean, preprocessing.std))
    excitation = ascent.excitation
    for step in range(ascent.step, ascent.step + steps):
        with torch.inference_mode(False), torch.enable_grad():
            unknown = spectra.detach().clone().requires_grad_()
            picture = moved(_canvases(unknown), ascent.side + 2 * (ascent.side // EDGE), step)
            stream = _stream(model, ascent, (picture - mean) / std)
            if max(ascent.channels) >= stream.shape[1] or min(ascent.channels) < 0:
                raise ValueError(f"the block has channels 0 to {stream.shape[1] - 1}, got {ascent.channels}")
            means = stream[torch.arange(len(stream)), list(ascent.channels)].mean((1, 2))  # (N,)
            (gradient,) = torch.autograd.grad(means.sum(), unknown)
        excitation = means.detach().float()
        first.lerp_(gradient, 0.1)
        second.lerp_(gradient.square(), 0.001)
        ahead = first / (1 - 0.9 ** (step + 1))
        size = (second / (1 - 0.999 ** (step + 1))).sqrt()
        spectra += RATE * ahead / (size + 1e-8)
        progress((step + 1 - ascent.step) / steps)
    done = ascent.step + steps
    return Ascent(
        ascent.block, ascent.stream, ascent.channels, spectra, first, second, done, ascent.side, excitation
    )


def pictures_of(ascent: Ascent) -> Tensor:
    """(N, C, side, side) the pictures as they are now, in 0..1."""
    first = ascent.side // MARGIN
    return _canvases(ascent.spectra)[..., first : first + ascent.side, first : first + ascent.side]


def _canvases(spectra: Tensor) -> Tensor:
    """(N, C, h, h) pictures in 0..1, with their margins, of coefficients (N, C, h, h // 2 + 1, 2)."""
    side = spectra.shape[2]
    down = torch.fft.fftfreq(side)[:, None]
    across = torch.fft.rfftfreq(side)[None, :]
    # natural pictures have amplitudes of 1 / frequency
    scale = (side / (down.square() + across.square()).sqrt().clamp_min(1 / side)).to(spectra)
    waves = torch.fft.irfft2(torch.view_as_complex(spectra.contiguous()) * scale, s=(side, side)) / CONTRAST
    if waves.shape[1] == 3:
        waves = torch.einsum("rc,nchw->nrhw", waves.new_tensor(COLOURS), waves)
    return torch.sigmoid(waves)


def moved(canvases: Tensor, side: int, step: int) -> Tensor:
    """The middles (N, C, side, side) of ``canvases``, all scaled, turned and shifted alike: by up to a
    tenth, by up to 10 degrees, and by up to a sixteenth of the side."""
    scale, turn, down, across = (
        2 * torch.rand(4, generator=torch.Generator().manual_seed(step), dtype=torch.float64) - 1
    ).tolist()
    share = side / canvases.shape[3]  # of the canvas
    factor, angle = share * (1 + 0.1 * scale), math.radians(10 * turn)
    cosine, sine, most = math.cos(angle) * factor, math.sin(angle) * factor, share / 8
    matrix = canvases.new_tensor([[cosine, -sine, across * most], [sine, cosine, down * most]])
    size = [len(canvases), canvases.shape[1], side, side]
    grid = F.affine_grid(matrix.expand(len(canvases), 2, 3), size, align_corners=False)
    return F.grid_sample(canvases, grid, padding_mode="reflection", align_corners=False)


def _stream(model: nn.Module, ascent: Ascent, x: Tensor) -> Tensor:
    """(N, D, h, w) the stream for ``x``, in its graph; what comes after the block is not run."""
    found: list[Tensor] = []
    block = residual_blocks(model)[ascent.block]

    def putter(_name: str) -> Callable[[str, Tensor], None]:
        def put(stream: str, tensor: Tensor) -> None:
            if stream == ascent.stream:
                found.append(tensor.clone())  # safe from what some blocks do in place
            if stream == "output":
                raise _EnoughError

        return put

    with (
        hook_blocks(model, {ascent.block: block}, putter),
        torch.inference_mode(False),
        torch.enable_grad(),
        suppress(_EnoughError),
    ):
        model(x)
    return found[-1]
