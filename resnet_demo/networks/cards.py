"""Cards, which say of a network all that a stranger needs, and the menu that is read from them.

Nothing here needs torch: the page is built before it is imported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from resnet_demo.i18n import known, later
from resnet_demo.records import Preprocessing

IMAGENET = later(
    "This network has seen the 1,000 classes of ImageNet, from goldfish to toilet paper; people are none of"
    " them."
)
KNOWN = (
    later("This network has seen only cats and dogs, and must call everything one of them."),
    later(
        "Trained only on sounds that this project's own program made; it must call every sound one of its ten"
        " kinds."
    ),
    later("This network reads the letters of 75 languages, and must call every text one of them."),
    later(
        "This network has heard the digits zero to nine in English, and must call every sound one of them."
    ),
    later(
        "This network has seen the ten classes of CIFAR-10, 32 by 32 pixels small, and must call everything"
        " one of them."
    ),
)  # in cards
ABOUT = (
    later("75 languages by their letters · 5 blocks"),
    later("spoken digits, zero to nine · 5 blocks"),
    later("ten kinds of things, 32 px · 9 blocks, identity shortcuts"),
    later("ten kinds of things, 32 px · 27 blocks, identity shortcuts"),
    later("ten kinds of things, 32 px · 9 blocks, no shortcuts"),
    later("ten kinds of things, 32 px · 27 blocks, no shortcuts: deeper learns worse"),
)  # in cards

MAX_HEADER = 1_000_000  # bytes of a card, or of a checkpoint's list of tensors; usual ones have a tenth of it
MAX_BLOCKS = 1000
IN_FOLDERS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")


def _weights() -> Path:
    """The folder of weights: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


WEIGHTS = _weights()


class CheckpointError(RuntimeError):
    """A checkpoint is missing or unfit; one sentence that names the file and the reason."""


@dataclass(frozen=True)
class Card:
    """What travels with the weights.

    Attributes:
        network: name on the menu.
        config: rebuilds the network, see ``families.Family.build``; the dataclass of a family is taken as
            well. None for a network that is not rebuilt from its card.
        preprocessing: how a photo becomes its input.
        classes: in the order of the logits; a binary network (one logit) names two, the
            second being the one that a positive logit means.
        accuracy: share right on ``data``, one view, as shipped; None if not measured.
        n: how many photos that was measured on.
        interval: 95 % Wilson interval of ``accuracy``.
        temperature: the logits are divided by it before the sigmoid or softmax.
        knows: one sentence for the page on what the network has ever seen.
        family: of networks, which builds this one from ``config``; see ``families.py``.
        blocks: residual blocks, 0 if not counted.
        assumed: sentences on what was assumed of a network that came without a card.
        about: what it sees and is good for, in a few words for the menu.
        precisions: those in which its accuracy was measured, see ``inference.precision``.
        details: recipe, data, device, hours, commit and whatever else is worth keeping.
        sha256: of the checkpoint file, in hex.
    """

    network: str
    config: Any  # a dictionary, whatever was given
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    accuracy: float | None = None
    n: int = 0
    interval: tuple[float, float] | None = None
    temperature: float = 1.0
    knows: str = ""
    family: str = "notebook"
    blocks: int = 0
    about: str = ""
    assumed: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("float32",)
    details: dict[str, Any] = field(default_factory=dict, compare=False)
    sha256: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "precisions", tuple(self.precisions))
        if not all(
            isinstance(v, str)
            for v in (
                *(self.network, self.knows, self.family, self.about, self.sha256),
                *self.classes,
                *self.precisions,
            )
        ):
            raise TypeError("names, classes, hash and sentence of a card must be text")
        if is_dataclass(self.config) and not isinstance(self.config, type):
            object.__setattr__(self, "config", asdict(self.config))
        if self.config is not None:
            self._check_config(self.config)
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"the temperature must be positive, got {self.temperature}")

    def _check_config(self, config: Any) -> None:
        """Raises TypeError or ValueError if it cannot be one, as far as that can be seen without its
        family."""
        if not isinstance(config, Mapping) or not all(isinstance(key, str) for key in config):
            raise TypeError("the configuration of a card is an object")
        if "widths" in config and not config["widths"]:
            raise ValueError("a network has at least one block")
        if not isinstance(self.blocks, int) or not 0 <= self.blocks <= MAX_BLOCKS:
            raise ValueError(f"a network has 1 to {MAX_BLOCKS} blocks, not {self.blocks!r:.20}")
        logits = config.get("num_logits")
        wanted = 2 if logits == 1 else logits
        if logits is not None and len(self.classes) != wanted:
            raise ValueError(
                f"{logits!r:.20} logits need {wanted!r:.20} class names, got {len(self.classes)}"
            )

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Parse a card. Raises ValueError, LookupError or TypeError if it is not one."""
        data = json.loads(text)
        if not isinstance(data, dict):
            raise TypeError("a card is a JSON object")
        config = data.pop("config")
        if config is None:
            raise TypeError("the configuration is missing")
        interval = data.pop("interval", None)
        data.pop("assumed", None)  # a network with a card needs no guesses
        return cls(
            config=config,
            preprocessing=Preprocessing.from_card(data.pop("preprocessing")),
            interval=(interval[0], interval[1]) if interval else None,
            **data,
        )

    def to_json(self) -> str:
        """The card as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class MenuEntry:
    """What the page needs to know of a network before it is loaded.

    Attributes:
        name: on the menu, and in ``engine.run(…, network=name)``.
        knows: one sentence on what the network has ever seen.
        blocks: how many residual blocks it has.
        title: how the menu shows it; its name if empty.
        modality: what it takes, see ``modalities``.
        resize, crop_share: which part of a photo it takes, see ``Preprocessing``.
    """

    name: str
    knows: str
    blocks: int
    title: str = ""
    modality: str = "photo"
    resize: str = "crop"
    crop_share: float = 1.0

    @property
    def fit(self) -> str:
        """Which part of a photo it takes, for the page's scripts: "crop 0.875"."""
        return f"{self.resize} {self.crop_share:g}"

    @property
    def shown(self) -> str:
        """How the menu shows it, in the language that is being spoken."""
        return known(self.title) if self.title else self.name


