"""Kinds of photos that other programs write: lossless and arithmetic JPEGs, RLE bitmaps, HEIC, JPEG XL,
profiles, fewer bits than the file has room for."""

from __future__ import annotations

import importlib
import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, JpegImagePlugin
from test_photo_decoding import CORPUS, checked, refused, saved, scene

from resnet_demo.inputs import photo_colours, photo_formats
from resnet_demo.inputs.photo_decoding import PhotoError, open_photo, open_photo_file
from resnet_demo.inputs.photo_formats import can_be_scaled, jpeg_process, opens_heic, what_arrived
from resnet_demo.inputs.preprocessing import read_photo
from resnet_demo.records import Preprocessing

CARD = Preprocessing(size=96)


def lossless_jpeg(image: Image.Image) -> bytes:
    """A JPEG of process 3, as FFmpeg writes it."""
    av = pytest.importorskip("av")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as file:
        stream = file.add_stream("ljpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = image.width, image.height, "bgr24"
        stream.codec_context.options = {"strict": "-1"}
        frame = av.VideoFrame.from_ndarray(np.asarray(image)[..., ::-1].copy(), format="bgr24")
        for packet in (*stream.encode(frame), *stream.encode()):
            file.mux(packet)
    return buffer.getvalue()


# ---------------------------------------------------------------- which JPEGs may be scaled


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}]
)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_usual_jpegs_are_scaled(mode: str, options: dict) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 2000
    data = saved(scene(800, 600).convert(mode), "JPEG", exif=exif, comment=b"\xff\xc3" * 50, **options)
    assert jpeg_process(data) == (2 if "progressive" in options else 0)
    assert open_photo(data, 150).size == (200, 150)


@pytest.mark.parametrize("process", [3, 5, 6, 7, 9, 10, 11, 13, 14, 15])
def test_others_are_not(process: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(scene(800, 600), "JPEG")
    at = data.index(b"\xff\xc0")
    other = data[:at] + bytes([0xFF, 0xC0 + process]) + data[at + 2 :]
    assert jpeg_process(other) == process and not can_be_scaled(other)
    drafted: list[object] = []
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", lambda *asked: drafted.append(asked))
    try:
        open_photo(other, 150)
    except PhotoError as error:
        checked(error)
    assert not drafted
    open_photo(data, 150)
    assert drafted  # or the line above could not fail


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xff\xff\xff\xff",
        b"\xff\xd8\xff\xe0\x00\x00" * 9,
        b"\xff\xd8\xff\xe0\xff\xff\x00",
        b"\xff\xd8\xff\x00\xff\xc0" + bytes(20),
        b"\xff\xd8\xff\xda\x00\x0c" + bytes(20),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8no marker\xff\xc0" + bytes(20),
    ],
)
def test_what_has_no_frame_is_not_scaled(data: bytes) -> None:
    assert jpeg_process(data) is None and not can_be_scaled(data)


def test_a_lossless_jpeg_is_read_whole(tmp_path: Path) -> None:
    image = scene(640, 512)
    data = lossless_jpeg(image)
    assert jpeg_process(data) == 3
    try:
        photo = open_photo(data, 100)
    except PhotoError as error:  # a libjpeg that does not know the process
        checked(error)
        return
    assert photo.size == (640, 512)
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(image)).max() <= 2


@pytest.mark.parametrize("word", ["lossless", "arith"])
def test_those_of_the_corpus(word: str) -> None:
    if not CORPUS.is_dir():
        pytest.skip("the corpus of bad images is not here")
    found = [path for path in CORPUS.rglob("*.jp*g") if word in str(path).lower()]
    assert found or word == "arith"
    for path in found:
        try:
            assert read_photo(path, CARD).shape == (96, 96, 3)
        except PhotoError as error:
            checked(error)


# ---------------------------------------------------------------- bitmaps with runs


