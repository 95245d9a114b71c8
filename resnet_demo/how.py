"""How it works: a drawing of one residual block with the numbers of the visitor's own photo. HTML only."""

from __future__ import annotations

from resnet_demo.records import Run
from resnet_demo.roadmap import block_title, shape_text, significant

BRANCHES = {  # class of the block -> the layers of its residual branch
    "ResidualBlock": (("3×3 conv", "norm, ReLU"), ("3×3 conv", "norm, max-pool")),
    "BasicBlock": (("3×3 conv", "norm, ReLU"), ("3×3 conv", "norm")),
    "Bottleneck": (("1×1 conv", "norm, ReLU"), ("3×3 conv", "norm, ReLU"), ("1×1 conv", "norm")),
}


def how_html(run: Run | None, index: int) -> str:
    """One block as boxes and arrows: shapes and norms of this photo, or their names before there is one."""
    kind = "ResidualBlock"
    if run is None:
        title, shape, where = "A residual block", ("C × H × W", "C′ × H′ × W′"), ""
        branch = shortcut = total = output = ""
    else:
        index = min(index, len(run.blocks) - 1)
        block = run.blocks[index]
        kind = next((line.kind for line in run.trace if line.name == block.name), kind)
        place = next((i for i, line in enumerate(run.trace) if line.name == block.name), 0)
        into = shape_text(run.trace[place - 1].shape) if place else ""
        title, shape, where = (
            block_title(index).capitalize(),
            (into, shape_text(block.shape)),
            f" for your {run.sense}",
        )
        branch, shortcut = (
            f"norm {significant(block.residual_norm)}",
            f"norm {significant(block.shortcut_norm)}",
        )
        squares = float((block.pre_activation.astype("float32") ** 2).sum())
        total, output = f"norm {significant(squares**0.5)}", f"norm {significant(block.output_norm)}"
    layers = BRANCHES.get(kind, BRANCHES["ResidualBlock"])
    width = 360 / len(layers) - 20
    boxes = "".join(
        _box(160 + i * (width + 20), 45, width, name, below, "f") for i, (name, below) in enumerate(layers)
    )
    return f"""<figure class="how"><svg viewBox="0 0 900 250" role="img" aria-label="{title}{where}: the input goes through the
 residual branch, {branch}, and around it on the shortcut, {shortcut}; the two are added and pass a ReLU, {output}">
<path d="M115 175 H645 M695 175 H740"/><path class="f" d="M135 175 V70 H670 V150"/>
{_box(10, 150, 105, "x", shape[0])}{boxes}{_box(520, 45, 120, "F(x)", branch, "f")}
{_box(270, 150, 180, "shortcut", shortcut)}
<circle cx="670" cy="175" r="24"/><text class="big" x="670" y="184">+</text><text x="670" y="225">{total}</text>
{_box(740, 150, 150, "ReLU → output", output)}<text x="815" y="225">{shape[1]}</text>
<text class="title" x="10" y="28">{title}{where}</text></svg></figure>"""


def _box(x: float, y: float, width: float, name: str, below: str, kind: str = "") -> str:
    middle = x + width / 2
    return (
        f'<g class="box {kind}"><rect x="{x}" y="{y}" width="{width}" height="50" rx="8"/>'
        f'<text class="name" x="{middle}" y="{y + (21 if below else 31)}">{name}</text>'
        f'<text x="{middle}" y="{y + 40}">{below}</text></g>'
    )
