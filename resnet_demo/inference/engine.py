"""Run photos through networks: owns the models, their device and their locks.

A model is shared by every visitor, so hooks and forward pass happen under the model's
lock; what comes out, a ``Run``, belongs to one visitor alone.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.analysis.familiarity import load_familiarity
from resnet_demo.analysis.gradient_flow import gradient_flow
from resnet_demo.analysis.layer_summary import stages, trace_layers
from resnet_demo.analysis.linear_probes import Probe, load_probes
from resnet_demo.analysis.receptive_field import receptive_fields
from resnet_demo.explanations import Ablation, GradientFlow
from resnet_demo.i18n import joined, later
from resnet_demo.inference.devices import best_device, device_name
from resnet_demo.inference.explain import ExactNetworks, explain
from resnet_demo.inference.forked import about_to_work
from resnet_demo.inference.forward import (
    LoadedNetwork,
    Task,
    compute,
    finish,
    one_sentence,
    to_tensor,
    turn,
    wait_for_pass,
)
from resnet_demo.inference.interface import (
    EngineConfig,
    EngineError,
    NetworkInfo,
    PhotoEngine,
    as_pixels,
    no_network,
)
from resnet_demo.inference.optimize import fold_norms, pack_weights
from resnet_demo.inference.precision import FLOAT32, choose
from resnet_demo.inference.prediction import chances
from resnet_demo.modalities import modality_named
from resnet_demo.networks.cards import WEIGHTS, Card, CheckpointError, available_networks, read_card
from resnet_demo.networks.download import DownloadError, Progress, nothing
from resnet_demo.networks.sources import Source, as_source, load_source, networks_on_offer
from resnet_demo.records import Gate, Run

log = logging.getLogger(__name__)

NO_GPU = later("No GPU was free for this photo, so it ran on the CPU.")


Lent = Callable[[], tuple[nn.Module, Card]]


class Elsewhere(Protocol):
    """Does the innermost work in another process, which has the networks too: see ``forward.compute``."""

    def __call__(
        self,
        task: Task,
        network: str,
        x: NDArray[np.float32],
        gates: tuple[Gate, ...],
        keep: tuple[str, ...],
    ) -> Any:
        """What ``compute`` gives there; any exception means that it is to be done here."""


class Engine(PhotoEngine):
    """Runs photos. Safe to call from many threads; each network runs one batch at a time.

    Args:
        networks: name on the menu -> path of a checkpoint, ours or anybody's state dict, or what
            ``networks.sources`` knows besides; those in ``weights/`` when None.
        device: "auto", "cuda", "mps" or "cpu".
        precision: "float32", "auto" or "bfloat16", see ``precision.py``.

    Attributes:
        elsewhere: where photos are run instead of here, if anywhere; here when it fails.
    """

    elsewhere: Elsewhere | None = None

    def __init__(
        self,
        networks: Mapping[str, Source] | None = None,
        device: str = "auto",
        precision: str = FLOAT32,
    ) -> None:
        about_to_work()
        self.precision = precision
        self.device = best_device(device)
        given = available_networks() if networks is None else networks
        self.networks = {name: as_source(name, source) for name, source in given.items()}
        if not self.networks:
            raise EngineError(later("No network found: put a checkpoint and its card into weights/."))
        self._loaded: dict[str, LoadedNetwork] = {}
        self._loading = {name: threading.Lock() for name in self.networks}
        self._lent: dict[str, tuple[Lent, Mapping[str, Probe]]] = {}
        self._exact = ExactNetworks(self._read_exact)

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
            EngineError: there is no network of that name, its weights cannot be fetched, or this process
                was forked, see ``forked``.
            CheckpointError: its file is missing or unfit; the message names the reason.
        """
        name = name or self.default
        if (loading := self._loading.get(name)) is None:
            raise no_network(name, self.networks)
        about_to_work()
        with loading:  # one at a time, but a download of one holds up no other
            if name not in self._loaded:
                try:
                    self._loaded[name] = self._load(name, progress)
                except DownloadError as error:
                    raise EngineError(*error.args) from error
            return self._loaded[name]

    def lend(self, name: str, load: Lent, probes: Mapping[str, Probe] = MappingProxyType({})) -> None:
        """Offer a network for a while under a name that nobody can guess, to whoever was told it.

        Args:
            load: the network in eval mode on the CPU, a new one at every call, and its card.
            probes: block name -> its early read-out, of those that have one.
        """
        self._lent[name] = load, probes
        self._loading[name] = threading.Lock()

    def take_back(self, name: str) -> None:
        """A lent network is gone; runs that are under way end well."""
        if self._lent.pop(name, None) is not None:
            self._loading.pop(name, None)
            self._loaded.pop(name, None)

    def info(self, network: str | None = None, progress: Progress = nothing) -> NetworkInfo:
        """What a caller needs to know of a network; args and errors as ``network``."""
        return self.network(network, progress).info

    def _load(self, name: str, progress: Progress) -> LoadedNetwork:
        network = self.read(name, progress)
        model, taken = network.model, network.card.preprocessing
        modality = modality_named(taken.modality)
        high, wide = modality.usual(taken)
        model.to(self.device)
        network.device = self.device
        channels = next(model.parameters()).shape[1]
        example = torch.zeros(1, channels, high, wide, device=self.device)
        network.trace = trace_layers(model, example)
        if modality.fits is not None:  # inputs differ in size
            network.outline = copy.deepcopy(model).to("meta")
        network.fields = receptive_fields(model, example)
        fold_norms(model)  # after the trace, which counts the norms' parameters
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.device.type == "cpu":
            pack_weights(model, (1, channels, high, wide))
        network.layers = stages(model)
        with torch.inference_mode():
            model(example)  # warms the device up
        network.reduced = choose(model, network.card, self.precision, example)
        return network

    def read(self, name: str, progress: Progress = nothing) -> LoadedNetwork:
        """The network called ``name`` on the CPU as its file has it: not run yet, and nobody else's.

        Raises:
            DownloadError, CheckpointError: its weights cannot be fetched or read.
        """
        lent = self._lent.get(name)
        source = None if lent else self.networks[name]
        probes: Mapping[str, Probe] = {}
        familiarity = None
        if lent is not None:
            (model, card), probes = lent[0](), lent[1]
        else:
            model, card = load_source(self.networks[name], progress)
        if isinstance(source, Path):
            probes, familiarity = load_probes(source), load_familiarity(source)
        model.eval().requires_grad_(False)
        # channels_last lets the CPU's and the GPU's faster convolutions be chosen
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        notice = joined(card.assumed)
        return LoadedNetwork(
            name, model, card, torch.device("cpu"), notice=notice, probes=probes, familiarity=familiarity
        )

    def _run_all(
        self,
        photos: list[Any],
        network: str | None,
        gates: tuple[Gate, ...],
        keep: tuple[str, ...],
        here: bool = False,
        exact: bool = False,
    ) -> list[Run]:
        started = time.perf_counter()
        closed = () if all(gate.open for gate in gates) else gates
        net = self.network(network)
        pixels = [as_pixels(photo, net.info) for photo in photos]
        if len({picture.shape for picture in pixels}) > 1:  # texts, of different lengths
            return [self._run_all([picture], network, gates, keep, here, exact)[0] for picture in pixels]
        x = to_tensor(np.stack(pixels) if len(pixels) > 1 else pixels[0], net.card.preprocessing)
        prepare = (time.perf_counter() - started) * 1e3 / len(pixels)
        shares = None if here or exact else self._away("pass", net, x, closed, keep)
        if shares is None:
            shares = wait_for_pass(net, x, closed, keep, exact)
            if self.elsewhere is not None and not here and not exact:
                shares = [replace(share, notice=NO_GPU) for share in shares]
        each = (time.perf_counter() - started) / len(pixels)
        return [
            finish(net, photo, share, prepare, closed, time.perf_counter() - each)
            for photo, share in zip(pixels, shares, strict=True)
        ]

    def _away(
        self,
        task: Task,
        net: LoadedNetwork,
        x: Tensor,
        gates: tuple[Gate, ...] = (),
        keep: tuple[str, ...] = (),
    ) -> Any:
        """What ``compute`` gives elsewhere; None where it has to be done here."""
        if self.elsewhere is None:
            return None
        try:
            return self.elsewhere(task, net.name, x.numpy(), gates, keep)
        except Exception:
            log.warning("%s is run here, since elsewhere it failed", net.name, exc_info=True)
            return None

    def first_taking(self, modality: str) -> str | None:
        """The first network that takes a modality, or None."""
        for name, source in self.networks.items():
            if isinstance(source, Path) and read_card(source).preprocessing.modality == modality:
                return name
        return None

    def ablation(self, run: Run) -> Ablation:
        """The photo of ``run`` through its network with each branch removed, each shortcut, and, with
        few enough blocks, every set of branches.

        Raises:
            EngineError: it failed.
        """
        net = self.network(run.network)
        if not net.card.classes:
            raise EngineError(later("This network has no last layer, so there is no answer to compare."))
        x = to_tensor(run.photo, net.card.preprocessing)
        found = self._away("ablation", net, x)
        if found is None:
            with one_sentence(), turn(net):
                found = compute(net, "ablation", x.numpy(), (), ())
        whole, branches, shortcuts, paths = (chances(logits, net.card) for logits in found)
        answer = int(whole[0].argmax())
        return Ablation(
            net.card.classes[answer],
            float(whole[0, answer]),
            branches[:, answer],
            shortcuts[:, answer],
            paths[:, answer],
        )

    def gradient_flow(
        self, run: Run, depth: int, norms: bool = True, progress: Progress = nothing
    ) -> GradientFlow:
        """How the gradient fares on the photo of ``run`` in fresh networks of ``depth`` blocks.

        Raises:
            EngineError: the depth is out of range.
        """
        x = to_tensor(run.photo, self.network(run.network).card.preprocessing)
        if x.shape[1] not in (1, 3):
            raise EngineError(
                later("Fresh networks take pictures of one or three channels, and a text has more.")
            )
        try:
            # the fresh networks take three channels; a grey picture is given to each
            return gradient_flow(x.expand(-1, 3, -1, -1), depth, norms, progress=progress)
        except ValueError as error:
            raise EngineError(later("That depth cannot be shown: {error}.", error=error)) from error

    def explain(
        self, question: str, run: Run, options: Mapping[str, Any] | None = None, progress: Progress = nothing
    ) -> Any:
        """The answer to one of ``explain.QUESTIONS`` about the photo of ``run``.

        Raises:
            EngineError: there is no such question, or it failed.
        """
        self.network(run.network)  # says what is wrong with a name
        return explain(self._exact, question, run, options or {}, progress)

    def _read_exact(self, name: str) -> tuple[nn.Module, Card]:
        network = self.read(name)
        return network.model, network.card


def build_engine(config: EngineConfig) -> Engine:
    """An engine with the networks on offer, its default one loaded and warm.

    Raises:
        EngineError, CheckpointError: one sentence fit for the page.
    """
    networks = networks_on_offer(config.weights or WEIGHTS, config.own.network() if config.own else None)
    engine = Engine(networks, config.device, config.precision)
    try:
        engine.network()
    except (EngineError, CheckpointError) as error:
        if config.own is not None:
            raise
        # whoever asks for it is told; the others run
        log.warning("%s cannot be used: %s", engine.default, error)
    return engine
