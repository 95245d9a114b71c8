"""The panels in which a visitor experiments: switch branches off, and see where the answer comes from. HTML only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.road_map import SHORT, block_title, significant
from resnet_demo.i18n import label_of, later, say
from resnet_demo.records import Ablation, Gate, Prediction, Run

SHARES_SHOWN = 8  # channels with the largest shares of the logit
STRENGTH = {
    "photo": later("Strength of the colours over the photo"),
    "sound": later("Strength of the colours over the sound"),
}


def gates_html(blocks: int, enabled: bool, gates: Sequence[Gate] = ()) -> str:
    """A slider on the residual branch and one on the shortcut of every block, fully open without ``gates``."""
    off = "" if enabled else " disabled"

    def slider(kind: str, value: float, name: str, words: str) -> str:
        return (
            f'<label>{name} <output>{value:g}</output><input type="range" class="{kind}" min="0" max="1" step="0.05" '
            f'value="{value:g}"{off} aria-label="{words}"></label>'
        )

    columns = "".join(
        f'<fieldset data-gate="{i}"><legend>{block_title(i)}</legend>'
        + slider(
            "branch",
            gate.residual,
            "F(x)",
            say("{block}: how much of the residual branch F(x)", block=block_title(i)),
        )
        + slider(
            "short",
            gate.shortcut,
            say("shortcut"),
            say("{block}: how much of the shortcut", block=block_title(i)),
        )
        + "</fieldset>"
        for i, gate in enumerate(gates or [Gate()] * blocks)
    )
    return (
        f'<div class="gates{" many" if blocks > SHORT else ""}" style="--blocks:{blocks}">{columns}</div>'
        f'<button type="button" id="reset-gates"{off}>{say("Open everything again")}</button>'
    )


def comparison_html(whole: Prediction | None, run: Run | None) -> str:
    """The answer of the whole network and, below it, with the visitor's switches."""
    if whole is None or run is None:
        empty = say("Give the page a photo, then move a slider: the answer before and after appears here.")
        return f'<p class="comparison is-empty">{empty}</p>'

    def row(name: str, prediction: Prediction) -> str:
        chance = chance_of(prediction, whole.label, run.classes)
        return (
            f'<div class="class-row"><span class="label">{name}</span><span class="bar" aria-hidden="true">'
            f'<i style="width:{100 * chance:.2f}%"></i></span><span class="percent">{escape(label_of(whole.label))} '
            f"{100 * chance:.1f} %</span></div>"
        )

    note = say("Every branch is open: both are the same network.")
    if run.gates:
        before, after = significant(whole.logit), significant(run.prediction.logit)
        note = say("The logit moved from {before} to {after}.", before=before, after=after)
        if run.prediction.label != whole.label:
            note += " " + say("It now says <b>{label}</b>.", label=escape(label_of(run.prediction.label)))
    return (
        f'<div class="answer comparison"><div class="classes">{row(say("whole network"), whole)}'
        f'{row(say("with your switches"), run.prediction)}</div><p role="status">{note}</p></div>'
    )


def chance_of(prediction: Prediction, label: str, classes: Sequence[str]) -> float:
    """The probability of ``label``, be it among the first five or not."""
    if len(prediction.chances) == len(classes) and label in classes:
        return prediction.chances[classes.index(label)]
    return next((c.confidence for c in prediction.confidences if c.label == label), 0.0)


def lesions_html(lesions: Ablation | None, run: Run | None) -> str:
    """Each branch knocked out in turn, and all sets of branches by how many they keep."""
    if lesions is None or run is None:
        return f'<p class="is-empty">{say("What every block is worth for this photo appears here.")}</p>'
    label, whole = escape(label_of(lesions.label)), lesions.whole

    def bars(title: str, found: Sequence[float], kind: str) -> str:
        rows = "".join(
            f'<div class="class-row"><span class="label">{block_title(i)}</span>'
            f'<span class="bar"><i style="width:{100 * chance:.2f}%"></i>'
            f'<u style="left:{100 * whole:.2f}%"></u></span>'
            f'<span class="percent">{100 * chance:.1f} %</span></div>'
            for i, chance in enumerate(found)
        )
        return f'<section class="knock {kind}"><h4>{title}</h4><div class="answer"><div class="classes">{rows}</div></div></section>'

    sets = say("all {count} sets of residual branches", count=len(lesions.paths))
    paths = (
        f'<section class="knock"><h4>{sets}</h4>{_paths(lesions, label)}</section>'
        if len(lesions.paths)
        else ""
    )
    lead = say(
        "How sure the network is of <b>{label}</b> ({percent} % as a whole, the thin line) with one thing taken away:",
        label=label,
        percent=f"{100 * whole:.1f}",
    )
    branches = bars(say("without F(x) of …"), list(lesions.without_branch), "branch")
    shortcuts = bars(say("without the shortcut of …"), list(lesions.without_shortcut), "short")
    return f'<p class="lead">{lead}</p><div class="knocks">{branches}{shortcuts}{paths}</div>'


