"""No stream is shown that is not true: the first time a block runs, its streams must add up.

Whatever was said or found about a class of block (``networks/residual_blocks``) is checked on the numbers of
one forward pass: residual + shortcut = pre-activation, and output = activation of it, within rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from resnet_demo.i18n import later
from resnet_demo.networks.residual_blocks import activation_of
from resnet_demo.records import STREAM_NAMES

Put = Callable[[str, Tensor], None]
_checked: WeakKeyDictionary[nn.Module, tuple[type, ...]] = WeakKeyDictionary()


class StreamError(RuntimeError):
    """What was captured of a block is not F(x), shortcut and their sum; one sentence that says what to do."""


def checked(name: str, block: nn.Module, put: Put) -> Put:
    """``put``, and what it is told of is complete after each pass, and adds up in the first one.

    Raises (what is returned, when it is told of the output):
        StreamError: a stream is missing, or the streams do not add up.
    """
    made = tuple(type(module) for module in block.modules())
    known = _checked.get(block) == made
    seen: dict[str, Tensor | None] = {}

    def put_checked(stream: str, tensor: Tensor) -> None:
        seen[stream] = None if known else tensor.detach().clone()
        put(stream, tensor)
        if stream != "output":
            return
        if missing := [s for s in STREAM_NAMES if s not in seen]:
            raise StreamError(_sentence(name, block, missing[0].replace("_", "-")))
        if not known:
            if not _adds_up(block, {s: t for s, t in seen.items() if t is not None}):
                raise StreamError(_sentence(name, block, ""))
            _checked[block] = made
        seen.clear()

    return put_checked


def _adds_up(block: nn.Module, streams: dict[str, Tensor]) -> bool:
    residual, shortcut, total, output = (streams[name] for name in STREAM_NAMES)
    if not _same(_wide(residual) + _wide(shortcut), total, residual, shortcut):
        return False
    return _same(activation_of(block)(total.clone()), output, total)


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _same(wanted: Tensor, found: Tensor, *sides: Tensor) -> bool:
    """Whether two tensors agree within the rounding of one addition of ``sides``."""
    if wanted.shape != found.shape:
        return False
    rounding = max(torch.finfo(t.dtype).eps for t in (found, *sides))
    scale = max(float(side.abs().max()) if side.numel() else 0.0 for side in sides)
    return bool(
        torch.allclose(_wide(wanted), _wide(found), rtol=0, atol=4 * rounding * scale, equal_nan=True)
    )


def _sentence(name: str, block: nn.Module, missing: str) -> str:
    kind = type(block).__name__
    if missing:
        return later(
            "No {stream} was found in {name} ({kind}), so nothing is shown of it: describe its class with "
            "register_block.",
            stream=missing,
            name=name,
            kind=kind,
        )
    return later(
        "F(x) and shortcut of {name} ({kind}) do not add up to what follows, so nothing is shown of it:"
        " describe its class with register_block.",
        name=name,
        kind=kind,
    )
