"""Run photos through networks: owns the models, their device and their locks.

A model is shared by every visitor, so hooks and forward pass happen under the model's
lock; what comes out, a ``Run``, belongs to one visitor alone.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.analysis.ablation import class_activation, lesions
from resnet_demo.analysis.block_stats import (
    RecordedBlock,
    cosine,
    measure_blocks,
    record_blocks,
    sums_of,
    to_records,
)
from resnet_demo.analysis.capture import residual_blocks
from resnet_demo.analysis.gating import gated
from resnet_demo.analysis.gradient_flow import gradient_flow
from resnet_demo.analysis.layer_summary import stages, time_layers, trace_layers, with_times
from resnet_demo.analysis.linear_probes import Probe, load_probes, read_outs
from resnet_demo.analysis.receptive_field import receptive_fields
from resnet_demo.i18n import later
from resnet_demo.inference.batching import Batcher, StillBusyError
from resnet_demo.inference.interface import (
    BUSY,
    FAILED,
    MAX_BATCH,
    PATIENCE_S,
    EngineConfig,
    EngineError,
    NetworkInfo,
    Photo,
    as_pixels,
    hear,
    no_network,
)
from resnet_demo.inference.optimize import fold_norms
from resnet_demo.inference.packed import pack_weights
from resnet_demo.inference.tensors import to_tensor
from resnet_demo.networks.cards import WEIGHTS, read_checkpoint
from resnet_demo.networks.checkpoints import Card, available_networks, load_checkpoint, read_card
from resnet_demo.networks.download import DownloadError, Progress, nothing
from resnet_demo.networks.torchvision_resnets import (
    FieldNetwork,
    OwnNetwork,
    field_networks,
    load_field,
    load_own,
    own_network,
)
from resnet_demo.records import (
    Ablation,
    Block,
    BlockNumbers,
    ClassActivation,
    Confidence,
    Gate,
    GradientFlow,
    LayerTrace,
    Numbers,
    Prediction,
    ReceptiveField,
    Run,
    Timings,
)

Source = Path | FieldNetwork | OwnNetwork
T = TypeVar("T")

log = logging.getLogger(__name__)

DEVICES = ("auto", "cuda", "mps", "cpu")
NO_GPU = later("No GPU was free for this photo, so it ran on the CPU.")


@dataclass(frozen=True)
class Passed:
    """What one photo's share of a forward pass was."""

    logits: NDArray[np.float32]
    blocks: tuple[Block, ...]
    spent: Mapping[str, float]  # milliseconds a layer
    milliseconds: float
    device: str
    notice: str = ""


Counted = tuple[NDArray[np.float32], tuple[BlockNumbers, ...]]  # one photo's logits and what its blocks say
Task = Literal["pass", "ablation"]


class Elsewhere(Protocol):
    """Does the innermost work in another process, which has the networks too: see ``compute``."""

    def __call__(self, task: Task, network: str, x: NDArray[np.float32], gates: tuple[Gate, ...]) -> Any:
        """What ``compute`` gives there; any exception means that it is to be done here."""


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
    fields: Mapping[tuple[str, str], ReceptiveField] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layers = stages(self.model)
        self.together: Batcher[Tensor, Passed] = Batcher(
            lambda photos: passed(self, torch.cat(list(photos)), ()), MAX_BATCH, lambda: turn(self)
        )
        self.counting: Batcher[Tensor, Counted] = Batcher(
            lambda photos: counted(self, torch.cat(list(photos))), MAX_BATCH, lambda: turn(self)
        )

    @property
    def info(self) -> NetworkInfo:
        """What a caller needs to know of it."""
        return NetworkInfo(self.name, len(residual_blocks(self.model)), self.card.preprocessing)

    def copy_on(self, device: str) -> LoadedNetwork:
        """The same network once more, its weights on ``device``."""
        model = copy.deepcopy(self.model).to(device)
        return LoadedNetwork(self.name, model, self.card, torch.device(device))


