"""The wall: a decoder that dies, hangs or eats takes nobody else with it, and none outlives the program."""

from __future__ import annotations

import io
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from broken_decoders import ABORT, EAT, HANG, LIE, SPIN, command
from conftest import draw_photo

from resnet_demo.i18n import Sentence, say, speaking
from resnet_demo.inputs import decoder, decoding
from resnet_demo.inputs.decoder_pool import DecoderDiedError, DecoderPool, NoDecoderError
from resnet_demo.inputs.errors import PhotoError, SoundError
from resnet_demo.inputs.photo_decoding import open_photo
from resnet_demo.inputs.preprocessing import read_photo
from resnet_demo.inputs.sound_decoding import open_sound
from resnet_demo.inputs.synthetic_sounds import sound, wav_bytes
from resnet_demo.records import Preprocessing

ROOT = Path(__file__).resolve().parents[2]
LINUX = Path("/proc/self/stat").exists()
CARD = Preprocessing(size=60)


def jpeg(seed: int, width: int = 320, height: int = 240) -> bytes:
    buffer = io.BytesIO()
    draw_photo(seed, width, height).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def well_said(error: Exception) -> str:
    message = str(error)
    assert 20 < len(message) <= 200 and message.endswith(".") and message.count(". ") == 0, message
    assert "please" in message and "Error" not in message and "/" not in message
    return message


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[DecoderPool]:
    """The decoders of this process break when a file asks for it, and are given two seconds a file."""
    pool = DecoderPool(arguments=command(), seconds=2.0)
    monkeypatch.setattr(decoding, "pool", lambda: pool)
    yield pool
    pool.close()


# ---------------------------------------------------------------- the same answers


def test_the_other_process_gives_the_same_pixels_and_samples(tmp_path: Path) -> None:
    data = jpeg(1, 1600, 1200)
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for size in (60, 224):
        card = Preprocessing(size=size)
        expected = read_photo(data, card)
        for source in (data, path, str(path), io.BytesIO(data)):
            found = decoding.decode_photo(source, card)
            assert np.array_equal(found, expected) and found.notice == ""
            found[:] = 0  # writable, and nobody else's
    assert decoding.decode_picture(data) == open_photo(data)
    wav = wav_bytes(sound("siren", 1))
    assert np.array_equal(decoding.decode_sound(wav), open_sound(wav))


@pytest.mark.parametrize("data", [b"", b"no photo", jpeg(1)[:3000], b"\0" * 10_000_001], ids=range(4))
def test_a_bad_file_gets_the_same_sentence_in_every_language(data: bytes) -> None:
    with pytest.raises(PhotoError) as there:
        decoding.decode_photo(data, CARD)
    with pytest.raises(PhotoError) as here:
        read_photo(data, CARD)
    assert well_said(there.value) == str(here.value)
    with speaking("es"):
        assert say(there.value.args[0]) == say(here.value.args[0]) != str(here.value)
    with pytest.raises(SoundError) as there_too:
        decoding.decode_sound(data)
    with pytest.raises(SoundError) as here_too:
        open_sound(data)
    assert str(there_too.value) == str(here_too.value)


# ---------------------------------------------------------------- one that breaks


def refused(data: bytes) -> str:
    with pytest.raises(PhotoError) as caught:
        decoding.decode_photo(data, CARD)
    return well_said(caught.value)


def test_one_that_breaks_gives_its_visitor_a_sentence_and_another_takes_its_place(
    broken: DecoderPool,
) -> None:
    expected = read_photo(jpeg(1), CARD)
    for word, said in ((ABORT, "broke"), (HANG, "too long"), (SPIN, "too long"), (LIE, "broke")):
        assert said in refused(word), word
        assert np.array_equal(decoding.decode_photo(jpeg(1), CARD), expected), word
    with pytest.raises(SoundError, match="broke the program"):
        decoding.decode_sound(ABORT)


@pytest.mark.skipif(not LINUX, reason="only Linux limits the memory of a process")
def test_one_that_eats_memory_is_stopped(broken: DecoderPool) -> None:
    started = time.monotonic()
    refused(EAT)
    assert time.monotonic() - started < 5
    assert np.array_equal(decoding.decode_photo(jpeg(1), CARD), read_photo(jpeg(1), CARD))


@pytest.mark.skipif(not LINUX, reason="only Linux limits the memory of a process")
def test_the_limits_are_those_of_the_real_decoder() -> None:
    decoding.decode_photo(jpeg(1), CARD)
    for pid in decoding.pool().processes():
        limits = Path(f"/proc/{pid}/limits").read_text()
        rows = {line[:25].strip(): line[25:].split()[0] for line in limits.splitlines()[1:]}
        assert decoder.MEMORY < int(rows["Max address space"]) < 4e9
        assert rows["Max file size"] == rows["Max core file size"] == "0"
        assert int(rows["Max cpu time"]) < 3600
        known = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"HOME=" not in known.replace(b"PYTHONHOME=", b"") and b"TOKEN" not in known


