"""Events that change one visitor's page run one after the other; those of others, and of the API, do not
wait. One address that floods leaves the cores to the others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from resnet_demo.page.fair_queue import ANNOUNCING, COMING_S, YIELD_S, FairQueue, make_fair
from resnet_demo.page.shares import Rates


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


class Crowd:
    """A queue whose addresses are known to its rates, and a clock that stands still."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue, self.now = queue, 100.0
        self.rates = Rates(clock=lambda: self.now)
        queue.others, queue.clock = self.rates.others, lambda: self.now

    def send(self, name: str, count: int = 1) -> None:
        """``count`` runs over the API from the address ``name``, each in a session of its own."""
        for i in range(count):
            self.rates.charge(name, 1)
            send(self.queue, PUBLIC, f"{name}{i}", name)

    def start(self) -> list[str]:
        """The addresses of what starts now."""
        return [session.rstrip("0123456789") for _, session in start(self.queue)]

    def finish(self, name: str) -> None:
        """Whatever is under way of ``name`` is done."""
        for job in [job for job in self.queue.active_jobs if job and job[0].session_hash.startswith(name)]:
            self.queue.active_jobs.remove(job)
            self.queue.event_queue_per_concurrency_id["run"].current_concurrency -= 1


def test_a_flood_has_one_run_under_way_and_none_beside_a_visitors(queue: FairQueue) -> None:
    crowd = Crowd(queue)
    crowd.rates.charge("visitor", 1)
    crowd.send("flood", 40)
    assert crowd.start() == ["flood"]  # the cores are free, but somebody else is there
    crowd.send("visitor")
    assert crowd.start() == ["visitor"]  # at once, beside what was under way already
    crowd.finish("flood")
    assert crowd.start() == []
    crowd.finish("visitor")
    assert crowd.start() == ["flood"]


def test_a_flood_lets_a_photo_that_is_being_sent_go_first(queue: FairQueue) -> None:
    crowd = Crowd(queue)
    crowd.rates.charge("visitor", 1)
    crowd.send("flood", 40)
    assert crowd.start() == ["flood"]
    queue.announce("visitor")
    crowd.finish("flood")
    assert crowd.start() == []
    crowd.send("visitor")
    assert crowd.start() == ["visitor"]
    crowd.finish("visitor")
    assert crowd.start() == ["flood"]


def test_who_announces_and_does_not_come_holds_nobody_up_for_long(queue: FairQueue) -> None:
    crowd = Crowd(queue)
    crowd.rates.charge("visitor", 1)
    crowd.send("school", 40)
    assert crowd.start() == ["school"]
    for _ in range(9):
        queue.announce("visitor")
        crowd.finish("school")
        crowd.now += COMING_S  # of all that is announced in ANNOUNCED_S only the first counts
        assert crowd.start() == ["school"]
    for number in range(2 * ANNOUNCING):
        queue.announce(f"192.0.2.{number}")
    assert len(queue._coming) == ANNOUNCING


def test_a_line_does_not_wait_for_ever_nor_for_another_line(queue: FairQueue) -> None:
    crowd = Crowd(queue)
    crowd.send("visitor")
    crowd.send("school", 20)
    assert crowd.start() == ["visitor", "school"]
    crowd.finish("school")
    assert crowd.start() == []
    crowd.now += YIELD_S
    assert crowd.start() == ["school"]
    crowd.finish("school")
    crowd.finish("visitor")
    crowd.send("college", 20)
    assert sorted(crowd.start()) == ["college", "school"]
    crowd.finish("school")
    assert crowd.start() == ["school"]


def test_eight_clients_are_under_way_together(queue: FairQueue) -> None:
    """As many as share one pass: a class behind one address while it is alone, or visitors from anywhere."""
    crowd = Crowd(queue)
    crowd.send("school", 12)
    assert crowd.start() == ["school"] * 8
    crowd.finish("school")
    crowd.finish("school")
    names = [f"visitor {letter}" for letter in "abcdefgh"]
    for name in names:
        crowd.send(name, 3)
    queue.event_queue_per_concurrency_id["run"].queue[:4] = []  # the school has gone
    assert sorted(crowd.start()) == names
    crowd.finish(names[0])
    assert crowd.start() == names[:1]