def _paths(lesions: Ablation, label: str) -> str:
    """One dot a set of branches kept: how many across, how sure of the whole network's answer up."""
    count = lesions.blocks
    step = 240 / count
    totals = [math.comb(count, k) for k in range(count + 1)]
    seen = [0] * (count + 1)
    dots = []
    for kept, sure in enumerate(lesions.paths):
        length = kept.bit_count()
        spread = (seen[length] - (totals[length] - 1) / 2) * min(3.2, 0.75 * step / max(totals))
        seen[length] += 1
        names = ", ".join(str(i + 1) for i in range(count) if kept >> i & 1) or say("none")
        told = say(
            "branches kept: {names}; {label} {percent} %",
            names=names,
            label=label,
            percent=f"{100 * sure:.1f}",
        )
        dots.append(
            f'<circle cx="{44 + length * step + spread:.1f}" cy="{150 - 140 * sure:.1f}" r="{3.4 if count < 6 else 2}">'
            f"<title>{told}</title></circle>"
        )
    grid = "".join(
        f'<line x1="26" x2="310" y1="{y}" y2="{y}"/><text x="22" y="{y + 4}" text-anchor="end">{text}</text>'
        for y, text in ((10, "100"), (80, "50"), (150, "0 %"))
    )
    ticks = "".join(
        f'<text x="{44 + k * step}" y="168" text-anchor="middle">{k}</text>' for k in range(count + 1)
    )
    spoken = say(
        "Confidence in {label} for every set of residual branches, by number of branches kept", label=label
    )
    return (
        f'<svg class="paths" viewBox="-14 0 330 190" role="img" aria-label="{spoken}">{grid}{"".join(dots)}{ticks}'
        f'<text x="164" y="186" text-anchor="middle">{say("residual branches kept")}</text></svg>'
    )


def activation_html(run: Run | None) -> str:
    """Each place's share of the logit over the photo, at native resolution and smoothed; each channel's share."""
    if run is None or run.activation is None:
        return f'<p class="is-empty">{say("Where the answer comes from appears here.")}</p>'
    found = run.activation
    end = float(np.abs(found.places).max())
    ends = np.array([end], np.float32)
    picture = feature_maps.data_url(
        feature_maps.indexed_png(
            feature_maps.quantise(found.places[None], ends, signed=True)[0], feature_maps.DIVERGING
        )
    )
    photo = feature_maps.photo_url(run.photo)
    h, w = found.places.shape
    negative, positive = say("against"), say("for")
    if len(run.classes) == 2:
        negative, positive = (label_of(name) for name in run.classes)
    overlays = "".join(
        f'<figure><div class="overlay"><img src="{photo}" alt=""><img class="{kind}" src="{picture}" alt="{alt}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
        for kind, alt, caption in (
            ("native", say("Share of each place"), say("exact, {size} places", size=f"{h}×{w}")),
            (
                "smooth",
                say("Share of each place, smoothed"),
                say("smoothed, {size} → {pixels}", size=f"{h}×{w}", pixels=run.photo.shape[0]),
            ),
        )
    )
    order = np.argsort(-np.abs(found.channels))[:SHARES_SHOWN]
    largest = float(np.abs(found.channels[order]).max(initial=0)) or 1.0
    rows = "".join(
        f'<div class="share"><span>{say("channel {channel}", channel=c)}</span><span class="both"><i class="{"up" if found.channels[c] > 0 else "down"}" '
        f'style="width:{50 * abs(float(found.channels[c])) / largest:.1f}%"></i></span>'
        f"<span>{significant(float(found.channels[c]))}</span></div>"
        for c in order
    )
    total = say(
        "all {count} channels {sum} + bias {bias} = logit <b>{logit}</b>",
        count=len(found.channels),
        sum=significant(found.logit - found.bias),
        bias=significant(found.bias),
        logit=significant(found.logit),
    )
    return (
        f'<div class="looks"><div class="overlays">{overlays}</div>'
        f'<section class="shares"><h4>{say("channels with the largest shares of the logit")}</h4>{rows}'
        f'<p class="sum">{total}</p></section></div>'
        f'<div class="legend looks-legend"><i style="background:{feature_maps.css_gradient(feature_maps.DIVERGING)}"></i>'
        f"<span>{escape(negative)} −{significant(end)}</span><span>0</span><span>{escape(positive)} {significant(end)}</span></div>"
        f'<label class="opacity">{say("strength of the colours")} <input type="range" min="0" max="1" step="0.05" '
        f'value="0.6" aria-label="{say(STRENGTH[run.sense])}"></label>'
    )


def read_gates(values: object, blocks: int) -> tuple[Gate, ...]:
    """Gates from what the page sent: ``[[residual, shortcut], …]``, one pair a block.

    Raises:
        ValueError: anything else, or a number outside 0..1.
    """
    if not isinstance(values, list) or len(values) != blocks:
        raise ValueError(later("one pair of numbers for each of {blocks} blocks is needed", blocks=blocks))
    try:
        return tuple(Gate(float(residual), float(shortcut)) for residual, shortcut in values)
    except TypeError as error:
        raise ValueError(later("a gate is a pair of numbers in 0..1")) from error