def together(share: Batcher[Tensor, T], x: Tensor) -> T:
    """What ``share`` gives for ``x``; whatever goes wrong becomes one sentence.

    Raises:
        EngineError: the network stayed busy, or failed.
    """
    try:
        return share(x, PATIENCE_S)
    except StillBusyError:
        raise EngineError(BUSY) from None
    except EngineError:
        raise
    except RuntimeError as error:
        raise EngineError(FAILED) from error


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

    Attributes:
        elsewhere: where photos are run instead of here, if anywhere; here when it fails.
    """

    elsewhere: Elsewhere | None = None

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
            raise no_network(name, self.networks)
        with self._loading[name]:  # one at a time, but a download of one holds up no other
            if name not in self._loaded:
                try:
                    self._loaded[name] = self._load(name, progress)
                except DownloadError as error:
                    raise EngineError(*error.args) from error
            return self._loaded[name]

    def info(self, network: str | None = None, progress: Progress = nothing) -> NetworkInfo:
        """What a caller needs to know of a network; args and errors as ``network``."""
        return self.network(network, progress).info

    def _load(self, name: str, progress: Progress) -> LoadedNetwork:
        network = self.read(name, progress)
        model, side = network.model, network.card.preprocessing.size
        model.to(self.device)
        network.device = self.device
        channels = next(model.parameters()).shape[1]
        example = torch.zeros(1, channels, side, side, device=self.device)
        network.trace = trace_layers(model, example)
        network.fields = receptive_fields(model, example)
        fold_norms(model)  # after the trace, which counts the norms' parameters
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.device.type == "cpu":
            pack_weights(model, (1, channels, side, side))
        network.layers = stages(model)
        with torch.inference_mode():
            model(example)  # warms the device up
        return network

    def read(self, name: str, progress: Progress = nothing) -> LoadedNetwork:
        """The network called ``name`` on the CPU as its file has it: not run yet, and nobody else's.

        Raises:
            DownloadError, CheckpointError: its weights cannot be fetched or read.
        """
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
        # channels_last lets the CPU's and the GPU's faster convolutions be chosen
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return LoadedNetwork(name, model, card, torch.device("cpu"), probes=probes)

    def _away(self, task: Task, net: LoadedNetwork, x: Tensor, gates: Sequence[Gate] = ()) -> Any:
        """What ``compute`` gives elsewhere; None where it has to be done here."""
        if self.elsewhere is None:
            return None
        try:
            return self.elsewhere(task, net.name, x.numpy(), tuple(gates))
        except Exception:
            log.warning("%s is run here, since elsewhere it failed", net.name, exc_info=True)
            return None

    def run(
        self,
        photo: Photo,
        network: str | None = None,
        gates: Sequence[Gate] = (),
        here: bool = False,
    ) -> Run:
        """One photo through one network, with everything its residual blocks did.

        Args:
            photo: a file, by its bytes or its path, as the page opens it; a picture, RGB,
                upright, any size; or the ``photo`` of an earlier run of this network, which is
                taken as it is. A network that listens takes the picture of a sound alone, as
                ``mel.mel_picture`` makes it.
            network: a name on the menu, or None for the default.
            gates: one a block, or empty for all open. They hold for this run alone.
            here: not ``elsewhere``, for photos in quick succession.

        Raises:
            EngineError, CheckpointError, PhotoError: one sentence fit for the page.
        """
        if gates and not all(gate.open for gate in gates):
            return self.run_batch([photo], network, gates)[0]
        started = time.perf_counter()
        net = self.network(network)
        pixels = as_pixels(photo, net.info)
        x = to_tensor(pixels, net.card.preprocessing)
        prepare = (time.perf_counter() - started) * 1e3
        shares = None if here else self._away("pass", net, x)
        share = shares[0] if shares else together(net.together, x)
        if self.elsewhere is not None and not shares and not here:
            share = replace(share, notice=NO_GPU)
        return finish(net, pixels, share, prepare, (), started)

    def run_batch(
        self,
        photos: Sequence[Photo],
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
        pixels = [as_pixels(photo, net.info) for photo in photos]
        x = to_tensor(np.stack(pixels) if len(pixels) > 1 else pixels[0], net.card.preprocessing)
        prepare = (time.perf_counter() - started) * 1e3 / len(pixels)
        shares = self._away("pass", net, x, gates)
        if shares is None:
            with turn(net):
                try:
                    shares = passed(net, x, gates)
                except RuntimeError as error:
                    raise EngineError(FAILED) from error
            if self.elsewhere is not None:
                shares = [replace(share, notice=NO_GPU) for share in shares]
        each = (time.perf_counter() - started) / len(pixels)
        return [
            finish(net, photo, share, prepare, gates, time.perf_counter() - each)
            for photo, share in zip(pixels, shares, strict=True)
        ]

    def hear(
        self, samples: NDArray[np.float32], network: str | None = None, gates: Sequence[Gate] = ()
    ) -> Run:
        """One sound through a network that listens.

        Args:
            samples: as ``hearing.open_sound`` gives them.
            network: a name on the menu, or None for the first that listens.
            gates: as for ``run``.

        Raises:
            EngineError, CheckpointError: one sentence fit for the page.
        """
        return hear(self, samples, network, gates)

    def listener(self) -> str | None:
        """The first network that listens, or None."""
        for name, source in self.networks.items():
            if isinstance(source, Path) and read_card(source).preprocessing.sense == "sound":
                return name
        return None

    def numbers(self, photos: Sequence[NDArray[np.uint8]], network: str | None = None) -> list[Numbers]:
        """Several photos in one forward pass, of which only numbers are kept: for whole folders.

        Args:
            photos: as ``fit_photo`` gives them for this network.

        Raises:
            EngineError, CheckpointError: as ``run``.
        """
        if not photos:
            return []
        started = time.perf_counter()
        net = self.network(network)
        x = to_tensor(np.stack(photos), net.card.preprocessing)
        prepare = (time.perf_counter() - started) * 1e3 / len(photos)
        with turn(net):
            try:
                rows = counted(net, x)
            except RuntimeError as error:
                raise EngineError(FAILED) from error
        total = (time.perf_counter() - started) * 1e3 / len(photos)
        return [numbers_of(net, row, Timings(prepare, total - prepare, total)) for row in rows]

    def answer(self, photo: Photo, network: str | None = None) -> Run | Numbers:
        """What ``run`` says in numbers, for those who do not look at the maps: no stream leaves the device.

        Args and errors as ``run``.
        """
        if self.elsewhere is not None:
            return self.run(photo, network)
        started = time.perf_counter()
        net = self.network(network)
        x = to_tensor(as_pixels(photo, net.info), net.card.preprocessing)
        prepare = (time.perf_counter() - started) * 1e3
        row = together(net.counting, x)
        total = (time.perf_counter() - started) * 1e3
        return numbers_of(net, row, Timings(prepare, total - prepare, total))

    def ablation(self, run: Run) -> Ablation:
        """The photo of ``run`` through its network with each branch removed, each shortcut, and, with
        few enough blocks, every set of branches.

        Raises:
            EngineError: it failed.
        """
        net = self.network(run.network)
        x = to_tensor(run.photo, net.card.preprocessing)
        found = self._away("ablation", net, x)
        if found is None:
            with turn(net):
                try:
                    found = compute(net, "ablation", x.numpy())
                except RuntimeError as error:
                    raise EngineError(FAILED) from error
        whole, branches, shortcuts, paths = found
        answer = int(chances(whole, net.card)[0].argmax())

        def of_answer(logits: NDArray[np.float32]) -> NDArray[np.float64]:
            return chances(logits, net.card)[:, answer]

        return Ablation(
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
            # the fresh networks take three channels; a grey picture is given to each
            return gradient_flow(x.expand(-1, 3, -1, -1), depth, norms, progress=progress)
        except ValueError as error:
            raise EngineError(later("That depth cannot be shown: {error}.", error=error)) from error


def build_engine(recipe: EngineConfig) -> Engine:
    """An engine with the networks on offer, its default one loaded and warm.

    Raises:
        EngineError, CheckpointError: one sentence fit for the page.
    """
    networks: dict[str, Source] = {}
    own = recipe.own
    if own is not None:
        is_ours = own.checkpoint.with_suffix(".json").is_file()
        networks[read_checkpoint(own.checkpoint).name] = (
            own.checkpoint if is_ours else own_network(own.checkpoint, own.classes, own.allow_pth)
        )
    networks |= {**available_networks(recipe.weights or WEIGHTS), **field_networks()}
    engine = Engine(networks, recipe.device)
    engine.network()
    return engine


def explain(net: LoadedNetwork, last: Block, logit: int) -> ClassActivation | None:
    """Where the logit of that index comes from; None unless the network ends in pool and linear layer."""
    linear = getattr(net.model, "linear", getattr(net.model, "fc", None))
    if not isinstance(linear, nn.Linear):
        return None
    weight = linear.weight[logit].float().cpu().numpy()
    return class_activation(last.output, weight, float(linear.bias[logit]))


def or_on_cpu(net: LoadedNetwork, work: Callable[[], T]) -> T:
    """What ``work`` gives; if the network's device fails, the network moves to the CPU and ``work`` is done again."""
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


