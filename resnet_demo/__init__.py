"""What every residual block of a network did to a photo or a sound: as a page, as commands, and as a library.

The names below are imported when they are first used: the package itself loads nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_demo.analysis.capture import capture_blocks as capture_blocks
    from resnet_demo.analysis.gating import gated as gated
    from resnet_demo.inference.engine import Engine as Engine
    from resnet_demo.inputs.photo_decoding import open_photo as open_photo
    from resnet_demo.inputs.sound_decoding import open_sound as open_sound
    from resnet_demo.networks.residual_blocks import BlockKind as BlockKind
    from resnet_demo.networks.residual_blocks import register_block as register_block
    from resnet_demo.networks.resnet import ResidualBlock as ResidualBlock
    from resnet_demo.networks.resnet import ResNet as ResNet
    from resnet_demo.networks.resnet import ResNetConfig as ResNetConfig
    from resnet_demo.records import Gate as Gate
    from resnet_demo.records import NetworkInput as NetworkInput
    from resnet_demo.records import Run as Run
    from resnet_demo.serialize import save_streams as save_streams

WHERE = {
    "BlockKind": "networks.residual_blocks",
    "Engine": "inference.engine",
    "Gate": "records",
    "NetworkInput": "records",
    "ResNet": "networks.resnet",
    "ResNetConfig": "networks.resnet",
    "ResidualBlock": "networks.resnet",
    "Run": "records",
    "capture_blocks": "analysis.capture",
    "gated": "analysis.gating",
    "open_photo": "inputs.photo_decoding",
    "open_sound": "inputs.sound_decoding",
    "register_block": "networks.residual_blocks",
    "save_streams": "serialize",
}
__all__ = list(WHERE)

# ``python -m resnet_demo COMMAND``, and as before ``python -m resnet_demo.COMMAND``
COMMANDS = {
    "run": "tools.run_folder",
    "trace": "tools.trace",
    "onnx": "tools.onnx_export",
    "train": "training.train",
    "train_sound": "training.train_sound",
    "train_cifar": "training.train_cifar",
    "train_languages": "training.train_languages",
    "train_digits": "training.train_digits",
    "udhr": "training.udhr",
    "evaluate": "training.evaluate",
    "fit_probes": "training.fit_probes",
    "teach": "training.teach",
    "fit_familiarity": "training.fit_familiarity",
    "delete_blocks": "training.delete_blocks",
    "export_cifar": "training.export_cifar",
    "race": "race.command",
    "sounds": "inputs.synthetic_sounds",
    "feature_visualization": "tools.feature_sheets",
    "walkthrough": "tools.walkthrough",
    "bench": "tools.page_benchmark",
    "bench_ray": "tools.replica_benchmark",
}


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{WHERE[name]}"), name)


class _CommandFinder:
    """Finds ``resnet_demo.train`` and the like where they lie, so that ``python -m`` accepts the short
    form."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, command = name.rpartition(".")
        if package != __name__ or command not in COMMANDS:
            return None
        file = Path(__file__).parent.joinpath(*COMMANDS[command].split(".")).with_suffix(".py")
        return spec_from_file_location(name, file)


sys.meta_path.append(_CommandFinder)
