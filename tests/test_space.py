"""As a Space: the front matter is true, every file is small enough, and the app starts as the platform starts
it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from test_public import jpeg

from resnet_demo.tools.app_process import Visitor, free_port

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / ".ci" / "requirements.lock"


def tracked() -> list[str]:
    """The files that a Space would hold: those that git knows."""
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("this is no git checkout")
    return [name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def front_matter() -> dict[str, object]:
    return yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---")[1])


def locked() -> dict[str, str]:
    """Normalised name -> version."""
    lines = LOCK.read_text(encoding="utf-8")
    return {n.lower().replace("_", "-"): v for n, v in re.findall(r"^([\w.-]+)==([\w.+]+)", lines, re.M)}


def test_the_front_matter_is_true() -> None:
    front = front_matter()
    pinned = re.search(r"^gradio==([\d.]+)$", (ROOT / "requirements.txt").read_text(), re.M)
    assert front["sdk"] == "gradio"
    assert pinned
    assert front["sdk_version"] == pinned[1]
    assert front["python_version"] == "3.12"
    assert (ROOT / str(front["app_file"])).is_file()
    assert front["license"]
    assert front["tags"]
    assert len(str(front["short_description"])) <= 60
    assert (ROOT / str(front["thumbnail"])).is_file()


def test_no_file_needs_lfs() -> None:
    assert [name for name in tracked() if (ROOT / name).stat().st_size >= 10_000_000] == []


def test_the_lock_holds_all_that_is_asked_for_with_hashes() -> None:
    asked = re.findall(r"^([\w-]+)", (ROOT / "requirements.txt").read_text(), re.M)
    assert set(asked) <= locked().keys()
    entries = LOCK.read_text(encoding="utf-8").split("\n\n")[-1]
    assert len(re.findall(r"^[\w.-]+==", entries, re.M)) == len(
        re.findall(r"^[\w.-]+==.*\\\n\s+--hash=sha256:", entries, re.M)
    )
    assert locked()["gradio"] == front_matter()["sdk_version"]


BLOCK = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.timeout(180)
def test_it_starts_in_an_empty_folder_with_only_its_requirements(tmp_path: Path) -> None:
    space = tmp_path / "space"
    for name in tracked():
        (space / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, space / name)
    names = locked()
    absent = {
        module
        for module, owners in packages_distributions().items()
        if not any(owner.lower().replace("_", "-").replace(".", "-") in names for owner in owners)
        and module not in ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    }
    assert {"pytest", "accelerate", "playwright"} <= absent  # what the tests need is not there
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(absent=absent))
    port = 7860
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            port = free_port()  # something of this machine has it
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("GRADIO_")},
        "SPACE_ID": "someone/resnet-demo",
        "SYSTEM": "spaces",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SSR_MODE": "True",
        "GRADIO_TEMP_DIR": str(tmp_path / "gradio"),
        "PYTHONPATH": str(tmp_path),
    }
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=space, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        visitor = Visitor(f"http://127.0.0.1:{port}")
        while True:
            assert process.poll() is None
            try:
                visitor.request("GET", "/")
                break
            except OSError:
                time.sleep(0.1)
        assert visitor.ask(jpeg(1))["label"] in ("cat", "dog")
        visitor.connection.request("GET", "/")
        response = visitor.connection.getresponse()
        response.read()
        assert response.getheader("x-frame-options") is None  # the platform shows it in a frame
    finally:
        process.terminate()
        assert process.wait(20) == 0  # a stop by the platform is a clean one