def passed(net: LoadedNetwork, x: Tensor, gates: Sequence[Gate]) -> list[Passed]:
    """One forward pass of a batch (B, C, H, W), a share for each photo. Hold the network's lock.

    A network whose device fails goes on on the CPU, and its runs say so.

    Raises:
        RuntimeError: it failed on the CPU.
    """
    started = time.perf_counter()
    logits, blocks, spent = or_on_cpu(net, lambda: _forward(net, x, gates))
    milliseconds = (time.perf_counter() - started) * 1e3 / len(x)
    each = {name: t / len(x) for name, t in spent.items()}
    device = device_name(net.device)
    return [Passed(logits[i], blocks[i], each, milliseconds, device, net.notice) for i in range(len(x))]


def counted(net: LoadedNetwork, x: Tensor) -> list[Counted]:
    """One forward pass of a batch (B, C, H, W) of which numbers alone are kept. Hold the network's lock.

    Everything is reduced where it is, for the whole batch at once: four numbers a block and photo reach the host.
    A network whose device fails goes on on the CPU.

    Raises:
        RuntimeError: it failed on the CPU.
    """
    logits, blocks = or_on_cpu(net, lambda: _measured(net, x))
    return list(zip(logits, blocks, strict=True))


def _measured(net: LoadedNetwork, x: Tensor) -> tuple[NDArray[np.float32], list[tuple[BlockNumbers, ...]]]:
    """Logits (B, K) and the blocks' numbers for each photo of a batch (B, C, H, W)."""
    x = x.to(net.device, memory_format=torch.channels_last)
    with measure_blocks(net.model) as blocks:
        logits = net.model(x).float().cpu().numpy()
        sums = sums_of(blocks).tolist()
    return logits, [
        tuple(
            BlockNumbers(name, block.shape, f, s, out, cosine(f, s, product))
            for (name, block), (f, s, out, product) in zip(blocks.items(), photo, strict=True)
        )
        for photo in sums
    ]