# torchvision's IMAGENET1K_V1; each name ends in the first eight digits of its SHA-256
FIELD_FILES = {
    "ResNet-18": "resnet18-f37072fd.pth",
    "ResNet-34": "resnet34-b627a593.pth",
    "ResNet-50": "resnet50-0676ba61.pth",
    "ResNet-101": "resnet101-63fe2227.pth",
    "ResNet-152": "resnet152-394f9c45.pth",
}
# blocks in all, and the size of the download
FIELD = tuple(
    MenuEntry(
        name,
        later(
            "{sentence} Its weights are those that torchvision publishes as IMAGENET1K_V1, {file}.",
            sentence=IMAGENET,
            file=FIELD_FILES[name],
        ),
        blocks,
        f"{name} · ImageNet · {megabytes} MB",
        crop_share=0.875,
    )
    for name, blocks, megabytes in (
        ("ResNet-18", 8, 47),
        ("ResNet-34", 16, 87),
        ("ResNet-50", 16, 103),
        ("ResNet-101", 33, 179),
        ("ResNet-152", 50, 242),
    )
)


def available_networks(directory: Path = WEIGHTS) -> dict[str, Path]:
    """Network name -> checkpoint, for every checkpoint in ``directory`` that has a readable card."""
    found = {}
    for path in sorted(directory.glob("*-????????.safetensors")):
        try:
            found[read_card(path).network] = path
        except CheckpointError:
            continue
    return found


def read_menu(directory: Path = WEIGHTS) -> tuple[MenuEntry, ...]:
    """One entry for every checkpoint in ``directory`` with a readable card, in the order of their names."""
    return tuple(entry_of(read_card(path)) for path in available_networks(directory).values())


def entry_of(card: Card) -> MenuEntry:
    """How the network of a card stands on the menu."""
    title = later("{name} · {about}", name=card.network, about=later(card.about)) if card.about else ""
    blocks = card.blocks or len(card.config.get("widths", ()))  # cards of before were not counted
    taken = card.preprocessing
    return MenuEntry(card.network, card.knows, blocks, title, taken.modality, taken.resize, taken.crop_share)


def read_card(path: Path) -> Card:
    """The card beside the checkpoint ``path``.

    Raises:
        CheckpointError: there is none, or it is not a card.
    """
    card_path = path.with_suffix(".json")
    try:
        return Card.from_json(read_bytes(card_path, MAX_HEADER).decode("utf-8"))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(
            later("{file} is not a model card; restore it from the project.", file=card_path.name)
        ) from error


def read_bytes(path: Path, most: int) -> bytes:
    try:
        if path.is_dir():
            raise CheckpointError(later("{file} is a directory, not a file.", file=path.name))
        size = path.stat().st_size
        if not path.is_file():  # a pipe would wait for ever, a device never end
            raise CheckpointError(later("{file} is a pipe or a device, not a file.", file=path.name))
        if size > most:
            raise CheckpointError(
                later(
                    "{file} has {size} bytes; at most {most} are read.", file=path.name, size=size, most=most
                )
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            later("{file} is missing from {folder}/.", file=path.name, folder=path.absolute().parent.name)
        ) from None
    except PermissionError:
        raise CheckpointError(later("{file} may not be read: no permission.", file=path.name)) from None
    except OSError as error:
        raise CheckpointError(
            later(
                "{file} could not be read: {reason}.",
                file=path.name,
                reason=error.strerror or "input/output error",
            )
        ) from error


def checkpoint_at(path: Path) -> Path:
    """``path``; of a folder as transformers and timm save it, the checkpoint in it."""
    if path.is_dir():
        return next((path / name for name in IN_FOLDERS if (path / name).is_file()), path)
    return path


def is_card(path: Path) -> bool:
    """Whether the file at ``path`` means to be one of our cards, whatever is wrong with it: a ``mine.json``
    of something else beside ``mine.safetensors`` is none."""
    try:
        found = json.loads(read_bytes(path, MAX_HEADER))
    except (CheckpointError, ValueError, RecursionError):
        return False
    return (
        isinstance(found, dict) and len({"network", "config", "preprocessing", "sha256"} & found.keys()) >= 3
    )


def named_by(checkpoint: Path) -> str:
    """The name of a network of one's own on the menu: its card's if it has one, else the file's."""
    try:
        return read_card(checkpoint).network
    except CheckpointError:
        return checkpoint.stem


def read_checkpoint(checkpoint: Path, blocks: int = 0) -> MenuEntry:
    """The entry of a network of one's own: from its card if it has one; else ``blocks`` says how many it
    has."""
    try:
        return entry_of(read_card(checkpoint))
    except CheckpointError:
        return MenuEntry(
            checkpoint.stem, later("This network is your own, {file}.", file=checkpoint.name), blocks or 8
        )
