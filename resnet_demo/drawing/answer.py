"""What the page says about a run besides pictures: the answer, where it ran, the shape trace. HTML only."""

from __future__ import annotations

from html import escape

from resnet_demo.drawing.road_map import block_title, shape_text, significant
from resnet_demo.i18n import grouped, known, label_of, later, say
from resnet_demo.records import LayerTrace, Run

INPUT = later("input")  # the one line of a trace that is not a layer

INVITE_PHOTO = later("Drop a photo on the left, paste one, use the camera, or take an example.")
INVITE_SOUND = later("This network listens: record a sound or take an example in the panel “Sound” below.")
SPENT = {
    "photo": later("photo to tensor {prepare} ms, network with capture {forward} ms, all {total} ms"),
    "sound": later("sound to tensor {prepare} ms, network with capture {forward} ms, all {total} ms"),
}


def answer_html(run: Run | None, knows: str, hears: bool = False) -> str:
    """The prediction with its confidence, and ``knows``: what the network has ever seen, or heard."""
    if run is None:
        invitation = INVITE_SOUND if hears else INVITE_PHOTO
        return (
            f'<div class="answer is-empty"><p class="invite">{say(invitation)}</p>'
            f'<p class="knows">{escape(known(knows))}</p></div>'
        )
    rows = "".join(
        f'<div class="class-row"><span class="label">{escape(label_of(c.label))}</span>'
        f'<span class="bar" aria-hidden="true"><i style="width:{100 * c.confidence:.2f}%"></i></span>'
        f'<span class="percent">{100 * c.confidence:.1f} %</span></div>'
        for c in run.prediction.confidences
    )
    turned = say("Some branches are turned down: see “Switch it off”.") if run.gates else ""
    sentences = [known(run.notice), turned]
    notice = "".join(f'<p class="notice" role="status">{escape(s)}</p>' for s in sentences if s)
    return f'<div class="answer"><div class="classes">{rows}</div><p class="knows">{escape(known(knows))}</p>{notice}</div>'


def status_html(run: Run | None, device: str) -> str:
    """Where and how fast: "on CPU · 31 ms"."""
    if run is None:
        return (
            f'<div class="status">{say("on {device}", device=escape(device))}</div>'
            if device
            else '<div class="status"></div>'
        )
    title = say(
        SPENT[run.sense],
        prepare=f"{run.timings.prepare:.1f}",
        forward=f"{run.timings.forward:.1f}",
        total=f"{run.timings.total:.1f}",
    )
    where = say("on {device}", device=escape(run.device))
    return (
        f'<div class="status" title="{title}">{where} · <b class="clock">{run.timings.total:.0f} ms</b></div>'
    )


def trace_html(trace: tuple[LayerTrace, ...], block_names: tuple[str, ...] = ()) -> str:
    """The shape trace as a table: output shape, parameters, FLOPs, milliseconds."""
    if not trace:
        empty = say("The shape of everything that travels through the network appears here.")
        return f'<p class="trace is-empty">{empty}</p>'
    names = {name: block_title(i) for i, name in enumerate(block_names)}
    rows = []
    for line in trace:
        ms = "" if line.milliseconds is None else significant(line.milliseconds)
        name, kind = (say(w) if line.name == INPUT else w for w in (line.name, line.kind))
        shown = f"{names[line.name]} <small>{escape(name)}</small>" if line.name in names else escape(name)
        rows.append(
            f"<tr><th scope='row'>{shown}</th><td>{escape(kind)}</td><td>{shape_text(line.shape)}</td>"
            f"<td>{grouped(line.parameters)}</td><td>{_flops(line.flops)}</td><td class='clock'>{ms}</td></tr>"
        )
    total_ms = sum(line.milliseconds or 0 for line in trace)
    total = (
        f"<tr class='total'><th scope='row'>{say('all')}</th><td></td><td></td><td>{grouped(sum(t.parameters for t in trace))}</td>"
        f"<td>{_flops(sum(t.flops for t in trace))}</td><td class='clock'>{significant(total_ms)}</td></tr>"
    )
    caption = say(
        "Output of each layer for one photo (channels × height × width). A FLOP count takes a multiply-add as two; "
        "norms, pools and activations are left out."
    )
    return (
        f"<table class='trace'><caption>{caption}</caption><thead><tr><th>{say('layer')}</th><th>{say('kind')}</th>"
        f"<th>{say('output')}</th><th>{say('parameters')}</th><th>FLOPs</th><th>ms</th></tr></thead>"
        f"<tbody>{''.join(rows)}{total}</tbody></table>"
    )


def _flops(flops: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if flops >= size:
            return f"{significant(flops / size, 3)} {unit}"
    return str(flops)
