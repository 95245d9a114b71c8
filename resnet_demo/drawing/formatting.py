"""Numbers, shapes and blocks as people write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resnet_demo.i18n import say


def significant(value: float, digits: int = 2) -> str:
    """A number as people read it: two significant figures, a true minus, no exponent between 0.001 and
    99999."""
    if not math.isfinite(value):
        return say("not a number")
    if value == 0:
        return "0"
    sign, value = ("−" if value < 0 else ""), abs(value)
    if not 1e-3 <= value < 1e5:
        return f"{sign}{value:.{digits - 1}e}"
    if value >= 10 ** (digits - 1):
        return f"{sign}{value:.0f}"
    return sign + f"{value:#.{digits}g}".removesuffix(".")  # 9.96 has two figures as 10, which # makes "10."


def percent(share: float, digits: int = 1) -> str:
    """A share of 1 in percent, without the sign."""
    return f"{100 * share:.{digits}f}"


def block_title(index: int) -> str:
    """What people call the block: counted from 1."""
    return say("block {number}", number=index + 1)


def shape_text(shape: Sequence[int]) -> str:
    """(C, H, W) as C×H×W."""
    return "×".join(map(str, shape))
