"""The walkthrough finds every element it names, and the same steps give the same pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Error

from resnet_demo.lesson import SHIPPED, LessonError, read_lesson
from resnet_demo.tools import walkthrough
from resnet_demo.tools.walkthrough import WalkthroughError, walk


def walked(steps: Path, out: Path, server: str) -> list[str]:
    try:
        return walk(steps, out, server)
    except Error as error:
        if "Executable doesn't exist" in str(error):
            pytest.skip("no Chrome or Chromium is installed")
        raise


@pytest.mark.timeout(600)
def test_the_lesson_that_ships_can_be_walked_twice_with_the_same_pictures(
    server: str, tmp_path: Path
) -> None:
    names = walked(SHIPPED, tmp_path / "one", server)
    assert walked(SHIPPED, tmp_path / "two", server) == names
    lesson = read_lesson(SHIPPED)
    title, steps = lesson.title, lesson.steps
    assert len(names) == len(steps)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    page = (tmp_path / "one" / "README.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {title}\n")
    assert all(f"]({name})" in page and step.caption in page for name, step in zip(names, steps, strict=True))


def test_a_step_that_finds_nothing_is_named(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walkthrough, "WAIT_MS", 6000)  # for the page itself, too
    lesson = tmp_path / "lesson.yaml"
    lesson.write_text("title: x\nsteps:\n  - {title: Gone, caption: c, do: [{click: '#no-such-thing'}]}\n")
    with pytest.raises(WalkthroughError, match="Step 1, “Gone”, failed"):
        walked(lesson, tmp_path / "out", server)


@pytest.mark.parametrize(
    "text",
    ["", "[", "title: x", "title: x\nsteps: 3", "title: x\nsteps: [{title: t}]", "title: x\nsteps: [1]"],
)
def test_what_is_no_lesson_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "lesson.yaml").write_text(text)
    with pytest.raises(LessonError, match=r"lesson\.yaml is not a list of steps"):
        read_lesson(tmp_path / "lesson.yaml")


def test_an_unknown_action_is_named(tmp_path: Path) -> None:
    (tmp_path / "lesson.yaml").write_text("title: x\nsteps: [{title: t, caption: c, do: [{dance: now}]}]")
    with pytest.raises(LessonError, match=r"Step 1 of lesson\.yaml says 'dance'; a step can click"):
        read_lesson(tmp_path / "lesson.yaml")
