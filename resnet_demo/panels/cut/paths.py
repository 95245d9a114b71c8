"""Paths: the logit as an exact sum over the ways through the blocks, plus what every bias contributes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.formatting import block_title, percent, significant
from resnet_demo.drawing.letters import letters_of
from resnet_demo.drawing.signed_maps import sides_of, signed_picture, summed
from resnet_demo.drawing.templates import fill
from resnet_demo.explanations import Ablation, PathLedger, PathLengths
from resnet_demo.i18n import Sentence, label_of, later, listed, say
from resnet_demo.panels.base import Visit
from resnet_demo.panels.measured import MeasuredPanel, waiting
from resnet_demo.records import Run

TEMPLATE = "panels/cut/paths.html"
WIDTH, TREE, ZERO, BAR = 560, 300, 410, 92  # of the drawing: all, the tree, where bars begin, the longest bar
HEAD, ROW = 20, 16


@dataclass(frozen=True)
class Line:
    """One piece of road in the tree: "branch" or "road", its path, and the first and last leaf that it
    leads to."""

    kind: str
    d: str
    first: int
    last: int


@dataclass(frozen=True)
class Leaf:
    """One path in the drawing; ``words`` say it whole."""

    index: int
    share: float
    y: float
    x: float
    width: float
    words: str
    crossed: str
    removed: str
    map: str
    chosen: bool


@dataclass(frozen=True)
class Row:
    """One share among others; ``width`` is its size over the largest."""

    name: str
    share: float
    width: float


class PathsPanel(MeasuredPanel):
    """The ledger of paths: an unrolled tree for few blocks, lengths of paths for any number."""

    id = "paths"
    title = later("Paths")
    intro = later("""<p>At every block the photo goes two ways, so N blocks make 2<sup>N</sup> paths. With the