def rle_bitmap(indices: NDArray[np.uint8], runs: bool) -> bytes:
    """A BMP of BI_RLE8: rows from the bottom, as runs of single pixels or as stretches of up to 254."""
    height, width = indices.shape
    rows = []
    for row in indices[::-1]:
        if runs:
            rows.append(b"".join(bytes((1, value)) for value in row))
        else:
            parts = [row[i : i + 254] for i in range(0, width, 254)]
            rows.append(
                b"".join(
                    bytes((0, len(p))) + p.tobytes() + bytes(len(p) % 2)
                    if len(p) > 2
                    else b"".join(bytes((1, v)) for v in p)
                    for p in parts
                )
            )
        rows.append(b"\0\0")
    pixels = b"".join(rows) + b"\0\1"
    palette = b"".join(bytes((i, i, i, 0)) for i in range(256))
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 2835, 2835, 256, 0)
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + info + palette + pixels


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("size", [(7, 5), (640, 480), (1920, 1080)])
def test_a_bitmap_with_runs_opens(size: tuple[int, int], runs: bool) -> None:
    grey = np.asarray(scene(*size).convert("L"))
    started = time.process_time()
    photo = open_photo(rle_bitmap(grey, runs))
    assert time.process_time() - started < 3
    factor = max(1, min(size) // 720)
    expected = np.asarray(Image.fromarray(grey).convert("RGB").reduce(factor))
    assert np.array_equal(np.asarray(photo), expected)


def test_a_png_in_small_chunks_opens() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 100, 3), dtype=np.uint8))
    data = saved(image, "PNG")
    at = data.index(b"IDAT") - 4
    from test_photo_decoding import chunk

    (length,) = struct.unpack(">I", data[at : at + 4])
    body = data[at + 8 : at + 8 + length]
    small = b"".join(chunk(b"IDAT", body[i : i + 3]) for i in range(0, len(body), 3))
    assert len(body) > 3 * 8000
    assert open_photo(data[:at] + small + data[at + 12 + length :]).tobytes() == image.tobytes()


def test_a_bomb_of_runs_takes_no_longer_than_a_photo() -> None:
    bomb = rle_bitmap(np.zeros((2100, 2100), np.uint8), True)
    assert len(bomb) < 10_000_000
    started = time.process_time()
    try:
        open_photo(bomb)
    except PhotoError as error:
        checked(error)
    assert time.process_time() - started < 4


# ---------------------------------------------------------------- HEIC and JPEG XL


def heic(image: Image.Image, **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=90, **options)
    return buffer.getvalue()


