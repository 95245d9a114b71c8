"""Run photos through networks: owns the models, their device and their locks.

A model is shared by every visitor, so hooks and forward pass happen under the model's
lock; what comes out, a ``Run``, belongs to one visitor alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from resnet_demo.capture import CapturedBlock, capture_blocks, residual_blocks
from resnet_demo.download import DownloadError, Progress, nothing
from resnet_demo.experiments import class_activation, lesions
from resnet_demo.field import FieldNetwork, OwnNetwork, load_field, load_own
from resnet_demo.gates import gated
from resnet_demo.gradients import gradient_flow
from resnet_demo.layers import stages, time_layers, trace_layers, with_times
from resnet_demo.probes import Probe, load_probes, read_outs
from resnet_demo.receptive import receptive_fields
from resnet_demo.records import (
    BlockStreams,
    ClassActivation,
    Confidence,
    Gate,
    GradientFlow,
    LayerTrace,
    Lesions,
    Prediction,
    ReceptiveField,
    Run,
    Timings,
)
from resnet_demo.together import StillBusyError, Together
from resnet_demo.transforms import fit_photo, to_tensor
from resnet_demo.weights import Card, available_networks, load_checkpoint
from resnet_demo.words import later

Source = Path | FieldNetwork | OwnNetwork

log = logging.getLogger(__name__)

DEVICES = ("auto", "cuda", "mps", "cpu")
PATIENCE_S = 60.0  # seconds to wait for one's turn
TOGETHER = 8  # photos that waited together and share one pass
BUSY = later("The network is busy with other people's photos; try again in a minute.")
FAILED = later("The network failed on this photo; try another one.")
FLOAT16_MAX = 6e4  # beyond this a stream is kept in float32


class EngineError(RuntimeError):
    """A run could not be done; the message is one sentence fit for the page."""


@dataclass(frozen=True)
class Passed:
    """What one photo's share of a forward pass was."""

    logits: NDArray[np.float32]
    blocks: tuple[BlockStreams, ...]
    trace: tuple[LayerTrace, ...]
    milliseconds: float


@dataclass
class LoadedNetwork:
    """One network in memory: the model in eval mode, its card, and what guards it."""

    name: str
    model: nn.Module
    card: Card
    device: torch.device
    lock: threading.Lock = field(default_factory=threading.Lock)
    trace: tuple[LayerTrace, ...] = ()
    notice: str = ""
    probes: Mapping[str, Probe] = field(default_factory=dict)
    fields: Mapping[tuple[str, str], ReceptiveField] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.together: Together[Tensor, Passed] = Together(
            lambda photos: passed(self, torch.cat(list(photos)), ()), TOGETHER, lambda: turn(self)
        )


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


def best_device(wanted: str = "auto") -> torch.device:
    """The device to run on: what ``wanted`` names, or for "auto" the best one that works.

    A device counts as working when a small convolution on it gives an answer.

    Raises:
        EngineError: the device asked for is unknown or does not work.
    """
    if wanted not in DEVICES:
        raise EngineError(f"Device {wanted!r} is unknown; choose one of {', '.join(DEVICES)}.")
    for name in ("cuda", "mps", "cpu") if wanted == "auto" else (wanted,):
        if _works(name):
            return torch.device(name)
    raise EngineError(f"Device {wanted!r} does not work here; choose --device auto or --device cpu.")


def _works(name: str) -> bool:
    if name == "cuda" and not torch.cuda.is_available():
        return False
    if name == "mps" and not torch.backends.mps.is_available():
        return False
    try:
        with torch.inference_mode():
            nn.functional.conv2d(
                torch.ones(1, 1, 3, 3, device=name), torch.ones(1, 1, 3, 3, device=name)
            ).cpu()
    except (RuntimeError, AssertionError, NotImplementedError):
        return False
    return True