choices of this photo's ReLUs and max-pools held fast the network is linear, and the logit is exactly the
sum of what the paths carry, plus what the biases add on the way
(<a href="https://arxiv.org/abs/1605.06431" target="_blank" rel="noreferrer">Veit et al. 2016</a>,
<a href="https://arxiv.org/abs/1905.00780" target="_blank" rel="noreferrer">Srinivas and Fleuret
2019</a>).</p>""")

    cannot: ClassVar[Mapping[str, Sentence]] = {
        "text": later(
            "What a path carries is drawn over a picture; of a text the logit is split over its letters "
            "under “Text”."
        )
    }

    def empty(self, stopped: bool) -> str:
        return paths_html(None, None, None, stopped)

    def measured(self, run: Run, visit: Visit, progress: Callable[[float], None]) -> str:
        engine = self.page.engine.get()
        found = engine.explain("paths", run, progress=progress)
        # the lesions are those of the whole network, so they stand beside the whole network's paths alone
        lesions = engine.ablation(run) if isinstance(found, PathLedger) and not run.gates else None
        return paths_html(found, run, lesions)

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        def paths(run: Run) -> dict[str, Any]:
            """The logit of the class that the network answers as an exact sum: what each path through the
            blocks carries (told by length alone, how many residual branches it crosses, beyond eight
            blocks) plus what every bias adds."""
            return paths_as_dict(self.page.engine.get().explain("paths", run))

        yield paths


def paths_as_dict(found: PathLedger | PathLengths) -> dict[str, Any]:
    """The ledger as the API tells it; shares and biases sum to the logit."""
    biases = [{"block": where, "share": share} for where, share in found.biases]
    if isinstance(found, PathLengths):
        lengths = [{"branches": k, "share": share} for k, share in enumerate(found.shares)]
        return {"lengths": lengths, "biases": biases, "logit": found.logit}
    listed = [
        {"branches": list(crossed), "share": float(share)}
        for crossed, share in zip(found.branches, found.shares, strict=True)
    ]
    return {"paths": listed, "biases": biases, "logit": found.logit}


def paths_html(
    found: PathLedger | PathLengths | None,
    run: Run | None,
    lesions: Ablation | None,
    stopped: bool = False,
) -> str:
    """The ledger of one run; ``lesions`` are the answers of the network with sets of its branches removed."""
    if found is None or run is None:
        empty = waiting(say("After a photo, what each path carries appears here."), stopped)
        return fill(TEMPLATE, found=None, empty=empty)
    blocks = len(run.blocks)
    if isinstance(found, PathLengths) or letters_of(run) is not None:
        shares = found.shares if isinstance(found, PathLengths) else lengths_of(found)
        leaves, end, joined, tree = [], 0.0, 1, None
    else:
        shares = lengths_of(found)
        order = sorted(range(len(found.branches)), key=lambda i: found.branches[i], reverse=True)
        end = feature_maps.limit(np.stack([summed(map_)[0] for map_ in found.maps]))
        joined = summed(found.maps[0])[1]
        leaves = _leaves(found, order, end, lesions)
        tree = tree_of(blocks)
    paths_sum, biases_sum = math.fsum(shares), math.fsum(share for _, share in found.biases)
    titles = {block.name: block_title(i) for i, block in enumerate(run.blocks)}
    titles |= {"stem": say("before the blocks"), "head": say("last layer")}
    lengths = [(_length(k, blocks), share) for k, share in enumerate(shares)]
    told = {
        "logit": found.logit,
        "count": 2**blocks,
        "paths": paths_sum,
        "biases_sum": biases_sum,
        "sum": paths_sum + biases_sum,
        "error": abs(paths_sum + biases_sum - found.logit),
        "leaves": leaves,
        "lengths": _rows(lengths),
        "biases": _rows([(titles.get(where, where), share) for where, share in found.biases]),
        "end": end,
        "joined": joined,
    }
    return fill(
        TEMPLATE,
        found=told,
        run=run,
        tree=tree,
        outweigh=_outweigh(paths_sum, biases_sum),
        photo=feature_maps.photo_url(run.photo),
        start=next((leaf.map for leaf in leaves if leaf.chosen), ""),
        gradient=feature_maps.css_gradient(feature_maps.DIVERGING),
        sides=sides_of(run),
    )


def lengths_of(found: PathLedger) -> tuple[float, ...]:
    """What the paths carry together by how many residual branches they cross."""
    crossing = np.array([sum(crossed) for crossed in found.branches])
    most = len(found.branches[0])
    return tuple(math.fsum(found.shares[crossing == k]) for k in range(most + 1))


def _outweigh(paths: float, biases: float) -> str:
    """Whether the biases outweigh the paths here, and that they can."""
    if abs(biases) > abs(paths):
        return say("Here the biases outweigh all paths together, as they can in any network.")
    return say(
        "Here the paths outweigh the biases; in other photos the biases can outweigh all paths together."
    )


def _length(k: int, blocks: int) -> str:
    if blocks > 16:
        return str(k)
    return say("{length} (in {count} of {all})", length=k, count=math.comb(blocks, k), all=2**blocks)


def _rows(shares: Sequence[tuple[str, float]]) -> list[Row]:
    largest = max((abs(share) for _, share in shares), default=0.0) or 1.0
    return [Row(name, share, abs(share) / largest) for name, share in shares]


def _leaves(found: PathLedger, order: Sequence[int], end: float, lesions: Ablation | None) -> list[Leaf]:
    """The paths from top to bottom; the one with the largest share is chosen first."""
    largest = float(np.abs(found.shares).max()) or 1.0
    best = int(np.abs(found.shares).argmax())
    leaves = []
    for place, i in enumerate(order):
        share, crossed = float(found.shares[i]), found.branches[i]
        width = BAR * abs(share) / largest
        leaves.append(
            Leaf(
                index=place,
                share=share,
                y=HEAD + (place + 0.5) * ROW,
                x=ZERO if share > 0 else ZERO - width,
                width=width,
                words=say("{path}: {share}", path=path_words(crossed), share=significant(share)),
                crossed="".join("1" if branch else "0" for branch in crossed),
                removed=_removed(crossed, lesions),
                map=signed_picture(found.maps[i], end).url,
                chosen=i == best,
            )
        )
    return leaves


def path_words(crossed: Sequence[bool]) -> str:
    """Which branches a path crosses."""
    numbers = [str(i + 1) for i, branch in enumerate(crossed) if branch]
    if not numbers:
        return say("the path along all shortcuts")
    if len(numbers) == 1:
        return say("the path through F(x) of block {number} alone", number=numbers[0])
    return say("the path through F(x) of blocks {numbers}", numbers=listed(numbers))


def _removed(crossed: Sequence[bool], lesions: Ablation | None) -> str:
    """What the network answers without the branches that a path crosses."""
    if lesions is None or not len(lesions.paths):
        return say("What removing its branches would do is told while every switch is open.")
    if not any(crossed):
        return say("It crosses no branch that could be removed.")
    kept = sum(1 << i for i, branch in enumerate(crossed) if not branch)
    return say(
        "With its branches removed the network says {label} with {after} % instead of {before} %.",
        label=label_of(lesions.label),
        after=percent(float(lesions.paths[kept])),
        before=percent(lesions.whole),
    )


def tree_of(blocks: int) -> dict[str, Any]:
    """The unrolled tree: at every block up along F(x) and down along the shortcut, to one leaf a path."""
    count = 2**blocks
    step = (TREE - 16) / blocks

    def height(first: int, size: int) -> float:
        return HEAD + (first + size / 2) * ROW

    lines = []
    for depth in range(blocks):
        size = count >> depth  # leaves below a place of this depth
        for first in range(0, count, size):
            x, y, half = 8 + depth * step, height(first, size), size // 2
            for kind, child in (("branch", first), ("road", first + half)):
                to = height(child, half)
                middle, end = x + step / 2, x + step
                d = f"M {x:.1f} {y:.1f} C {middle:.1f} {y:.1f} {middle:.1f} {to:.1f} {end:.1f} {to:.1f}"
                lines.append(Line(kind, d, child, child + half - 1))
    heads = [8 + (i + 0.5) * step for i in range(blocks)]
    return {
        "width": WIDTH,
        "height": HEAD + count * ROW + 2,
        "zero": ZERO,
        "row": ROW,
        "lines": lines,
        "heads": heads,
    }