def test_heic_opens_as_phones_take_it() -> None:
    image = scene(640, 480)
    data = heic(image)
    assert what_arrived(data) == "HEIC photo"
    photo = open_photo(data)
    assert (photo.mode, photo.size, photo.info) == ("RGB", (640, 480), {})
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(image)).mean() < 4
    assert read_photo(data, CARD).shape == (96, 96, 3)
    refused(data[: len(data) // 2])


def test_a_turned_heic_is_turned_once() -> None:
    upright = scene(320, 200)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = open_photo(heic(upright.transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes()))
    assert photo.size == (320, 200)
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(upright)).mean() < 5


def test_a_heic_that_is_too_large_is_refused_by_its_header() -> None:
    data = heic(Image.new("RGB", (6000, 4400), "red"))
    started = time.process_time()
    assert "26.4 megapixels; 25 are allowed" in refused(data)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("start", "said"),
    [(b"\0\0\0\x18ftypheic" + bytes(99), "HEIC"), (b"\xff\x0a" + bytes(99), "JPEG XL")],
)
def test_without_the_plug_in_a_sentence_says_what_it_is_and_what_to_do(
    start: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> object:
        if name in ("pillow_heif", "pillow_jxl"):
            raise ImportError(name)
        return real(name)

    real = importlib.import_module
    monkeypatch.setattr(photo_formats.importlib, "import_module", missing)
    photo_formats.opens_heic.cache_clear()
    photo_formats.opens_jxl.cache_clear()
    try:
        message = refused(start)
    finally:
        photo_formats.opens_heic.cache_clear()
        photo_formats.opens_jxl.cache_clear()
    assert message.startswith(said) and "JPEG" in message and "please" in message


def test_a_video_is_called_one() -> None:
    assert "video" in refused(b"\0\0\0\x18ftypisom" + bytes(99))
    assert opens_heic() in (True, False)


def test_jpeg_xl_opens_where_the_plug_in_is() -> None:
    pytest.importorskip("pillow_jxl")
    image = scene(64, 48)
    data = saved(image, "JXL", lossless=True)
    assert open_photo(data).tobytes() == image.tobytes()


# ---------------------------------------------------------------- colour profiles


def icc(
    red: tuple[float, float], green: tuple[float, float], blue: tuple[float, float], gamma: float
) -> bytes:
    """A matrix profile of RGB with these primaries (CIE xy), white D65 adapted to D50 (Bradford), one
    gamma."""

    def xyz(x: float, y: float) -> NDArray[np.float64]:
        return np.array([x / y, 1, (1 - x - y) / y])

    white, d50 = xyz(0.3127, 0.3290), np.array([0.9642, 1, 0.8249])
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapted = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ white)) @ bradford
    primaries = np.stack([xyz(*red), xyz(*green), xyz(*blue)], 1)
    columns = adapted @ (primaries * np.linalg.solve(primaries, white))

    def fixed(values: NDArray[np.float64]) -> bytes:
        return b"".join(struct.pack(">i", round(float(v) * 65536)) for v in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = {
        b"desc": text,
        b"wtpt": b"XYZ " + bytes(4) + fixed(d50),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
    }
    for letter, column in zip(b"rgb", columns.T, strict=True):
        tags[bytes([letter]) + b"XYZ"] = b"XYZ " + bytes(4) + fixed(column)
        tags[bytes([letter]) + b"TRC"] = curve
    body, table, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", at + len(body), len(value))
        body += value
    head = struct.pack(">I4sI4s4s4s", at + len(body), bytes(4), 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + fixed(d50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


PROFILES = {
    "Display P3": icc((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), 2.2),
    "Adobe RGB": icc((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), 2.19921875),
    "ProPhoto": icc((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), 1.8),
}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def patches() -> Image.Image:
    """Squares of 16 pixels of many colours, which JPEG keeps."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(colours.repeat(16, 0).repeat(16, 1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_followed(name: str, kind: str) -> None:
    image = patches()
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    expected = ImageCms.profileToProfile(
        image, io.BytesIO(PROFILES[name]), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    photo = open_photo(saved(image, kind, icc_profile=PROFILES[name], **options))
    assert photo.info == {}
    off = np.abs(np.asarray(photo).astype(int) - np.asarray(expected))
    assert off.mean() < 1.5 and off.max() <= (12 if kind == "JPEG" else 1)
    ignored = np.abs(np.asarray(image).astype(int) - np.asarray(expected))
    assert ignored.mean() > 5  # or following it would make no difference


def test_heic_of_a_phone_is_display_p3() -> None:
    image = patches()
    expected = ImageCms.profileToProfile(
        image, io.BytesIO(PROFILES["Display P3"]), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    image.info["icc_profile"] = PROFILES["Display P3"]
    photo = open_photo(heic(image, chroma=444))
    plain = open_photo(heic(patches(), chroma=444))
    right = np.asarray(expected).astype(int)
    assert np.abs(np.asarray(photo) - right).mean() < 0.6 * np.abs(np.asarray(plain) - right).mean()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_the_profile_of_srgb_changes_nothing_and_costs_nothing(mode: str) -> None:
    image = patches().convert(mode)
    with_it, without = saved(image, icc_profile=SRGB), saved(image)
    assert open_photo(with_it) == open_photo(without)
    picture = Image.open(io.BytesIO(saved(scene(1000, 800), icc_profile=SRGB)))
    photo_colours.profile_of(picture)
    started = time.perf_counter()
    for _ in range(100):
        assert photo_colours.profile_of(picture) is None
    assert (time.perf_counter() - started) / 100 < 1e-3


def test_a_new_profile_is_understood_in_milliseconds() -> None:
    spent = []
    for gamma in np.linspace(2.0, 2.4, 9):
        picture = Image.new("RGB", (8, 8))
        picture.info["icc_profile"] = icc((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), float(gamma))
        started = time.process_time()
        photo_colours.profile_of(picture)
        spent.append(time.process_time() - started)
    assert sorted(spent)[4] < 0.03


def test_grey_and_palette_follow_their_profile() -> None:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(20, 0))
    linear = icc((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), 1.0)
    photo = np.asarray(open_photo(saved(grey, icc_profile=linear))).astype(int)
    x = np.arange(256) / 255
    expected = 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    assert np.abs(photo[0] - expected[:, None]).max() <= 3
    palette = grey.convert("P")
    assert (
        np.abs(np.asarray(open_photo(saved(palette, icc_profile=linear)))[0] - expected[:, None]).max() <= 3
    )


@pytest.mark.parametrize(
    "profile", [b"secret" * 20_000, b"", SRGB[:200], SRGB[:-40], b"\0" * 500, SRGB.replace(b"RGB ", b"GRAY")]
)
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    image = patches()
    assert open_photo(saved(image, icc_profile=profile)) == open_photo(saved(image))


def test_the_profile_of_another_space_is_ignored() -> None:
    image = patches().convert("CMYK")
    data = saved(image, "JPEG", quality=100, icc_profile=PROFILES["ProPhoto"])
    assert open_photo(data) == open_photo(saved(image, "JPEG", quality=100))


# ---------------------------------------------------------------- fewer bits than there is room for


@pytest.mark.parametrize(("bits", "top"), [(12, 4095), (10, 1023), (8, 255)])
def test_twelve_bits_in_sixteen_are_seen_and_said(bits: int, top: int) -> None:
    ramp = np.linspace(0, top, 256 * 4).astype(np.uint16).reshape(4, 256)
    opened = open_photo_file(saved(Image.fromarray(ramp)))
    assert np.abs(np.asarray(opened.image)[..., 0] - ramp * (255 / top)).max() <= 1
    assert opened.notice is not None and f"{bits} bits" in opened.notice and str(top) in opened.notice


def test_sixteen_bits_are_said_nothing_of() -> None:
    ramp = np.linspace(0, 65535, 1024).astype(np.uint16).reshape(4, 256)
    assert open_photo_file(saved(Image.fromarray(ramp))).notice is None
    black = np.zeros((4, 4), np.uint16)
    opened = open_photo_file(saved(Image.fromarray(black)))
    assert opened.notice is None and not np.asarray(opened.image).any()


def deep_file(values: NDArray[np.uint16], codec: str, **options: str) -> bytes:
    """Colour of 16 bits, (H, W, 3 or 4) uint16, as FFmpeg writes it; Pillow cannot."""
    av = pytest.importorskip("av")
    name = {3: "rgb48", 4: "rgba64"}[values.shape[2]] + {"png": "be", "tiff": "le"}[codec]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as file:
        stream = file.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = values.shape[1], values.shape[0], name
        stream.codec_context.options = options
        frame = av.VideoFrame.from_ndarray(values, format=name)
        for packet in (*stream.encode(frame), *stream.encode()):
            file.mux(packet)
    return buffer.getvalue()


DEEP = [
    ("png", 3, {}),
    ("png", 4, {}),
    ("tiff", 3, {"compression_algo": "raw"}),
    ("tiff", 3, {"compression_algo": "lzw"}),
    ("tiff", 4, {"compression_algo": "deflate"}),
]


@pytest.mark.parametrize(("codec", "bands", "options"), DEEP)
@pytest.mark.parametrize(("bits", "top"), [(12, 4095), (10, 1023), (8, 255)])
def test_so_are_colours(codec: str, bands: int, options: dict[str, str], bits: int, top: int) -> None:
    values = np.random.default_rng(0).integers(0, top + 1, (60, 80, bands), dtype=np.uint16)
    values[0, 0] = top
    if bands == 4:
        values[..., 3] = 65535
    opened = open_photo_file(deep_file(values, codec, **options))
    assert np.abs(np.asarray(opened.image) - values[..., :3] * (255 / top)).max() <= 0.51
    assert opened.notice is not None and f"{bits} bits" in opened.notice and str(top) in opened.notice


@pytest.mark.parametrize(("codec", "bands", "options"), DEEP)
def test_colours_of_sixteen_bits_are_said_nothing_of(codec: str, bands: int, options: dict[str, str]) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (60, 80, bands), dtype=np.uint16)
    values[..., 3:] = 65535
    opened = open_photo_file(deep_file(values, codec, **options))
    assert opened.notice is None
    assert np.abs(np.asarray(opened.image) - values[..., :3] / 257).max() <= 1
    dark = np.full((6, 8, bands), 5000, np.uint16)
    assert open_photo_file(deep_file(dark, codec, **options)).notice is None
    black = np.zeros((6, 8, bands), np.uint16)
    assert open_photo_file(deep_file(black, codec, **options)).notice is None
