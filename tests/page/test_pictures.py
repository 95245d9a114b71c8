"""What an answer of the page takes on the wire: its characters, and the pictures that they name."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import draw_photo
from markup import read
from PIL import Image
from strangers import ask

from resnet_demo.drawing.pictures import FOLDER
from resnet_demo.tools.app_process import Visitor

BEFORE = 729_650  # characters of the same answer when every panel was drawn, with its pictures in base64
ADDRESS = re.compile(rf"{FOLDER}[0-9a-f]{{32}}")


@dataclass(frozen=True)
class Answer:
    """What the page's own event answered: the text that each component gets."""

    texts: list[str]

    @property
    def characters(self) -> int:
        return sum(map(len, self.texts))

    @property
    def addresses(self) -> list[str]:
        return [address for text in self.texts for address in ADDRESS.findall(text)]


def given(server: str, photo: bytes) -> Answer:
    """The answer to a photo on a page that has just been opened: the event that a browser would send."""
    visitor = Visitor(server)
    config = json.loads(visitor.request("GET", "/config")[1])
    components = {component["id"]: component for component in config["components"]}
    photo_id = next(i for i, c in components.items() if c["props"].get("elem_id") == "photo")
    event = next(
        d for d in config["dependencies"] if [photo_id, "change"] in d["targets"] and d["backend_fn"]
    )
    values: dict[int, Any] = {
        i: c["props"].get("value") for i, c in components.items() if c["type"] != "state"
    }
    values[photo_id] = {"path": visitor.upload(photo), "meta": {"_type": "gradio.FileData"}}
    body = {
        "data": [values.get(i) for i in event["inputs"]],
        "fn_index": event["id"],
        "trigger_id": photo_id,
        "session_hash": visitor.session,
    }
    status, told = visitor.request(
        "POST", "/gradio_api/queue/join", json.dumps(body).encode(), "application/json"
    )
    assert status == 200, told
    _, stream = visitor.request("GET", f"/gradio_api/queue/data?session_hash={visitor.session}")
    messages = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    done = next(m for m in messages if m["msg"] == "process_completed")
    assert done["success"], done
    return Answer([text for output in done["output"]["data"] for text in texts_of(output)])


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts_of(part)


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    draw_photo(seed).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def answer(server: str) -> Answer:
    return given(server, jpeg(1))


def fetched(server: str, address: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    return ask(urlsplit(server).netloc, method, f"/{address}")


def test_an_answer_with_the_first_panel_open_is_short(server: str, answer: Answer) -> None:
    """The bound is on characters; with the pictures that the browser fetches for them it holds as well."""
    pictures = sum(len(fetched(server, address)[1]) for address in set(answer.addresses))
    print(f"{answer.characters} characters, {len(set(answer.addresses))} pictures of {pictures} bytes")
    assert "data:image" not in "".join(answer.texts)
    assert answer.characters <= 0.55 * BEFORE
    assert answer.characters + pictures <= 0.6 * BEFORE


def test_the_answer_is_whole(answer: Answer) -> None:
    """A short answer is no achievement if something is missing."""
    shown = read("".join(text for text in answer.texts if "<" in text))
    assert len(shown.all("button", "cell")) == 5
    assert [len(stream.all("button", "tile")) for stream in shown.all("section", "stream")] == [16] * 4
    assert len(answer.addresses) == 12  # photo twice, a map a block, what the block adds, four sheets


def test_every_picture_is_there_and_sent_once(server: str, answer: Answer) -> None:
    contents = []
    for address in set(answer.addresses):
        status, png, told = fetched(server, address)
        assert (status, told["content-type"]) == (200, "image/png")
        with Image.open(io.BytesIO(png)) as picture:
            picture.load()
            assert picture.format == "PNG"
        contents.append(png)
    assert len(set(contents)) == len(contents) == len(answer.addresses) - 1  # the photo is shown twice


def test_no_cache_between_keeps_a_visitors_picture(server: str, answer: Answer) -> None:
    for method in ("GET", "HEAD"):
        status, _, told = fetched(server, answer.addresses[0], method)
        assert status == 200
        assert told["cache-control"] == "private, max-age=3600, immutable"
        assert told["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in told


def test_the_same_picture_has_the_same_address_in_the_next_answer(server: str, answer: Answer) -> None:
    assert given(server, jpeg(1)).addresses == answer.addresses
    assert not set(given(server, jpeg(2)).addresses) & set(answer.addresses)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0" * 32,
        "0" * 31,
        "0" * 33,
        "G" * 32,
        "..%2f..%2fapp.py",
        "../app.py",
        "%2e%2e/app.py",
        "*",
        "0" * 32 + "/",
    ],
)
def test_a_name_that_nobody_was_told_is_no_picture(server: str, answer: Answer, name: str) -> None:
    status, body, told = fetched(server, FOLDER + name)
    assert status == 404
    assert not body.startswith(b"\x89PNG") and "max-age" not in told.get("cache-control", "")


def test_a_name_nearly_right_is_no_picture(server: str, answer: Answer) -> None:
    address = answer.addresses[0]
    for place in range(len(FOLDER), len(address)):
        other = f"{int(address[place], 16) ^ 1:x}"
        assert fetched(server, address[:place] + other + address[place + 1 :])[0] == 404
    assert fetched(server, address.upper().replace(FOLDER.upper(), FOLDER))[0] == 404


def test_the_name_is_no_hash_that_the_photo_alone_gives(server: str, answer: Answer) -> None:
    for address in set(answer.addresses):
        png, name = fetched(server, address)[1], address.removeprefix(FOLDER)
        assert not any(
            hashlib.new(kind, png).hexdigest().startswith(name) for kind in ("md5", "sha256", "blake2s")
        )
        assert hashlib.blake2b(png, digest_size=16).hexdigest() != name


def test_pictures_are_for_reading(server: str, answer: Answer) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert fetched(server, answer.addresses[0], method)[0] in (404, 405)