def device_name(device: torch.device) -> str:
    """The device as shown to people."""
    if device.type == "cuda":
        return f"CUDA ({torch.cuda.get_device_name(device)})"
    return device.type.upper()


class Engine:
    """Runs photos. Safe to call from many threads; each network runs one photo at a time.

    Args:
        networks: name on the menu -> checkpoint of ours, network of the field, or a state dict of
            one's own; those in ``weights/`` when None.
        device: "auto", "cuda", "mps" or "cpu".
    """

    def __init__(self, networks: Mapping[str, Source] | None = None, device: str = "auto") -> None:
        self.device = best_device(device)
        self.networks: dict[str, Source] = dict(available_networks() if networks is None else networks)
        if not self.networks:
            raise EngineError(later("No network found: put a checkpoint and its card into weights/."))
        self._loaded: dict[str, LoadedNetwork] = {}
        self._loading = {name: threading.Lock() for name in self.networks}

    @property
    def default(self) -> str:
        """The network taken when none is named."""
        return next(iter(self.networks))

    def device_name(self) -> str:
        """The engine's device as shown to people."""
        return device_name(self.device)

    def network(self, name: str | None = None, progress: Progress = nothing) -> LoadedNetwork:
        """The network called ``name`` (the default one for None), loaded, or fetched, on first use.

        Args:
            progress: told the share of a download that has arrived, 0..1.

        Raises:
            EngineError: there is no network of that name, or its weights cannot be fetched.
            CheckpointError: its file is missing or unfit; the message names the reason.
        """
        name = name or self.default
        if name not in self.networks:
            raise EngineError(
                later(
                    "There is no network called {name}; choose one of {names}.",
                    name=f"{name!r:.60}",
                    names=", ".join(self.networks),
                )
            )
        with self._loading[name]:  # one at a time, but a download of one holds up no other
            if name not in self._loaded:
                try:
                    self._loaded[name] = self._load(name, progress)
                except DownloadError as error:
                    raise EngineError(*error.args) from error
            return self._loaded[name]

    def _load(self, name: str, progress: Progress) -> LoadedNetwork:
        source = self.networks[name]
        probes: Mapping[str, Probe] = {}
        model: nn.Module
        if isinstance(source, FieldNetwork):
            model, card = load_field(source, progress)
        elif isinstance(source, OwnNetwork):
            model, card = load_own(source)
        else:
            model, card = load_checkpoint(source)
            probes = load_probes(source)
        model.eval().requires_grad_(False)
        channels = next(model.parameters()).shape[1]
        # channels_last lets the CPU's and the GPU's faster convolutions be chosen
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = LoadedNetwork(name, model.to(self.device), card, self.device, probes=probes)
        side = card.preprocessing.size
        example = torch.zeros(1, channels, side, side, device=self.device)
        network.trace = trace_layers(model, example)  # also warms the device up
        network.fields = receptive_fields(model, example)
        return network

    def run(
        self, photo: Image.Image | NDArray[np.uint8], network: str | None = None, gates: Sequence[Gate] = ()
    ) -> Run:
        """One photo through one network, with everything its residual blocks did.

        Args:
            photo: RGB, upright, any size (see ``transforms.open_photo``), or the ``photo`` of
                an earlier run of this network, which is taken as it is.
            network: a name on the menu, or None for the default.
            gates: one a block, or empty for all open. They hold for this run alone.

        Raises:
            EngineError, CheckpointError: one sentence fit for the page.
        """
        if gates and not all(gate.open for gate in gates):
            return self.run_batch([photo], network, gates)[0]
        started = time.perf_counter()
        net = self.network(network)
        pixels = photo if isinstance(photo, np.ndarray) else fit_photo(photo, net.card.preprocessing)
        x = to_tensor(pixels, net.card.preprocessing)
        prepare = (time.perf_counter() - started) * 1e3
        try:
            share = net.together(x, PATIENCE_S)
        except StillBusyError:
            raise EngineError(BUSY) from None
        except EngineError:
            raise
        except RuntimeError as error:
            raise EngineError(FAILED) from error
        return finish(net, pixels, share, prepare, (), started)

    def run_batch(
        self,
        photos: Sequence[Image.Image | NDArray[np.uint8]],
        network: str | None = None,
        gates: Sequence[Gate] = (),
    ) -> list[Run]:
        """Several photos in one forward pass; a run's milliseconds are its share of the batch.

        Args and errors as ``run``.
        """
        if not photos:
            return []
        started = time.perf_counter()
        net = self.network(network)
        pixels = [p if isinstance(p, np.ndarray) else fit_photo(p, net.card.preprocessing) for p in photos]
        x = to_tensor(np.stack(pixels) if len(pixels) > 1 else pixels[0], net.card.preprocessing)
        prepare = (time.perf_counter() - started) * 1e3 / len(pixels)
        with turn(net):
            try:
                shares = passed(net, x, gates)
            except RuntimeError as error:
                raise EngineError(FAILED) from error
        each = (time.perf_counter() - started) / len(pixels)
        return [
            finish(net, photo, share, prepare, gates, time.perf_counter() - each)
            for photo, share in zip(pixels, shares, strict=True)
        ]

    def lesions(self, run: Run) -> Lesions:
        """The photo of ``run`` through its network with each branch removed, each shortcut, and, with
        few enough blocks, every set of branches.

        Raises:
            EngineError: it failed.
        """
        net = self.network(run.network)
        x = to_tensor(run.photo, net.card.preprocessing)
        with turn(net):
            x = x.to(net.device, memory_format=torch.channels_last)
            try:
                with torch.inference_mode():
                    whole = net.model(x).float().cpu().numpy()
                branches, shortcuts, paths = lesions(net.model, x)
            except RuntimeError as error:
                raise EngineError(FAILED) from error
        answer = int(chances(whole, net.card)[0].argmax())

        def of_answer(logits: NDArray[np.float32]) -> NDArray[np.float64]:
            return chances(logits, net.card)[:, answer]

        return Lesions(
            net.card.classes[answer],
            float(of_answer(whole)[0]),
            of_answer(branches),
            of_answer(shortcuts),
            of_answer(paths),
        )

    def gradient_flow(
        self, run: Run, depth: int, norms: bool = True, progress: Progress = nothing
    ) -> GradientFlow:
        """How the gradient fares on the photo of ``run`` in fresh networks of ``depth`` blocks.

        Raises:
            EngineError: the depth is out of range.
        """
        x = to_tensor(run.photo, self.network(run.network).card.preprocessing)
        try:
            return gradient_flow(x, depth, norms, progress=progress)
        except ValueError as error:
            raise EngineError(later("That depth cannot be shown: {error}.", error=error)) from error


