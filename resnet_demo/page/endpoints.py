"""The named endpoints of the API: a photo or a sound in, plain numbers out. Each is one experiment of the page."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from resnet_demo.inference.interface import PhotoEngine
from resnet_demo.inference.lazy import Deferred
from resnet_demo.page.events import run_photo, sentence_of
from resnet_demo.panels.ablation import read_gates
from resnet_demo.serialize import run_as_dict

if TYPE_CHECKING:
    from resnet_demo.page.layout import Page
    from resnet_demo.records import Run

NO_PHOTO = "No photo arrived; send one as the first argument."


def offer(page: Page, engine: Deferred[PhotoEngine]) -> None:
    """Make the endpoints, inside the ``demo`` context of ``page``."""

    def run(photo: str | None, network: str | None, gates: Any = None) -> Run:
        if photo is None:
            raise gr.Error(NO_PHOTO, print_exception=False)
        if gates is None:
            return run_photo(engine, photo, network)
        try:
            wanted = read_gates(gates, engine.get().info(network).blocks)
        except Exception as error:
            if isinstance(error, ValueError):
                raise gr.Error(f"These gates cannot be read: {error}.", print_exception=False) from error
            raise gr.Error(sentence_of(error), print_exception=False) from error
        return run_photo(engine, photo, network, wanted)

    def predict(photo: str | None, network: str) -> dict[str, Any]:
        """Run one photo and describe what every residual block did."""
        if photo is None:
            raise gr.Error(NO_PHOTO, print_exception=False)
        try:
            return run_as_dict(engine.get().answer(photo, network))
        except Exception as error:
            raise gr.Error(sentence_of(error), print_exception=False) from error

    def switch_off(photo: str | None, network: str, gates: Any) -> dict[str, Any]:
        """Run one photo with branches turned down: gates holds [residual, shortcut], each 0..1, for every block."""
        return run_as_dict(run(photo, network, gates if gates is not None else []))

    def knock_out(photo: str | None, network: str) -> dict[str, Any]:
        """How sure the network is of its answer without each branch, each shortcut, and for every set of branches."""
        try:
            found = engine.get().ablation(run(photo, network))
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error(sentence_of(error), print_exception=False) from error
        return {
            "label": found.label,
            "whole": found.whole,
            "without_branch": found.without_branch.tolist(),
            "without_shortcut": found.without_shortcut.tolist(),
            "paths": found.paths.tolist(),
        }

    def class_activation(photo: str | None, network: str) -> dict[str, Any]:
        """Each place's and each channel's exact share of the logit; both sum to logit - bias."""
        found = run(photo, network).activation
        if found is None:
            raise gr.Error("This network does not end in a pool and a linear layer.", print_exception=False)
        return {
            "places": found.places.tolist(),
            "channels": found.channels.tolist(),
            "bias": found.bias,
            "logit": found.logit,
        }

    def read_out(photo: str | None, network: str) -> list[dict[str, Any]]:
        """The answer of a linear probe after every block; empty for a network without probes."""
        return [asdict(read) for read in run(photo, network).read_outs]

    def receptive_field(photo: str | None, network: str) -> list[dict[str, Any]]:
        """For every stream of every block: place i sees the pixels i * jump + low to i * jump + high."""
        fields = run(photo, network).fields
        return [{"block": b, "stream": s, **asdict(f), "size": f.size} for (b, s), f in fields.items()]

    def listen(sound: NDArray[np.float32] | None) -> dict[str, Any]:
        """Run one sound through the network that listens and describe what every residual block did."""
        if sound is None:
            raise gr.Error("No sound arrived; send one as the first argument.", print_exception=False)
        try:
            return run_as_dict(engine.get().hear(sound))
        except Exception as error:
            raise gr.Error(sentence_of(error), print_exception=False) from error

    def gradient_flow(photo: str | None, depth: float, norms: bool) -> dict[str, Any]:
        """Gradient norms per block of a fresh network of that depth, with shortcuts and without."""
        if photo is None:
            raise gr.Error(NO_PHOTO, print_exception=False)
        try:
            return asdict(engine.get().gradient_flow(run(photo, None), int(depth), bool(norms)))
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error(sentence_of(error), print_exception=False) from error

    photo_and_network = [page.photo, page.network]
    for function, inputs in (
        (predict, photo_and_network),
        (switch_off, [*photo_and_network, page.api_gates]),
        (knock_out, photo_and_network),
        (class_activation, photo_and_network),
        (read_out, photo_and_network),
        (receptive_field, photo_and_network),
        (gradient_flow, [page.photo, page.api_depth, page.api_norms]),
        (listen, [page.sound]),
    ):
        page.predict.click(
            function, inputs, page.prediction, api_name=function.__name__, concurrency_id="run"
        )
