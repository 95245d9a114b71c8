"""What the page says about a run besides pictures: the answer, where it ran, the shape trace. HTML only."""

from __future__ import annotations

from html import escape

from resnet_demo.i18n import known, label_of, say
from resnet_demo.modalities import modality_named
from resnet_demo.records import Run


def answer_html(run: Run | None, knows: str, modality: str = "photo") -> str:
    """The prediction with its confidence, and ``knows``: what the network has ever seen, or heard."""
    if run is None:
        return (
            f'<div class="answer is-empty"><p class="invite">{say(modality_named(modality).invitation)}</p>'
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
        modality_named(run.modality).spent,
        prepare=f"{run.timings.prepare:.1f}",
        forward=f"{run.timings.forward:.1f}",
        total=f"{run.timings.total:.1f}",
    )
    where = say("on {device}", device=escape(run.device))
    return (
        f'<div class="status" title="{title}">{where} · <b class="clock">{run.timings.total:.0f} ms</b></div>'
    )
