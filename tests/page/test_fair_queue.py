"""Events that change one visitor's page run one after the other; those of others, and of the API, do not
wait."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from resnet_demo.page.fair_queue import FairQueue, make_fair


@pytest.fixture
def queue() -> FairQueue:
    """A fair queue of a page with one private event in each group, and a public one."""
    with gr.Blocks() as demo:
        box, button = gr.Textbox(), gr.Button()
        for group, visibility in (
            ("run", "private"),
            ("draw", "private"),
            ("study", "private"),
            ("run", "public"),
        ):
            button.click(
                lambda text: text,
                box,
                box,
                concurrency_id=group,
                concurrency_limit=8,
                api_visibility=visibility,  # type: ignore[arg-type]
            )
    return make_fair(demo, 8, 64)


RUN, DRAW, STUDY, PUBLIC = range(4)


def send(queue: FairQueue, event: int, session: str, address: str = "192.0.2.1") -> None:
    from gradio.data_classes import PredictBodyInternal

    body = PredictBodyInternal(fn_index=event, data=[""], session_hash=session)
    request: Any = SimpleNamespace(client=SimpleNamespace(host=address), headers={})
    taken = asyncio.run(queue.push(body, request, None))
    assert taken[0], taken


def start(queue: FairQueue) -> list[tuple[int, str]]:
    """What starts now, as (event, session), until nothing more may."""
    started = []
    while found := queue.get_events():
        (event,), _, group = found
        queue.active_jobs.append([event])
        queue.event_queue_per_concurrency_id[group].current_concurrency += 1
        started.append((event.fn._id, event.session_hash))
    return started


def finish(queue: FairQueue) -> None:
    for job in queue.active_jobs:
        for event in job or []:
            queue.event_queue_per_concurrency_id[event.concurrency_id].current_concurrency -= 1
    queue.active_jobs.clear()


def test_a_panel_that_is_opened_waits_for_the_run_and_a_block_for_the_panel(queue: FairQueue) -> None:
    send(queue, RUN, "a")
    send(queue, DRAW, "a")
    send(queue, DRAW, "a")
    assert start(queue) == [(RUN, "a")]
    finish(queue)
    assert start(queue) == [(DRAW, "a")]
    finish(queue)
    assert start(queue) == [(DRAW, "a")]


def test_nobody_waits_for_another_visitors_page(queue: FairQueue) -> None:
    send(queue, RUN, "a")
    send(queue, DRAW, "b")
    send(queue, STUDY, "a")
    assert sorted(start(queue)) == [(RUN, "a"), (DRAW, "b"), (STUDY, "a")]


def test_requests_of_the_api_run_beside_each_other(queue: FairQueue) -> None:
    send(queue, PUBLIC, "a")
    send(queue, PUBLIC, "a")
    assert start(queue) == [(PUBLIC, "a"), (PUBLIC, "a")]
