"""``pip install .``: the wheel holds all that the page needs, and serves it from any folder without the
checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import draw_photo

from resnet_demo import COMMANDS
from resnet_demo.tools.app_process import Server, Visitor, free_port

pytest.importorskip("hatchling", reason="hatchling is not installed (requirements-dev.txt)")
pytest.importorskip("hatch_requirements_txt", reason="hatch-requirements-txt is not installed")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-q"]
    done = subprocess.run(
        [*build, "-w", str(folder)], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("resnet_demo-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and nothing else; its requirements come from this environment."""
    target = tmp_path_factory.mktemp("site")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "-q",
        "--target",
        str(target),
    ]
    subprocess.run([*install, str(wheel)], check=True, cwd=target)
    return target


def environment(installed: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed), **more}


def python(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python from ``folder``, where only the installed package is to be found."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(installed),
        timeout=200,
        check=False,
    )


def test_the_wheel_holds_every_file_of_the_package_and_the_weights(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    tracked = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in tracked if name.startswith("resnet_demo/")} <= held
    assert {f"resnet_demo/{name}" for name in tracked if name.startswith("weights/")} <= held
    assert not [name for name in held if name.endswith((".pyc", ".pyi"))]
    assert {name.split("/")[0] for name in held if ".dist-info" not in name} == {"resnet_demo"}


def test_its_requirements_are_those_of_a_space(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as held:
        (name,) = (name for name in held.namelist() if name.endswith("/METADATA"))
        lines = held.read(name).decode().splitlines()
    needed = {line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist")}
    asked = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    always = {one for one in needed if "extra ==" not in one}
    assert always == {line for line in asked if line and not line.startswith("#")}
    assert {"Provides-Extra: mcp", "Provides-Extra: ray"} <= set(lines)


@pytest.mark.timeout(240)
def test_the_installed_command_serves_a_page_that_answers_a_photo(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(installed / "bin" / "resnet-demo")]
    if not Path(command[1]).is_file():
        command = [sys.executable, "-m", "resnet_demo", "serve"]  # Windows: the script is a program there
    photo = tmp_path / "photo.jpg"
    draw_photo(3).save(photo)
    more = {"GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    server = Server(free_port(), command=command, folder=tmp_path, environment=environment(installed, **more))
    try:
        visitor = Visitor(server.url)
        status, page = visitor.request("GET", "/")
        assert status == 200
        assert visitor.ask(photo.read_bytes())["label"] in ("cat", "dog")
        assert "--" in page  # its style came along
    finally:
        server.close()


@pytest.mark.soak  # fetches PyTorch and the rest, some gigabytes, into an environment that has nothing
@pytest.mark.timeout(2400)
def test_in_an_empty_environment_the_page_answers_a_photo(wheel: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    venv.create(empty, with_pip=True)
    folder = empty / ("Scripts" if sys.platform == "win32" else "bin")
    fetched = subprocess.run(
        [folder / "python", "-m", "pip", "install", "-q", str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert fetched.returncode == 0, fetched.stderr
    bare = {name: os.environ[name] for name in ("HOME", "SYSTEMROOT") if name in os.environ}
    bare |= {"PATH": str(folder), "GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    (tmp_path / "elsewhere").mkdir()
    command = [str(folder / "resnet-demo")]
    server = Server(free_port(), command=command, folder=tmp_path / "elsewhere", environment=bare)
    try:
        draw_photo(3).save(tmp_path / "photo.jpg")
        assert Visitor(server.url).ask((tmp_path / "photo.jpg").read_bytes())["label"] in ("cat", "dog")
    finally:
        server.close()


def test_the_library_and_the_commands_work_from_elsewhere(installed: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    draw_photo(3).save(photo)
    code = (
        "import resnet_demo; from resnet_demo import Engine; "
        f"assert resnet_demo.__file__.startswith({str(installed)!r}); "
        "print(Engine().run('photo.png').prediction.label)"
    )
    assert python(installed, tmp_path, "-c", code).stdout.strip() in ("cat", "dog")
    done = python(installed, tmp_path, "-m", "resnet_demo", "run", "photo.png")
    assert done.returncode == 0, done.stderr
    assert '"photo": "photo.png"' in done.stdout
    listed = python(installed, tmp_path, "-m", "resnet_demo")
    assert listed.returncode == 0
    assert all(f"  {name} " in listed.stdout for name in ("serve", *COMMANDS))


def test_a_benchmark_asked_of_an_installed_package_says_where_it_is(installed: Path, tmp_path: Path) -> None:
    done = python(installed, tmp_path, "-m", "resnet_demo", "bench")
    assert done.returncode == 2
    assert "tests/benchmarks" in done.stderr
    assert "Traceback" not in done.stderr
