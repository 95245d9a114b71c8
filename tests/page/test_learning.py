"""The chapter on learning in a real browser: press, watch, change the depth, stop, draw, look inside."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
from test_browser import WAIT, Browser, Page, browser, expect, page  # noqa: F401 - fixtures

from resnet_demo.page import layout
from resnet_demo.panels.learn.training import training_queue

TRAINED = 120_000  # milliseconds; a race of few blocks, on a machine that is busy


def opened(tab: Page, panel: str) -> None:
    tab.goto(f"{tab.url.split('?')[0]}?panel={panel}")
    expect(tab.locator(f"#{panel} .race, #{panel} .learned").first).to_be_visible(timeout=WAIT)


def set_range(tab: Page, selector: str, value: int) -> None:
    tab.locator(selector).evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )


def points(tab: Page, chart: str) -> list[int]:
    """How many points each curve of a chart has."""
    found = tab.locator(f"{chart} polyline").evaluate_all("all => all.map(e => e.getAttribute('points'))")
    return [len(text.split()) for text in found]


def train(tab: Page, panel: str, steps: int | None = None, blocks: int | None = None) -> None:
    if steps is not None:
        if not tab.locator(f"#{panel} .race-more").evaluate("e => e.open"):
            tab.click(f"#{panel} .race-more summary")
        tab.fill(f"#{panel} .race-steps", str(steps))
    if blocks is not None:
        set_range(tab, f"#{panel} .race-depth input", blocks)
    tab.click(f"#{panel} .race-train")


def test_the_race_is_pressed_watched_and_asked_about_a_drawn_digit(page: Page) -> None:  # noqa: F811
    opened(page, "race")
    expect(page.locator("#race .race-said")).to_contain_text("A stored race of 20 blocks", timeout=WAIT)
    assert points(page, "#race .race-loss") == [80, 80]
    rows = page.locator("#race .race-table tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("10 of 10")
    expect(page.locator("#race .race-depth output")).to_have_text("20")

    page.check("#race input[value=residual]")
    train(page, "race", steps=40, blocks=6)
    expect(page.locator("#race .race-depth output")).to_have_text("6")
    said = page.locator("#race .race-said")
    expect(said).to_contain_text("Step", timeout=TRAINED)
    expect(page.locator("#race .race-stop")).to_be_enabled()
    expect(page.locator("#race .race")).to_have_attribute("data-state", "over", timeout=TRAINED)
    expect(said).to_contain_text("After 40 steps and 6 blocks: with shortcuts")
    expect(said).to_contain_text(re.compile("As you said|You said otherwise"))
    assert points(page, "#race .race-loss") == [40, 40]
    assert points(page, "#race .race-gradient") == [6, 6]
    answers = page.locator("#race .race-row span").all_text_contents()
    assert len(answers) == 20 and all(re.fullmatch(r"\d [✓✗]", answer) for answer in answers)

    pad = page.locator("#race .race-draw canvas").first
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 96, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 98, box["y"] + 160, steps=8)
    page.mouse.up()
    lines = page.locator("#race .race-answers p")
    expect(lines).to_have_count(2, timeout=WAIT)
    expect(lines.first).to_contain_text(re.compile(r"with shortcuts: \d, \d+ % sure"))
    expect(lines.last).to_contain_text(re.compile(r"without shortcuts: \d, \d+ % sure"))
    page.click("#race .race-wipe")
    expect(lines).to_have_count(0)


def test_a_race_is_stopped_and_another_depth_begins_anew(page: Page) -> None:  # noqa: F811
    opened(page, "race")
    train(page, "race", steps=400, blocks=30)
    expect(page.locator("#race .race-said")).to_contain_text("Step", timeout=TRAINED)
    page.click("#race .race-stop")
    expect(page.locator("#race .race")).to_have_attribute("data-state", "over", timeout=TRAINED)
    found = re.search(r"After (\d+) steps and 30 blocks", page.locator("#race .race-said").inner_text())
    assert found and 0 < int(found[1]) < 400
    train(page, "race", steps=5, blocks=2)
    expect(page.locator("#race .race-said")).to_contain_text("After 5 steps and 2 blocks", timeout=TRAINED)
    assert points(page, "#race .race-ratio") == [2, 2]


def test_a_training_process_is_begun_when_somebody_points_at_the_chapter(page: Page) -> None:  # noqa: F811
    told: list[str] = []
    page.on("request", lambda request: told.append(request.post_data or ""))
    training_queue().close()
    for chapter in ("cut", "learn", "cut", "learn"):
        page.hover(f"#chapter-{chapter}")
    until = time.monotonic() + WAIT / 1000
    while not training_queue().processes():
        assert time.monotonic() < until
        page.wait_for_timeout(50)
    assert len(training_queue().processes()) == 1
    assert sum('"soon"' in data and '"learn"' in data for data in told) == 1
    assert page.locator("#race").count() == 0  # before the panel is there


def test_a_page_that_is_open_has_a_training_process_made_ready(page: Page) -> None:  # noqa: F811
    training_queue().close()
    page.reload()
    until = time.monotonic() + WAIT / 1000
    while not training_queue().processes():
        assert time.monotonic() < until
        page.wait_for_timeout(50)


@pytest.mark.parametrize(("memory", "begun"), [(layout.PLENTY - 1, []), (layout.PLENTY, ["cut", "learn"])])
def test_only_where_memory_is_plenty(memory: int, begun: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def panel(chapter: str) -> SimpleNamespace:
        return SimpleNamespace(chapter=lambda: SimpleNamespace(id=chapter), soon=lambda: told.append(chapter))

    monkeypatch.setattr(layout, "memory_here", lambda: memory)
    laid_out: Any = SimpleNamespace(panels=[panel("cut"), panel("learn")])
    soon = layout.chapter_soon(laid_out)
    soon({})
    assert told == begun
    soon({"chapter": "learn"})
    assert told == [*begun, "learn"]


@pytest.mark.parametrize("panel", ["race", "identity"])
def test_a_press_before_the_stored_run_has_come_is_not_lost(page: Page, panel: str) -> None:  # noqa: F811
    held: dict[str, Any] = {}

    def hold(route: Any) -> None:
        asked = re.search(r'"(stored|news)"', route.request.post_data or "")
        if asked and asked[1] not in held:
            held[asked[1]] = route
        else:
            route.continue_()

    def wait_for(name: str) -> None:
        until = time.monotonic() + WAIT / 1000
        while name not in held:
            assert time.monotonic() < until
            page.wait_for_timeout(20)

    page.route(re.compile("component_server"), hold)
    opened(page, panel)
    wait_for("stored")
    train(page, panel, steps=6 if panel == "race" else None, blocks=2)
    wait_for("news")
    with page.expect_response(lambda response: '"stored"' in (response.request.post_data or "")) as stored:
        held["stored"].continue_()
    stored.value.finished()
    page.wait_for_timeout(100)
    held["news"].continue_()
    expect(page.locator(f"#{panel} .race")).to_have_attribute("data-state", "over", timeout=TRAINED)
    expect(page.locator(f"#{panel} .race-said")).not_to_contain_text("stored")


def test_the_first_points_are_drawn_within_a_second_of_the_press(page: Page) -> None:  # noqa: F811
    opened(page, "race")
    seconds = []
    for _ in range(4):  # the first press may come before the training process is ready
        page.wait_for_timeout(4000)
        page.evaluate("() => document.querySelector('#race .race-said').removeAttribute('data-step')")
        pressed = time.monotonic()
        page.click("#race .race-train")
        page.wait_for_function(
            "() => document.querySelector('#race .race').dataset.state === 'running' &&"
            " document.querySelector('#race .race-said').dataset.step < 20 &&"
            " document.querySelector('#race .race-loss polyline, #race .race-loss circle')",
            timeout=TRAINED,
        )
        seconds.append(time.monotonic() - pressed)
        page.click("#race .race-stop")
        expect(page.locator("#race .race")).to_have_attribute("data-state", "over", timeout=TRAINED)
        if seconds[-1] < 1:
            break
    assert min(seconds) < 1, seconds


def test_the_identity_is_given_back_and_a_block_comes_in_the_middle(page: Page) -> None:  # noqa: F811
    opened(page, "identity")
    said = page.locator("#identity .race-said")
    expect(said).to_contain_text("A stored run", timeout=WAIT)
    expect(said).to_contain_text("with shortcuts: error 0 % before the first step, 0 % after the last")
    expect(page.locator("#identity canvas")).to_have_count(30)
    train(page, "identity", blocks=3)
    expect(page.locator("#identity .race")).to_have_attribute("data-state", "over", timeout=TRAINED)
    expect(said).to_contain_text("3 blocks, 60 steps. with shortcuts: error 0 % before")
    expect(page.locator("#identity canvas")).to_have_count(30)

    page.click("#identity .identity-task label:nth-of-type(2)")
    expect(said).to_contain_text("28 % wrong before the block came, 28 % at once after it", timeout=WAIT)
    expect(page.locator("#identity .race-depth output")).to_have_text("5")
    page.click("#identity .race-more summary")
    page.select_option("#identity .identity-rival", "net2net")
    train(page, "identity", blocks=2)
    expect(page.locator("#identity .race")).to_have_attribute("data-state", "over", timeout=TRAINED)
    words = said.inner_text()
    came = re.findall(r"(\d+) % wrong before the block came, (\d+) % at once after it", words)
    assert len(came) == 2 and all(before == after for before, after in came), words
    assert page.locator("#identity .race-error line.mark").count() == 1


def test_the_papers_figure_is_moved_through_and_opens_a_network(page: Page) -> None:  # noqa: F811
    opened(page, "figure")
    rows = page.locator("#figure tr[data-network]")
    expect(rows).to_have_count(4)
    assert len(points(page, "#figure .figure6-chart")) == 8
    assert page.locator("#figure polyline.dashed").count() == 4
    last = rows.first.locator(".train").inner_text()
    set_range(page, "#figure .figure6-scrub input", 0)
    expect(rows.first.locator(".train")).not_to_have_text(last)
    expect(page.locator("#figure output")).to_have_text("390")
    chart = page.locator("#figure .figure6-chart")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 100)
    expect(rows.first.locator(".train")).to_have_text(last)
    # this server has another menu: what it does not offer has no button
    expect(page.locator("#figure button")).to_have_count(0)


def test_every_block_is_deleted_in_turn(page: Page) -> None:  # noqa: F811
    opened(page, "deletion")
    chart = page.locator("#deletion .deletion-chart svg")
    if page.locator("#deletion .lead").count() == 0:  # none was measured of the weights that ship
        expect(page.locator("#deletion")).to_contain_text("this was not measured")
        return
    expect(chart).to_have_count(1, timeout=WAIT)
    for layers, blocks in (("56", 27), ("20", 9)):
        choice = page.locator(f"#deletion input[value='{layers}']")
        if choice.count():
            choice.check()
            counts = points(page, "#deletion .deletion-chart")
            assert set(counts) == {blocks, 2} and counts.count(blocks) == counts.count(2)


def test_the_gradient_has_three_acts_at_every_depth(page: Page) -> None:  # noqa: F811
    opened(page, "acts")
    for depth in (50, 5):
        page.check(f"#acts input[value='{depth}']")
        assert points(page, "#acts [data-act=with_norms]") == [depth + 1]
        assert points(page, "#acts [data-act=residual]") == [depth + 1, depth + 1]
        assert points(page, "#acts [data-trace=plain]") == [256]
        assert points(page, "#acts [data-correlation]") == [16, 16, 16]
    expect(page.locator("#acts .acts-row p:visible")).to_have_count(3)


def test_what_grew_is_looked_into_and_cut_by_its_visitor_alone(
    page: Page,  # noqa: F811
    browser: Browser,  # noqa: F811
    server: str,
) -> None:
    opened(page, "race")
    train(page, "race", steps=20, blocks=3)
    expect(page.locator("#race .race")).to_have_attribute("data-state", "over", timeout=TRAINED)
    page.click("#race [data-look='plain inside']")
    expect(page.locator("#roadmap button.cell")).to_have_count(3, timeout=WAIT)
    expect(page.locator("#answer")).to_contain_text("You trained this network here, in 20 steps from seed 0")
    expect(page.locator("#network input")).to_have_value("without shortcuts, 3 blocks · yours")
    expect(page.locator("#tab-inside")).to_be_visible()
    answer = page.locator("#answer .class-row").first.inner_text()
    assert re.match(r"\d\s", answer)

    opened_again = page.locator("#panels [role=tab][data-tab-id=race]")
    page.click("#chapters [data-chapter=learn]")
    if opened_again.get_attribute("aria-selected") != "true":
        opened_again.click()
    page.click("#race [data-look='residual off']")
    expect(page.locator("#network input")).to_have_value("with shortcuts, 3 blocks · yours", timeout=WAIT)
    expect(page.locator("#gates fieldset")).to_have_count(3, timeout=WAIT)
    expect(page.locator("#lesions .knock.branch .class-row")).to_have_count(3, timeout=WAIT)

    other = browser.new_context().new_page()
    other.goto(f"{server}/?example=none")
    other.wait_for_function("() => document.querySelector('#network input') && window.gradio_config")
    other.wait_for_timeout(1000)
    other.click("#network input")
    expect(other.locator("#network [role=option]").first).to_be_visible(timeout=WAIT)
    assert not any("yours" in text for text in other.locator("#network [role=option]").all_text_contents())
    other.context.close()