def test_two_hundred_requests_around_those_that_break(broken: DecoderPool) -> None:
    photos = [jpeg(seed) for seed in range(8)]
    expected = [read_photo(photo, CARD) for photo in photos]
    late: list[float] = []
    wrong: list[int] = []

    def good(i: int) -> None:
        started = time.monotonic()
        found = decoding.decode_photo(photos[i % 8], CARD)
        late.append(time.monotonic() - started)
        if not np.array_equal(found, expected[i % 8]):
            wrong.append(i)

    def bad(word: bytes) -> None:
        with pytest.raises(PhotoError):
            decoding.decode_photo(word, CARD)

    good(0)
    with ThreadPoolExecutor(12) as visitors:
        asked = []
        for i in range(200):
            if i % 20 == 5:
                asked.append(visitors.submit(bad, (ABORT, HANG, SPIN, EAT)[i // 20 % 4]))
            asked.append(visitors.submit(good, i))
        for one in asked:
            one.result(120)
    print(
        f"200 photos around 10 that break: median {statistics.median(late) * 1e3:.1f} ms, "
        f"slowest {max(late):.2f} s"
    )
    assert not wrong and len(late) == 201
    assert max(late) < 3.0 + statistics.median(late)
    assert len(broken.processes()) <= broken.seats


def lossless_jpeg() -> bytes | None:
    """The file that ended the server, where it is at hand."""
    path = ROOT.parent / "shared" / "badimages" / "reported" / "lossless-8bit.jpg"
    return path.read_bytes() if path.is_file() else None


def test_the_file_that_ended_the_server_ends_a_decoder_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    data = lossless_jpeg()
    if data is None:
        pytest.skip("needs ../shared/badimages")
    pool = DecoderPool(arguments=command("draft everything"))
    monkeypatch.setattr(decoding, "pool", lambda: pool)
    died = 0
    for i in range(6):
        try:
            decoding.decode_photo(data, Preprocessing(size=100))
        except PhotoError as error:
            died += "broke the program" in well_said(error)
        good = jpeg(i)
        assert np.array_equal(decoding.decode_photo(good, CARD), read_photo(good, CARD))
    pool.close()
    assert died  # or this is not the file, or not the fault


# ---------------------------------------------------------------- where none can be started


@pytest.mark.parametrize(
    "arguments", [command("never ready"), ["/no/such/program"], [""]], ids=["ends", "none", "''"]
)
def test_where_none_can_be_started_files_are_opened_here_and_the_log_says_so_once(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = DecoderPool(arguments=arguments)
    monkeypatch.setattr(decoding, "pool", lambda: pool)
    decoding._say_once.cache_clear()
    with pytest.raises(NoDecoderError):
        pool.ask({"task": "pixels"}, b"")
    for i in range(3):
        assert np.array_equal(decoding.decode_photo(jpeg(i), CARD), read_photo(jpeg(i), CARD))
    refused(b"no photo")
    said = [record.message for record in caplog.records if "in this process" in record.message]
    assert len(set(said)) == len(said) == 1


def test_a_system_that_can_start_them_never_opens_files_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whoever uses up its processes would have brought the wall down."""
    pool = DecoderPool()
    monkeypatch.setattr(decoding, "pool", lambda: pool)
    decoding.decode_photo(jpeg(1), CARD)
    pool.close()
    pool.arguments = command("never ready")
    assert "try again" in refused(jpeg(1))
    pool.arguments = ["/no/such/program"]
    assert "try again" in refused(jpeg(1))


def test_one_that_the_system_ended_between_two_photos_is_replaced_unnoticed() -> None:
    pool = DecoderPool(1)
    request = {"task": "nothing"}
    assert pool.ask(request, b"")[0]["failed"] == "KeyError"
    for _ in range(3):
        (pid,) = pool.processes()
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        assert gone([pid], 5) or not LINUX
        assert pool.ask(request, b"")[0]["failed"] == "KeyError"
        assert pool.processes() != [pid]
    pool.close()


def test_as_many_work_as_there_are_seats() -> None:
    pool = DecoderPool(2)
    with ThreadPoolExecutor(8) as visitors:
        list(visitors.map(lambda i: pool.ask({"task": "nothing"}, jpeg(i % 3)), range(60)))
    assert 1 <= len(pool.processes()) <= 2
    pool.close()
    assert pool.processes() == []


# ---------------------------------------------------------------- what is believed


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {"pattern": "the {a} of {b}", "values": {"a": 1, "b": {"pattern": "photo", "values": {}}}},
            "the 1 of photo",
        ),
        ({"pattern": "plain", "values": {}}, "plain"),
        ("{a}", "{a}"),
        ({"pattern": "{a.__class__}", "values": {"a": 1}}, None),
        ({"pattern": "{a[0]}", "values": {"a": "xy"}}, None),
        ({"pattern": "{a:>999999999}", "values": {"a": "xy"}}, None),
        ({"pattern": "{a!r}", "values": {"a": "xy"}}, None),
        ({"pattern": "{b}", "values": {"a": 1}}, None),
        ({"pattern": "{", "values": {"a": 1}}, None),
        ({"pattern": 7}, None),
        ([], None),
        (None, None),
    ],
)
def test_a_sentence_out_of_a_decoder_is_plain_words(said: object, sentence: str | None) -> None:
    assert decoding.sentence_from(said) == sentence


def test_a_sentence_survives_the_way_through_the_pipe() -> None:
    inner = Sentence("over {number}", number=50)
    outer = Sentence("The photo has {megapixels} megapixels", megapixels=inner)
    back = decoding.sentence_from(decoder.as_json(outer))
    assert back == outer and back is not None and back.pattern == outer.pattern


@pytest.mark.parametrize(
    "message",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\x02[]",
        b"\0\0\0\x02{}",
        b'\0\0\0\x10{"bytes":999999999999}',
        b'\0\0\0\x0c{"bytes":-1}',
        b"\0\0\0\x05nojsn",
    ],
)
def test_an_answer_that_is_none_breaks_nothing(message: bytes) -> None:
    code = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); "
        "from resnet_demo.inputs.decoder import read, write; "
        f"write(1, {{'ready': 1}}); read(0); os.write(1, {message!r}); os.read(0, 1)"
    )
    pool = DecoderPool(arguments=[sys.executable, "-c", code], seconds=20)
    with pytest.raises(DecoderDiedError):
        pool.ask({"task": "pixels"}, b"123")
    pool.close()


# ---------------------------------------------------------------- however it is used

PROGRAM = """
import io, os, sys
from PIL import Image
from resnet_demo.inputs import decoding
from resnet_demo.records import Preprocessing
buffer = io.BytesIO()
Image.new("RGB", (90, 70), "red").save(buffer, "JPEG")
def ask():
    pixels = decoding.decode_photo(buffer.getvalue(), Preprocessing(size=20))
    return pixels.mean(axis=(0, 1)).round().tolist()
print(ask(), *decoding.pool().processes(), flush=True)
"""


def run(code: str, folder: Path, name: str = "script.py") -> subprocess.Popen[str]:
    """A script without ``if __name__``, started from another folder."""
    path = folder / name
    path.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, str(path)], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(not LINUX, reason="reads /proc")
@pytest.mark.parametrize("how", ["ends", "SIGINT", "SIGTERM", "SIGKILL", "os._exit"])
def test_no_decoder_outlives_the_program(how: str, tmp_path: Path) -> None:
    end = {"ends": "", "os._exit": "os._exit(0)"}.get(how, "import time; time.sleep(100)")
    process = run(PROGRAM + end, tmp_path)
    assert process.stdout is not None
    *colour, pid = process.stdout.readline().replace("]", "").replace("[", "").split()
    assert colour[0].startswith("25")
    if how.startswith("SIG"):
        process.send_signal(getattr(signal, how))
    process.wait(20)
    assert gone([int(pid)], 5)


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_one_that_hangs_ends_itself_when_its_program_was_killed(tmp_path: Path) -> None:
    hangs = f"""
import sys, threading, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import broken_decoders
from resnet_demo.inputs import decoding, decoder_pool
pool = decoder_pool.DecoderPool(arguments=broken_decoders.command())
threading.Thread(target=pool.ask, args=({{"task": "pixels"}}, broken_decoders.HANG), daemon=True).start()
while not any(decoder.ready for decoder in pool._busy):
    time.sleep(0.05)
print(*pool.processes(), flush=True)
time.sleep(1000)
"""
    process = run(hangs, tmp_path)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.wait(10)
    assert gone([pid], decoder.SECONDS + 8)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_has_decoders_of_its_own(tmp_path: Path) -> None:
    process = run(
        PROGRAM
        + """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as children:
    found = children.starmap_async(ask, [()] * 8).get(60)
print(len(found), found[0] == ask(), flush=True)
""",
        tmp_path,
    )
    out, _ = process.communicate(timeout=120)
    assert out.splitlines()[-1] == "8 True"


def test_threads_spawn_and_a_script_without_a_main_guard(tmp_path: Path) -> None:
    process = run(
        PROGRAM
        + """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(6) as threads:
    print(len({str(threads.submit(ask).result()) for _ in range(20)}), flush=True)
""",
        tmp_path,
    )
    out, _ = process.communicate(timeout=120)
    assert out.splitlines()[-1] == "1" and out.count("[") == 1  # the script ran once


def test_it_works_where_standard_streams_are_closed_or_changed(tmp_path: Path) -> None:
    process = run(
        PROGRAM + "sys.stdout = sys.stderr = sys.stdin = None\nos.close(0)\nx = ask()\n"
        "decoding.pool().close()\ny = ask()\nos.write(1, str(x == y).encode())",
        tmp_path,
    )
    out, _ = process.communicate(timeout=60)
    assert out.endswith("True")


def test_a_decoder_is_lean() -> None:
    code = (
        "import sys, resnet_demo.inputs.decoder; "
        "heavy = {'torch', 'gradio', 'soundfile', 'av', 'pillow_heif', 'matplotlib', 'pandas'}; "
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
    assert threading.active_count() < 100
