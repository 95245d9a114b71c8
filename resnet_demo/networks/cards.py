"""The networks on offer, read from their cards without torch: the page is built before it is imported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from resnet_demo.i18n import known, later

IMAGENET = later(
    "This network has seen the 1,000 classes of ImageNet, from goldfish to toilet paper; people are none of them."
)
KNOWN = (
    later("This network has seen only cats and dogs, and must call everything one of them."),
    later(
        "Trained only on sounds that this project's own program made; it must call every sound one of its ten kinds."
    ),
    later(
        "This network has seen the ten classes of CIFAR-10, 32 by 32 pixels small, and must call everything one of them."
    ),
)  # in cards
ABOUT = (
    later("ten kinds of things, 32 px · 9 blocks, identity shortcuts"),
    later("ten kinds of things, 32 px · 27 blocks: cut one and little happens"),
    later("ten kinds of things, 32 px · 9 blocks, no shortcuts"),
    later("ten kinds of things, 32 px · 27 blocks, no shortcuts: deeper learns worse"),
)  # in cards


def _weights() -> Path:
    """The folder of weights: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


WEIGHTS = _weights()


@dataclass(frozen=True)
class MenuEntry:
    """What the page needs to know of a network before it is loaded.

    Attributes:
        name: on the menu, and in ``engine.run(…, network=name)``.
        knows: one sentence on what the network has ever seen.
        blocks: how many residual blocks it has.
        title: how the menu shows it; its name if empty.
        hears: True if it takes sounds, not photos.
    """

    name: str
    knows: str
    blocks: int
    title: str = ""
    hears: bool = False

    @property
    def shown(self) -> str:
        """How the menu shows it, in the language that is being spoken."""
        return known(self.title) if self.title else self.name


# torchvision's ResNets: blocks in all, and the size of the download
FIELD = tuple(
    MenuEntry(name, IMAGENET, blocks, f"{name} · ImageNet · {megabytes} MB")
    for name, blocks, megabytes in (
        ("ResNet-18", 8, 47),
        ("ResNet-34", 16, 87),
        ("ResNet-50", 16, 103),
        ("ResNet-101", 33, 179),
        ("ResNet-152", 50, 242),
    )
)


def read_menu(directory: Path = WEIGHTS) -> tuple[MenuEntry, ...]:
    """One entry for every checkpoint in ``directory`` with a readable card, in the order of their names."""
    entries = []
    for checkpoint in sorted(directory.glob("*-????????.safetensors")):
        try:
            entries.append(_entry(checkpoint))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # the engine says what is wrong with it if somebody asks for it by name
    return tuple(entries)


def read_checkpoint(checkpoint: Path) -> MenuEntry:
    """The entry of a network of one's own: from its card if it has one, else named after the file."""
    try:
        return _entry(checkpoint)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return MenuEntry(checkpoint.stem, later("This network is your own, {file}.", file=checkpoint.name), 8)


def _entry(checkpoint: Path) -> MenuEntry:
    """From the card of one of our checkpoints."""
    card = json.loads(checkpoint.with_suffix(".json").read_text(encoding="utf-8"))
    name, about = str(card["network"]), str(card.get("about", ""))
    blocks = int(card.get("blocks") or len(card["config"]["widths"]))
    hears = dict(card.get("preprocessing") or {}).get("sense") == "sound"
    title = later("{name} · {about}", name=name, about=later(about)) if about else ""
    return MenuEntry(name, str(card["knows"]), blocks, title, hears)
