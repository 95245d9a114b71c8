"""What every residual block of a network did to a photo or a sound: as a page, as commands, and as a library.

The names below are imported when they are first used: the package itself loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_demo.capture import capture_blocks as capture_blocks
    from resnet_demo.engine import Engine as Engine
    from resnet_demo.export import save_streams as save_streams
    from resnet_demo.gates import gated as gated
    from resnet_demo.hearing import open_sound as open_sound
    from resnet_demo.model import ResNet as ResNet
    from resnet_demo.records import Gate as Gate
    from resnet_demo.records import Run as Run
    from resnet_demo.transforms import open_photo as open_photo

WHERE = {
    "Engine": "engine",
    "Gate": "records",
    "ResNet": "model",
    "Run": "records",
    "capture_blocks": "capture",
    "gated": "gates",
    "open_photo": "transforms",
    "open_sound": "hearing",
    "save_streams": "export",
}
__all__ = list(WHERE)


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{WHERE[name]}"), name)