def numbers_of(net: LoadedNetwork, row: Counted, timings: Timings) -> Numbers:
    """The record of one photo, from its share of a pass."""
    logits, blocks = row
    return Numbers(net.name, device_name(net.device), predict(logits, net.card), blocks, timings)


def compute(net: LoadedNetwork, task: Task, x: NDArray[np.float32], gates: Sequence[Gate] = ()) -> Any:
    """The innermost work on a batch (B, C, H, W), which may be done in another process: whatever goes in and
    comes out can be pickled, and no stream stays on a device. Hold the network's lock.

    Returns:
        For "pass" a share for each photo, see ``passed``; for "lesions" the logits of the whole network and
        those that ``experiments.ablation`` gives.

    Raises:
        RuntimeError: the network failed.
    """
    photos = torch.from_numpy(x)
    if task == "pass":
        return passed(net, photos, gates)
    photos = photos.to(net.device, memory_format=torch.channels_last)
    with torch.inference_mode():
        whole: NDArray[np.float32] = net.model(photos).float().cpu().numpy()
    return whole, *lesions(net.model, photos)


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
    highest = int(share.logits.argmax())
    activation = explain(net, share.blocks[-1], highest)
    read, shares = read_outs(share.blocks, net.probes, highest)
    if activation is not None:
        shares[share.blocks[-1].name] = activation.channels
    answer = predict(share.logits, net.card)
    spent = Timings(prepare, share.milliseconds, total=(time.perf_counter() - began) * 1e3)
    return Run(
        network=net.name,
        device=share.device,
        photo=photo,
        prediction=answer,
        blocks=share.blocks,
        trace=with_times(net.trace, dict(share.spent)),
        timings=spent,
        notice=share.notice,
        classes=net.card.classes,
        gates=() if all(gate.open for gate in gates) else tuple(gates),
        activation=activation,
        read_outs=read,
        contributions=shares,
        fields=net.fields,
        sense=net.card.preprocessing.sense,
    )


def _forward(
    net: LoadedNetwork, x: Tensor, gates: Sequence[Gate]
) -> tuple[NDArray[np.float32], list[tuple[Block, ...]], dict[str, float]]:
    """Logits (B, K), the blocks of each photo, and milliseconds a layer, of a batch (B, C, H, W)."""
    x = x.to(net.device, memory_format=torch.channels_last)
    shut = dict(zip(residual_blocks(net.model), gates, strict=False)) if gates else {}

    def once(dtype: torch.dtype) -> tuple[Tensor, dict[str, RecordedBlock], dict[str, float]]:
        with (
            gated(net.model, shut) if shut else nullcontext(),
            record_blocks(net.model, dtype) as blocks,
            time_layers(net.layers, net.device) as spent,
        ):
            return net.model(x), blocks, spent

    logits, blocks, spent = once(torch.float16)
    records = to_records(blocks)
    if records is None:  # a value of this photo is too large for it
        logits, blocks, spent = once(torch.float32)
        records = to_records(blocks)
    assert records is not None
    return logits.float().cpu().numpy(), records, spent


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
