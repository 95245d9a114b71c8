"""One forward pass: from pixels to the network's input, through the network, and to the record of a run."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.analysis.ablation import ablate
from resnet_demo.analysis.block_stats import record_blocks, to_records
from resnet_demo.analysis.capture import residual_blocks
from resnet_demo.analysis.class_activation import class_activation
from resnet_demo.analysis.familiarity import Familiarity
from resnet_demo.analysis.gating import gated
from resnet_demo.analysis.layer_summary import stages, time_layers, trace_layers, with_times
from resnet_demo.analysis.linear_probes import Probe, read_outs
from resnet_demo.i18n import joined, later
from resnet_demo.inference.batching import Batcher, StillBusyError
from resnet_demo.inference.devices import device_name
from resnet_demo.inference.interface import BUSY, FAILED, MAX_BATCH, PATIENCE_S, EngineError, NetworkInfo
from resnet_demo.inference.letters import letters_to_tensor
from resnet_demo.inference.precision import FLOAT32, Arithmetic
from resnet_demo.inference.prediction import NO_ANSWER, predict
from resnet_demo.modalities import modality_named
from resnet_demo.networks.checkpoints import Card
from resnet_demo.networks.families import split_network
from resnet_demo.records import (
    Block,
    ClassActivation,
    Gate,
    LayerTrace,
    NetworkInput,
    Preprocessing,
    ReceptiveField,
    Run,
    Timings,
)

T = TypeVar("T")
Task = Literal["pass", "ablation"]

log = logging.getLogger(__name__)

MOST_TRACES = 600  # shapes of inputs remembered; texts have 510 lengths


@dataclass(frozen=True)
class Passed:
    """What one photo's share of a forward pass was."""

    logits: NDArray[np.float32]
    blocks: tuple[Block, ...]
    spent: Mapping[str, float]  # milliseconds a layer
    milliseconds: float
    device: str
    notice: str = ""
    precision: str = FLOAT32


@dataclass
class LoadedNetwork:
    """One network in memory: the model in eval mode, its card, and what guards it."""

    name: str
    model: nn.Module
    card: Card
    device: torch.device
    lock: threading.Lock = field(default_factory=threading.Lock)
    trace: tuple[LayerTrace, ...] = ()
    layers: Mapping[str, nn.Module] = field(default_factory=dict)  # those of the trace, by name
    notice: str = ""
    probes: Mapping[str, Probe] = field(default_factory=dict)
    familiarity: Familiarity | None = None
    fields: Mapping[tuple[str, str], ReceptiveField] = field(default_factory=dict)
    outline: nn.Module | None = None  # the network without its numbers, from which other shapes are traced
    reduced: Arithmetic | None = None  # in fewer bits, where that is faster; ``model`` is in float32

    def __post_init__(self) -> None:
        self.layers = stages(self.model)
        self._batchers: dict[tuple[str, ...], Batcher[Tensor, Passed]] = {}
        self._traces: dict[tuple[int, ...], tuple[LayerTrace, ...]] = {}
        self._tracing = threading.Lock()

    def arithmetic(self, exact: bool = False) -> Arithmetic:
        """How it is computed: in float32 if ``exact``, else in whatever is fastest."""
        return (not exact and self.reduced) or Arithmetic(self.model, self.layers)

    @cached_property
    def info(self) -> NetworkInfo:
        """What a caller needs to know of it."""
        return NetworkInfo(self.name, len(residual_blocks(self.model)), self.card.preprocessing)

    @cached_property
    def linear(self) -> nn.Linear | None:
        """The last layer, if all that comes after the residual blocks is a global average pool and it."""
        try:
            *before, last = split_network(self.model)[2].modules()
        except ValueError:  # of no known family
            return None
        known = (nn.Sequential, nn.AdaptiveAvgPool2d, nn.Flatten)
        return last if isinstance(last, nn.Linear) and all(isinstance(m, known) for m in before) else None

    def copy_on(self, device: str) -> LoadedNetwork:
        """The same network once more, its weights on ``device``."""
        model = copy.deepcopy(self.model).to(device)
        return LoadedNetwork(self.name, model, self.card, torch.device(device))

    def batcher(self, keep: tuple[str, ...]) -> Batcher[Tensor, Passed]:
        """Where photos wait for a pass that they share: those of which the same streams are kept."""
        made: Batcher[Tensor, Passed] = Batcher(
            lambda photos: run_passes(self, photos, keep), MAX_BATCH, lambda: turn(self)
        )
        return self._batchers.setdefault(keep, made)

    def trace_of(self, height: int, width: int) -> tuple[LayerTrace, ...]:
        """The trace of an input of that size: texts differ in length."""
        if self.outline is None or self.trace[0].shape[1:] == (height, width):
            return self.trace
        shape = (self.trace[0].shape[0], height, width)
        with self._tracing:
            if shape not in self._traces:
                if len(self._traces) >= MOST_TRACES:
                    self._traces.clear()
                self._traces[shape] = trace_layers(self.outline, torch.zeros(1, *shape, device="meta"))
            return self._traces[shape]