def explain(net: LoadedNetwork, last: BlockStreams, logit: int) -> ClassActivation | None:
    """Where the logit of that index comes from; None unless the network ends in pool and linear layer."""
    linear = getattr(net.model, "linear", getattr(net.model, "fc", None))
    if not isinstance(linear, nn.Linear):
        return None
    weight = linear.weight[logit].float().cpu().numpy()
    return class_activation(last.output, weight, float(linear.bias[logit]))


def passed(net: LoadedNetwork, x: Tensor, gates: Sequence[Gate]) -> list[Passed]:
    """One forward pass of a batch (B, C, H, W), a share for each photo. Hold the network's lock.

    A network whose device fails goes on on the CPU, and its runs say so.

    Raises:
        RuntimeError: it failed on the CPU.
    """
    started = time.perf_counter()
    try:
        logits, blocks, spent = _forward(net, x, gates)
    except RuntimeError:
        if net.device.type == "cpu":
            raise
        log.warning("%s failed on %s, falling back to the CPU", net.name, net.device, exc_info=True)
        net.notice = later(
            "{device} failed, so this network now runs on the CPU.", device=device_name(net.device)
        )
        net.device = torch.device("cpu")
        net.model.to(net.device)
        logits, blocks, spent = _forward(net, x, gates)
    milliseconds = (time.perf_counter() - started) * 1e3 / len(x)
    trace = with_times(net.trace, {name: t / len(x) for name, t in spent.items()})
    return [Passed(logits[i], blocks[i], trace, milliseconds) for i in range(len(x))]


