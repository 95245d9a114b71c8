"""How it works: a drawing of one residual block with the numbers of the visitor's own photo."""

from __future__ import annotations

import gradio as gr

from resnet_demo.drawing.formatting import block_title, shape_text, significant
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say
from resnet_demo.modalities import modality_named
from resnet_demo.panels.base import Panel, Visit
from resnet_demo.records import Run

TEMPLATE = "panels/look/block_diagram.html"
NORMS = ("branch", "shortcut", "total", "output")
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
<p>A <b>residual block</b> lets its input go two ways: through the <b>residual branch</b> F, two 3×3
convolutions that can change it, and around them on the <b>shortcut</b>. The two meet in a sum: <i>output =
ReLU(F(x) + shortcut(x))</i>.</p>
<p>So the branch only has to learn the <i>difference</i> between what comes
in and what should go out, doing nothing is easy to learn (F = 0), and the gradient has a way around every
block, which is what made very deep networks trainable (<a href="https://arxiv.org/abs/1512.03385"
target="_blank" rel="noreferrer">He et al. 2015</a>).</p>
<p>In the network of cats and dogs every block also
halves the picture: the branch ends in a max-pool, and the shortcut is a 1×1 convolution of stride 2, so with
F = 0 what remains is a projection of the input, not the input itself. After five blocks the 512 maps are
averaged, and one linear layer makes a single number of them, the <b>logit</b>: below zero cat, above zero
dog.</p>
""")
    follows = frozenset({"run", "view"})

    def layout(self) -> None:
        self.draw_here(elem_id="how-drawing")
        gr.HTML(say(self.intro), elem_id="how", elem_classes="panel-words")

    def render(self, visit: Visit) -> str:
        return how_html(visit.run, visit.view.block)


def how_html(run: Run | None, index: int) -> str:
    """One block as boxes and arrows: shapes and norms of this photo, or their names before there is one."""
    title, shapes, norms = say("A residual block"), ("C × H × W", "C′ × H′ × W′"), dict.fromkeys(NORMS, "")
    kind = "ResidualBlock"
    if run is not None:
        index = min(index, len(run.blocks) - 1)
        block = run.blocks[index]
        title = say(modality_named(run.modality).block, block=block_title(index).capitalize())
        place = next((i for i, line in enumerate(run.trace) if line.name == block.name), 0)
        kind = run.trace[place].kind if place else kind
        shapes = shape_text(run.trace[place - 1].shape) if place else "", shape_text(block.shape)
        found = block.residual_norm, block.shortcut_norm, block.sum_norm, block.output_norm
        norms = {n: say("norm {value}", value=significant(v)) for n, v in zip(NORMS, found, strict=True)}
    layers = BRANCHES.get(kind, BRANCHES["ResidualBlock"])
    width = 360 / len(layers) - 20
    boxes = [(160 + i * (width + 20), width, name, below) for i, (name, below) in enumerate(layers)]
    return fill(TEMPLATE, title=title, shapes=shapes, norms=norms, boxes=boxes)