@contextmanager
def turn(network: LoadedNetwork) -> Iterator[None]:
    """Hold the network's lock; whoever waits longer than PATIENCE_S is told to come back.

    Raises:
        EngineError: the network stayed busy.
    """
    if not network.lock.acquire(timeout=PATIENCE_S):
        raise EngineError(BUSY)
    try:
        yield
    finally:
        network.lock.release()


@contextmanager
def one_sentence() -> Iterator[None]:
    """Whatever goes wrong with the network inside becomes one sentence.

    Raises:
        EngineError: the network stayed busy, or failed.
    """
    try:
        yield
    except StillBusyError:
        raise EngineError(BUSY) from None
    except EngineError:
        raise
    except RuntimeError as error:
        raise EngineError(FAILED) from error


def wait_for_pass(
    net: LoadedNetwork, x: Tensor, gates: tuple[Gate, ...], keep: tuple[str, ...], exact: bool = False
) -> list[Passed]:
    """As ``run_pass``, when its turn has come; a photo alone shares a pass with others, unless it has gates.

    Raises:
        EngineError: the network stayed busy, or failed.
    """
    with one_sentence():
        if len(x) == 1 and not gates and not exact:
            return [net.batcher(keep)(x, PATIENCE_S)]
        with turn(net):
            return run_pass(net, x, gates, keep, exact)


