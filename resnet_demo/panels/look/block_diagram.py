"""How it works: a drawing of one residual block with the numbers of the visitor's own photo."""

from __future__ import annotations

import gradio as gr

from resnet_demo.drawing.road_map import block_title, shape_text, significant
from resnet_demo.i18n import later, say
from resnet_demo.modalities import modality_named
from resnet_demo.panels.base import Panel, Visit
from resnet_demo.records import Run

CONV1, CONV3 = later("1×1 conv"), later("3×3 conv")
NORM, NORM_RELU = later("norm"), later("norm, ReLU")
BRANCHES = {  # class of the block -> the layers of its residual branch
    "ResidualBlock": ((CONV3, NORM_RELU), (CONV3, later("norm, max-pool"))),
    "BasicBlock": ((CONV3, NORM_RELU), (CONV3, NORM)),
    "Bottleneck": ((CONV1, NORM_RELU), (CONV3, NORM_RELU), (CONV1, NORM)),
}


class BlockDiagramPanel(Panel):
    """One block as boxes and arrows, above what a residual block is."""

    id = "how"
    title = later("How it works")
    intro = later("""
<p>A <b>residual block</b> lets its input go two ways: through the <b>residual branch</b> F, two 3×3 convolutions that
can change it, and around them on the <b>shortcut</b>. The two meet in a sum: <i>output = ReLU(F(x) + shortcut(x))</i>.</p>
<p>So the branch only has to learn the <i>difference</i> between what comes in and what should go out, doing nothing is easy
to learn (F = 0), and the gradient has a way around every block, which is what made very deep networks trainable
(<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015</a>).</p>
<p>In the network of cats and dogs every block also halves the picture: the branch ends in a max-pool, and the shortcut is a 1×1 convolution
of stride 2, so with F = 0 what remains is a projection of the input, not the input itself. After five blocks the 512 maps are
averaged, and one linear layer makes a single number of them, the <b>logit</b>: below zero cat, above zero dog.</p>
""")
    follows = frozenset({"run", "view"})

    def layout(self) -> None:
        self.draw_here(elem_id="how-drawing")
        gr.HTML(say(self.intro), elem_id="how", elem_classes="panel-words")

    def render(self, visit: Visit) -> str:
        return how_html(visit.run, visit.view.block)


def how_html(run: Run | None, index: int) -> str:
    """One block as boxes and arrows: shapes and norms of this photo, or their names before there is one."""
    kind = "ResidualBlock"
    if run is None:
        title, shape = say("A residual block"), ("C × H × W", "C′ × H′ × W′")
        branch = shortcut = total = output = ""
    else:
        index = min(index, len(run.blocks) - 1)
        block = run.blocks[index]
        kind = next((line.kind for line in run.trace if line.name == block.name), kind)
        place = next((i for i, line in enumerate(run.trace) if line.name == block.name), 0)
        into = shape_text(run.trace[place - 1].shape) if place else ""
        title = say(modality_named(run.modality).block, block=block_title(index).capitalize())
        shape = into, shape_text(block.shape)
        branch = say("norm {value}", value=significant(block.residual_norm))
        shortcut = say("norm {value}", value=significant(block.shortcut_norm))
        total = say("norm {value}", value=significant(block.sum_norm))
        output = say("norm {value}", value=significant(block.output_norm))
    layers = BRANCHES.get(kind, BRANCHES["ResidualBlock"])
    width = 360 / len(layers) - 20
    boxes = "".join(
        _box(160 + i * (width + 20), 45, width, say(name), say(below), "f")
        for i, (name, below) in enumerate(layers)
    )
    label = say(
        "{title}: the input goes through the residual branch, {residual}, and around it on the shortcut, {shortcut}; "
        "the two are added and pass a ReLU, {output}",
        title=title,
        residual=branch,
        shortcut=shortcut,
        output=output,
    )
    return f"""<figure class="how"><svg viewBox="0 0 900 250" role="img" aria-label="{label}">
<path d="M115 175 H645 M695 175 H740"/><path class="f" d="M135 175 V70 H670 V150"/>
{_box(10, 150, 105, "x", shape[0])}{boxes}{_box(520, 45, 120, "F(x)", branch, "f")}
{_box(270, 150, 180, say("shortcut"), shortcut)}
<circle cx="670" cy="175" r="24"/><text class="big" x="670" y="184">+</text><text x="670" y="225">{total}</text>
{_box(740, 150, 150, say("ReLU → output"), output)}<text x="815" y="225">{shape[1]}</text>
<text class="title" x="10" y="28">{title}</text></svg></figure>"""


def _box(x: float, y: float, width: float, name: str, below: str, kind: str = "") -> str:
    middle = x + width / 2
    return (
        f'<g class="box {kind}"><rect x="{x}" y="{y}" width="{width}" height="50" rx="8"/>'
        f'<text class="name" x="{middle}" y="{y + (21 if below else 31)}">{name}</text>'
        f'<text x="{middle}" y="{y + 40}">{below}</text></g>'
    )
