"""Veit's experiment: every block of a network deleted in turn, with shortcuts and without."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import grouped, later, say
from resnet_demo.networks.cards import WEIGHTS, available_networks
from resnet_demo.networks.stored_deletions import StoredDeletions, read_deletions
from resnet_demo.panels.base import Panel, Values, Visit, chooses_network
from resnet_demo.panels.page import Page

PAIRS = {
    "56": ("resnet-56", "plain-56"),
    "20": ("resnet-20", "plain-20"),
}  # layers -> with shortcuts, without


def stored_deletions(weights: Path = WEIGHTS) -> dict[str, StoredDeletions | None]:
    """The networks of PAIRS that are in ``weights``, each with what was found of it, if anything was."""
    paths = available_networks(weights)
    return {name: read_deletions(paths[name]) for pair in PAIRS.values() for name in pair if name in paths}


class BlockDeletionPanel(Panel):
    """Test error of a residual network and of its plain twin without each of their blocks."""

    id = "deletion"
    title = later("Every block in turn")
    intro = later("""<p>Take one block out, let the next one have what that block was given, and count the
mistakes on pictures that were never learned from. A residual network still has all its other paths; in a
plain one there is only one way through
(<a href="https://arxiv.org/abs/1605.06431" target="_blank" rel="noreferrer">Veit et al. 2016,
§ 4.1</a>).</p>""")

    def render(self, visit: Visit) -> str:
        return deletion_html(stored_deletions(), [entry.name for entry in self.page.menu])

    def draw(self, visit: Visit) -> Values:
        return {}  # it shows the same for every photo

    def connect(self, page: Page) -> None:
        chooses_network(page, self.drawing)


def deletion_html(found: Mapping[str, StoredDeletions | None], menu: Sequence[str]) -> str:
    """The panel for what was found; ``menu`` has the networks that can be chosen."""
    known = {name: told for name, told in found.items() if told is not None}
    pairs = {
        layers: {name: [known[name].whole_error, *known[name].errors] for name in pair if name in known}
        for layers, pair in PAIRS.items()
    }
    pairs = {layers: errors for layers, errors in pairs.items() if errors}
    return fill(
        "panels/cut/block_deletion.html",
        pairs=json.dumps(pairs, separators=(",", ":")),
        layers=list(pairs),
        names=PAIRS,
        sentences={name: sentence(told) for name, told in known.items()},
        missing=[name for name, told in found.items() if told is None],
        menu=menu,
    )


def sentence(found: StoredDeletions) -> str:
    """What the deletions of one network say."""
    worst = max(range(len(found.errors)), key=lambda i: found.errors[i])
    return say(
        "{network}: {whole} % of {n} test pictures wrong as it is; without one of its {count} blocks "
        "{median} % in the median, {least} % at best and {most} % at worst, without block {block}.",
        network=found.network,
        whole=f"{100 * found.whole_error:.1f}",
        n=grouped(found.n),
        count=len(found.errors),
        median=f"{100 * statistics.median(found.errors):.1f}",
        least=f"{100 * min(found.errors):.1f}",
        most=f"{100 * max(found.errors):.1f}",
        block=worst + 1,
    )
