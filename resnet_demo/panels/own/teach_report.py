"""What came of a teaching: accuracy by block with intervals, the best block, what cannot be told apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnet_demo.analysis.ridge_readout import interval, not_told_apart
from resnet_demo.drawing.line_chart import Series, line_chart
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say
from resnet_demo.panels.own.teachings import Taught

ENOUGH = 20  # pictures of a class from which the interval is no wider than most people need

BEST = later(
    "After block {block} the read-out is right for {right} of {count} pictures that it was fitted without"
    " ({low} % to {high} %)."
)
JUDGED = later(
    "Each picture is judged by a read-out fitted without it (leave-one-out). That the best of {blocks} blocks"
    " was chosen by these figures flatters it a little; that pictures of one burst are alike flatters all of"
    " them. The shaded band is the 95 % interval."
)
NOT_TOLD = later(
    "{first} is found no more surely than by guessing; most often it is taken for {second}. Give both more"
    " pictures, and more different ones."
)
FEW = later(
    "With {count} pictures of a class the interval is wide: from {low} % to {high} %. Twenty a class make it"
    " narrower."
)
BACKGROUND = later(
    "If every picture of a class has the same background, that may be what gives it away: “Where it looks”"
    " shows it."
)


def report_html(taught: Taught) -> str:
    """Chart, sentences, and who was taken for whom."""
    count, best = len(taught.labels), taught.answering
    rights = [read_out.right(taught.labels) for read_out in taught.read_outs]
    ends = [interval(read_out, taught.labels) for read_out in taught.read_outs]
    low, high = ends[taught.best]
    chart = line_chart(
        [
            Series(say("right"), [(i + 1, 100 * right / count) for i, right in enumerate(rights)]),
            Series(
                say("by guessing"), [(i + 1, 100 * guess(taught)) for i in range(len(rights))], kind="aside"
            ),
        ],
        say("Accuracy of the read-out after every block"),
        say("after block"),
        say("right while left out, %"),
        by_block=True,
        band=[(i + 1, 100 * low, 100 * high) for i, (low, high) in enumerate(ends)],
    )
    return fill(
        "panels/own/teach_report.html",
        chart=chart,
        best=BEST,
        judged=JUDGED,
        block=taught.best + 1,
        blocks=len(rights),
        right=rights[taught.best],
        count=count,
        low=round(100 * low),
        high=round(100 * high),
        warnings=warnings(taught),
        names=taught.names,
        rows=list(zip(taught.names, best.confusion(taught.labels).tolist(), strict=True)),
    )


def guess(taught: Taught) -> float:
    """How often the name of the largest class is right."""
    return float(np.bincount(taught.labels).max()) / len(taught.labels)


def warnings(taught: Taught) -> list[str]:
    """What is to be said of these pictures, whatever the figures look like."""
    found = []
    unsure = not_told_apart(taught.answering.confusion(taught.labels))
    if unsure is not None:
        first, second = (taught.names[i] for i in unsure)
        found.append(say(NOT_TOLD, first=first, second=second))
    least = int(np.bincount(taught.labels).min())
    if least < ENOUGH:
        low, high = interval(taught.answering, taught.labels)
        found.append(say(FEW, count=least, low=round(100 * low), high=round(100 * high)))
    found.append(say(BACKGROUND))
    return found


def numbers_of(taught: Taught) -> dict[str, Any]:
    """The same for programs."""
    count = len(taught.labels)
    return {
        "network": taught.network,
        "classes": list(taught.names),
        "pictures": count,
        "blocks": [
            {
                "block": read_out.block,
                "accuracy": read_out.right(taught.labels) / count,
                "interval": list(interval(read_out, taught.labels)),
            }
            for read_out in taught.read_outs
        ],
        "best": taught.answering.block,
        "confusion": taught.answering.confusion(taught.labels).tolist(),
        "notes": warnings(taught),
    }