def to_tensor(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    """Normalise pixels for the network: ``(pixels / 255 - mean) / std`` per channel.

    Args:
        pixels: (H, W, 3) or (B, H, W, 3) uint8 RGB.
        preprocessing: the network's card; with one mean, the first channel alone is taken.

    Returns:
        (B, 3 or 1, H, W) float32 on the CPU, in channels_last memory order (that of the pixels).

    Raises:
        ValueError: for another shape or dtype.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] != 3:
        raise ValueError(
            f"pixels are {pixels.dtype} {pixels.shape}; (H, W, 3) or (B, H, W, 3) uint8 is needed"
        )
    if preprocessing.characters:
        return letters_to_tensor(pixels, preprocessing)
    channels = len(preprocessing.mean)
    batch = pixels.reshape(-1, *pixels.shape[-3:])[..., :channels]  # (B, H, W, channels)
    batch = np.require(batch, requirements=["C", "W"])  # torch refuses negative strides and read-only arrays
    count, height, width, _ = batch.shape
    mean = (255 * torch.tensor(preprocessing.mean)).repeat(width)  # as long as a row of pixels, so that
    std = (255 * torch.tensor(preprocessing.std)).repeat(width)  # the subtraction runs along memory
    rows = (
        torch.from_numpy(batch).view(count * height, width * channels).to(torch.float32).sub_(mean).div_(std)
    )
    return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


def compute(
    net: LoadedNetwork, task: Task, x: NDArray[np.float32], gates: Sequence[Gate], keep: tuple[str, ...]
) -> Any:
    """The innermost work on a batch (B, C, H, W), which may be done in another process: whatever goes in and
    comes out can be pickled, and no stream stays on a device. Hold the network's lock.

    Returns:
        For "pass" a share for each photo, see ``run_pass``; for "ablation" the logits of the whole network
        and those that ``ablate`` gives.

    Raises:
        RuntimeError: the network failed.
    """
    photos = torch.from_numpy(x)
    if task == "pass":
        return run_pass(net, photos, gates, keep)
    arithmetic = net.arithmetic()
    photos = arithmetic.prepared(photos.to(net.device, memory_format=torch.channels_last))
    with torch.inference_mode():
        whole: NDArray[np.float32] = arithmetic.model(photos).float().cpu().numpy()
    return whole, *ablate(arithmetic.model, photos)


def run_passes(net: LoadedNetwork, photos: Sequence[Tensor], keep: tuple[str, ...]) -> list[Passed]:
    """As ``run_pass``, for inputs (1, C, H, W) of any shapes: those of one shape share a pass."""
    found: dict[int, Passed] = {}
    for shape in {photo.shape for photo in photos}:
        places = [i for i, photo in enumerate(photos) if photo.shape == shape]
        shares = run_pass(net, torch.cat([photos[i] for i in places]), (), keep)
        found.update(zip(places, shares, strict=True))
    return [found[i] for i in range(len(photos))]


def run_pass(
    net: LoadedNetwork, x: Tensor, gates: Sequence[Gate], keep: tuple[str, ...], exact: bool = False
) -> list[Passed]:
    """One forward pass of a batch (B, C, H, W), a share for each photo. Hold the network's lock.

    A network whose device fails goes on on the CPU, and its runs say so.

    Args:
        gates: one a block, or empty for all open.
        keep: names of the streams to keep. Without any, four numbers a block and its channels' means are
            all that reaches the host, and no layer is timed.
        exact: in float32, whatever is faster.

    Raises:
        RuntimeError: it failed on the CPU.
    """
    started = time.perf_counter()
    arithmetic = net.arithmetic(exact)
    if arithmetic is net.reduced:
        try:
            found = _forward(net, arithmetic, x, gates, keep)
        except RuntimeError as error:
            log.warning("%s is computed in float32 instead of %s: %s", net.name, arithmetic.precision, error)
            found = None
        if found is None or not np.isfinite(found[0]).all():  # too large for so few bits
            return run_pass(net, x, gates, keep, exact=True)
        logits, blocks, spent = found
    else:
        logits, blocks, spent = _or_on_cpu(net, lambda: _forward(net, arithmetic, x, gates, keep))
    milliseconds = (time.perf_counter() - started) * 1e3 / len(x)
    each = {name: t / len(x) for name, t in spent.items()}
    device = device_name(net.device)
    told = (milliseconds, device, net.notice, arithmetic.precision)
    return [Passed(logits[i], blocks[i], each, *told) for i in range(len(x))]


def _or_on_cpu(net: LoadedNetwork, work: Callable[[], T]) -> T:
    """What ``work`` gives; if the network's device fails, the network moves to the CPU and ``work`` is done
    again."""
    try:
        return work()
    except RuntimeError:
        if net.device.type == "cpu":
            raise
        log.warning("%s failed on %s, falling back to the CPU", net.name, net.device, exc_info=True)
        net.notice = later(
            "{device} failed, so this network now runs on the CPU.", device=device_name(net.device)
        )
        net.device = torch.device("cpu")
        net.model.to(net.device)
        return work()


def _forward(
    net: LoadedNetwork, arithmetic: Arithmetic, x: Tensor, gates: Sequence[Gate], keep: tuple[str, ...]
) -> tuple[NDArray[np.float32], list[tuple[Block, ...]], dict[str, float]]:
    """Logits (B, K), the blocks of each photo, and milliseconds a layer, of a batch (B, C, H, W)."""
    model = arithmetic.model
    x = arithmetic.prepared(x.to(net.device, memory_format=torch.channels_last))
    shut = dict(zip(residual_blocks(model), gates, strict=False)) if gates else {}
    for dtype in (torch.float16, torch.float32):
        with (
            gated(model, shut) if shut else nullcontext(),
            record_blocks(model, keep, dtype) as blocks,
            time_layers(arithmetic.layers if keep else {}, net.device) as spent,
        ):
            logits = model(x)
        records = to_records(blocks)
        if records is not None:
            break  # else a value of this photo is too large for float16
    assert records is not None
    return logits.float().cpu().numpy(), records, spent


def finish(
    net: LoadedNetwork,
    photo: NetworkInput,
    share: Passed,
    prepare: float,
    gates: tuple[Gate, ...],
    began: float,
) -> Run:
    """The record of one photo, from its share of a pass.

    Args:
        prepare: milliseconds from photo to tensor.
        gates: empty if all are open.
        began: ``time.perf_counter()`` when its time began to count.
    """
    last = share.blocks[-1]
    highest = int(share.logits.argmax())
    activation = _activation(net, last, highest)
    read, shares = read_outs(share.blocks, net.probes, highest) if last.streams else ((), {})
    if activation is not None:
        shares[last.name] = activation.channels
    answer = predict(share.logits, net.card)
    score = net.familiarity.score(share.blocks) if net.familiarity and not gates else None
    spent = Timings(prepare, share.milliseconds, total=(time.perf_counter() - began) * 1e3)
    return Run(
        network=net.name,
        device=share.device,
        photo=photo,
        prediction=answer,
        blocks=share.blocks,
        trace=with_times(net.trace_of(*photo.shape[:2]), share.spent),
        timings=spent,
        notice=joined((share.notice, photo.notice)),
        classes=net.card.classes or (NO_ANSWER,),
        gates=gates,
        activation=activation,
        read_outs=read,
        contributions=shares,
        fields=net.fields,
        modality=net.card.preprocessing.modality,
        familiarity=score,
        familiar=None if net.familiarity is None or score is None else score >= net.familiarity.threshold,
        axes=axes_of(net.card.preprocessing),
        precision=share.precision,
    )


def axes_of(preprocessing: Preprocessing) -> str:
    """The units of the columns and rows of a picture, as the page's script reads them."""
    axes = modality_named(preprocessing.modality).axes
    return "" if axes is None else axes(preprocessing)


def _activation(net: LoadedNetwork, last: Block, logit: int) -> ClassActivation | None:
    """Where the logit of that index comes from; None if it cannot be told, or the last block's output was not
    kept."""
    if net.linear is None or "output" not in last.streams:
        return None
    weight = net.linear.weight[logit].float().cpu().numpy()
    bias = net.linear.bias  # a layer may have none, whatever its type says
    return class_activation(last.output, weight, 0.0 if bias is None else float(bias[logit]))
