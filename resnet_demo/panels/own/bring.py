"""Bring a network: a checkpoint of one's own, for this visit alone."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say
from resnet_demo.inputs.decoding import are_weights
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.panels.base import REDRAW, Panel, Values, Visit, told
from resnet_demo.panels.lending import ELSEWHERE, Loan
from resnet_demo.panels.own.teachings import TeachingError
from resnet_demo.panels.page import Page, session, visitor_address
from resnet_demo.panels.seats import BusyError, WorkSeats

MOST_FILE = 10_000_000  # bytes
ONE = later("Give one .safetensors file, and with it at most one card or file of class names.")
FILE = "network.safetensors"  # as sentences call it
BUSY = later("Other visitors' networks are being read; try again in a moment.")
READY = later("{name} is on your menu now, with {blocks} blocks; every panel is about it.")
SEATS = WorkSeats(1)


class BringPanel(Panel):
    """A checkpoint becomes a network on its visitor's menu."""

    id = "bring"
    title = later("Bring a network")
    intro = later("""<p>A residual network of your own: its .safetensors file of at most 10 MB, and with it
the card that this page has saved, or a file of class names. It is on your menu while this page is open, and
on nobody else's. Larger ones: python app.py --checkpoint FILE.</p>""")
    follows = frozenset()

    def visible(self) -> bool:
        return self.page.limits.networks

    def controls(self) -> None:
        self.files = gr.File(
            label=say("Checkpoint, and its card or class names"),
            file_count="multiple",
            file_types=[".safetensors", ".json", ".txt", ".csv"],
            elem_id="bring-files",
            height=140,
        )

    def render(self, visit: Visit) -> str:
        return fill("panels/own/bring.html", entry=None, ready=READY)

    def draw(self, visit: Visit) -> Values:
        return {}

    def connect(self, page: Page) -> None:
        def on_files(paths: list[str] | None) -> Values:
            if not paths:
                return gr.skip()
            try:
                with SEATS.take(visitor_address()):
                    entry = self.lend(session(), paths)
            except BusyError:
                raise gr.Error(say(BUSY), print_exception=False) from None
            except Exception as error:
                raise told(error) from error
            choices = page.lending.choices(session())
            return {
                page.network: gr.update(choices=choices, value=entry.name),
                page.lent: page.lending.html(session()),
                self.drawing: fill("panels/own/bring.html", entry=entry, ready=READY),
            }

        outputs = {page.network, page.lent, self.drawing}
        gr.on(self.files.upload, on_files, self.files, outputs, **REDRAW)

    def lend(self, page: str | None, paths: list[str]) -> MenuEntry:
        """The menu's entry of the network in these files.

        Raises:
            TeachingError, CheckpointError, WeightsError: one sentence on why there is none.
        """
        if not self.page.limits.networks:
            raise TeachingError(later("This page takes no networks."))
        files = [Path(path) for path in paths]
        weights = [path for path in files if path.suffix.lower() == ".safetensors"]
        beside = [path for path in files if path not in weights]
        if len(weights) != 1 or len(beside) > 1:
            raise TeachingError(ONE)
        if any(path.stat().st_size > MOST_FILE for path in files):
            size = max(path.stat().st_size for path in files)
            raise TeachingError(later("A file of {size} MB is too large here.", size=f"{size / 1e6:.1f}"))
        checkpoint = weights[0].read_bytes()
        if not are_weights(checkpoint):  # asked of a decoder, before anything here reads the file
            raise TeachingError(
                later("{file} is damaged or not a safetensors checkpoint; fetch it again.", file=FILE)
            )
        note = beside[0].read_bytes() if beside else None
        ending = beside[0].suffix.lower() if beside else ""
        model, card = opened(checkpoint, note, ending, weights[0].stem)  # says what is wrong now, not later
        blocks = count_blocks(model)
        stem = "".join(c for c in weights[0].stem if c.isprintable())[:40]

        def loan(name: str) -> Loan:
            taken = card.preprocessing
            entry = MenuEntry(
                name,
                card.knows or later("This network is your own, {file}.", file=stem),
                blocks,
                later("{name} · yours", name=stem),
                taken.modality,
                taken.resize,
                taken.crop_share,
            )
            return Loan(entry, lambda: opened(checkpoint, note, ending, name))

        try:
            return self.page.lending.lend(page, ("brought", secrets.token_hex(8)), "brought", loan)
        except ValueError:
            raise TeachingError(ELSEWHERE) from None


def count_blocks(model: Any) -> int:
    """The residual blocks of a network."""
    from resnet_demo.networks.residual_blocks import residual_blocks

    return len(residual_blocks(model))


def opened(checkpoint: bytes, note: bytes | None, ending: str, name: str) -> Any:
    """The network in a file, and its card; torch is imported for it."""
    from resnet_demo.inference.dropped import open_dropped

    return open_dropped(checkpoint, note, ending, name)
