"""The local default needs no Ray: it works where importing Ray fails, and never tries to."""

from __future__ import annotations

import subprocess
import sys

import pytest
from test_architecture import ROOT

BLOCKED = """
import sys

class NoRay:
    asked = []
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "pyarrow"):
            NoRay.asked.append(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoRay())
sys.path.insert(0, "tests")
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_page_and_a_photo_through_the_local_engine() -> None:
    done = python(
        "from resnet_demo import app\nimport numpy as np\nfrom PIL import Image\nengine ="
        " app.defer_engine('cpu')\napp.build_demo(engine)\nphoto = Image.fromarray(np.full((60, 80, 3), 90,"
        " np.uint8))\nassert engine.get().run(photo).prediction.label in ('cat', 'dog')\nassert"
        " engine.get().info().blocks == 5\nassert not {'ray', 'resnet_demo.inference.ray_engine',"
        " 'resnet_demo.inference.ray_cluster'} & set(sys.modules)\nours = [n for n in NoRay.asked if"
        " n.startswith('ray')]\nassert not ours, ours\n"
    )
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks() -> None:
    done = python("import ray\n")
    assert "No module named 'ray'" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "from resnet_demo import app; app.main(['--engine', 'ray'])",
        "from resnet_demo.tools import run_folder; sys.exit(run_folder.main({run}))",
    ],
    ids=["app", "run"],
)
def test_asking_for_ray_without_it_is_one_clear_sentence(command: str) -> None:
    done = python(command.format(run=["docs", "--engine", "ray", "--out", "nowhere"]))
    assert done.returncode == 2
    assert "Ray is not installed; run: pip install -r requirements-ray.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_replicas_belong_to_ray(capsys: pytest.CaptureFixture[str]) -> None:
    from resnet_demo import app

    with pytest.raises(SystemExit):
        app.main(["--replicas", "2"])
    assert "need --engine ray" in capsys.readouterr().err


def test_replicas_are_a_number_or_a_range() -> None:
    from resnet_demo.inference.interface import ReplicaConfig

    assert ReplicaConfig.parse("2") == (2, 2)
    assert ReplicaConfig.parse("1:8") == (1, 8)
    for wrong in ("0", "3:2", "many", "1:", ""):
        if wrong == "1:":
            assert ReplicaConfig.parse(wrong) == (1, 1)
            continue
        with pytest.raises(ValueError):
            ReplicaConfig.parse(wrong)