def finish(
    net: LoadedNetwork,
    photo: NDArray[np.uint8],
    share: Passed,
    prepare: float,
    gates: Sequence[Gate],
    began: float,
) -> Run:
    """The record of one photo, from its share of a pass.

    Args:
        prepare: milliseconds from photo to tensor.
        began: ``time.perf_counter()`` when its time began to count.
    """
    activation = explain(net, share.blocks[-1], int(share.logits.argmax()))
    read, shares = read_outs(share.blocks, net.probes)
    if activation is not None:
        shares[share.blocks[-1].name] = activation.channels
    answer = predict(share.logits, net.card)
    spent = Timings(prepare, share.milliseconds, total=(time.perf_counter() - began) * 1e3)
    return Run(
        network=net.name,
        device=device_name(net.device),
        photo=photo,
        prediction=answer,
        blocks=share.blocks,
        trace=share.trace,
        timings=spent,
        notice=net.notice,
        classes=net.card.classes,
        gates=() if all(gate.open for gate in gates) else tuple(gates),
        activation=activation,
        read_outs=read,
        contributions=shares,
        fields=net.fields,
    )


def _forward(
    net: LoadedNetwork, x: Tensor, gates: Sequence[Gate]
) -> tuple[NDArray[np.float32], list[tuple[BlockStreams, ...]], dict[str, float]]:
    """Logits (B, K), the blocks of each photo, and milliseconds a layer, of a batch (B, C, H, W)."""
    x = x.to(net.device, memory_format=torch.channels_last)
    with (
        gated(net.model, dict(zip(residual_blocks(net.model), gates, strict=False))),
        capture_blocks(net.model) as streams,
        time_layers(stages(net.model), net.device) as spent,
    ):
        logits = net.model(x)
    records = [tuple(to_record(block, i) for block in streams.values()) for i in range(len(x))]
    return logits.float().cpu().numpy(), records, dict(spent)


def to_record(block: CapturedBlock, index: int = 0) -> BlockStreams:
    """The streams of one photo of the batch, on the host in float16, with their norms in float32."""
    with torch.inference_mode():
        residual, shortcut = block.residual[index].float(), block.shortcut[index].float()
        output = block.output[index].float()
        f_norm, s_norm = float(residual.norm()), float(shortcut.norm())
        product = float((residual * shortcut).sum())
        return BlockStreams(
            name=block.name,
            residual=_to_host(residual),
            shortcut=_to_host(shortcut),
            pre_activation=_to_host(block.pre_activation[index]),
            output=_to_host(output),
            residual_norm=f_norm,
            shortcut_norm=s_norm,
            output_norm=float(output.norm()),
            cosine=max(-1.0, min(1.0, product / (f_norm * s_norm))) if f_norm and s_norm else 0.0,
        )


def _to_host(stream: Tensor) -> NDArray[np.floating]:
    """(C, H, W) tensor to a contiguous array; float16, unless a value would overflow it."""
    stream = stream.half() if stream.numel() and float(stream.abs().amax()) < FLOAT16_MAX else stream.float()
    array: NDArray[np.floating] = stream.contiguous().cpu().numpy()
    return array


def predict(logits: NDArray[np.float32], card: Card) -> Prediction:
    """Calibrated confidences from the logits (classes,), or (1,) for a binary network.

    The logits are divided by the card's temperature before the sigmoid or softmax
    (Guo et al. 2017, https://arxiv.org/abs/1706.04599); the logit reported is the raw one.
    """
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
