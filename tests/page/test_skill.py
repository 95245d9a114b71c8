"""What agents are told of the API is true: served, and its code runs against the real endpoints."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
import yaml
from conftest import draw_photo
from gradio_client import Client, handle_file


@pytest.fixture(scope="module")
def skill(server: str) -> str:
    with urllib.request.urlopen(server + "/SKILL.md", timeout=30) as response:
        assert response.headers["content-type"].startswith("text/plain")
        return str(response.read().decode())


def test_it_is_served_and_short(skill: str, server: str) -> None:
    with urllib.request.urlopen(server + "/llms.txt", timeout=30) as response:
        assert response.read().decode() == skill
    head = yaml.safe_load(skill.split("---")[1])
    assert head["name"] == "resnet-block-by-block" and len(head["description"]) < 300
    assert len(skill.split()) < 600


def test_every_endpoint_that_it_names_is_there(skill: str, server: str) -> None:
    offered = set(Client(server, verbose=False).view_api(return_format="dict")["named_endpoints"])
    named = set(re.findall(r'[`"](/[a-z_]+)[`"]', skill))
    assert len(named) >= 14
    assert named <= offered


def test_its_code_runs_as_it_stands(
    skill: str,
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    draw_photo(1).save("photo.jpg")
    files = [f"{seed}.png" for seed in range(10)]
    for seed, file in enumerate(files):
        draw_photo(seed, 60, 60).save(file)
    code = "\n".join(re.findall(r"```python\n(.*?)```", skill, re.DOTALL))
    assert code.count("client.predict") == 8
    code = code.replace("http://127.0.0.1:7860", server)
    exec(compile(code, "SKILL.md", "exec"), {"mugs": files[:5], "pens": files[5:]})
    said = capsys.readouterr().out
    assert "'accuracy'" in said and "mug" in said


def test_what_is_missing_is_said_to_programs_too(server: str, tmp_path: Path) -> None:
    from gradio_client.exceptions import AppError

    client = Client(server, verbose=False)
    draw_photo(1).save(tmp_path / "a.jpg")
    ticket = client.predict("test-net", api_name="/teach_begin")["teaching"]
    client.predict(handle_file(tmp_path / "a.jpg"), ticket, "mug", api_name="/teach_add")
    for call, sentence in (
        (lambda: client.predict(ticket, api_name="/teach_fit"), "At least 2 classes"),
        (lambda: client.predict("nobody", api_name="/teach_fit"), "put away"),
        (
            lambda: client.predict(handle_file(tmp_path / "a.jpg"), ticket, api_name="/teach_answer"),
            "Nothing has been taught",
        ),
    ):
        with pytest.raises(AppError, match=sentence):
            call()
