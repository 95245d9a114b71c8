"""Imports run downward only, and importing starts nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "resnet_demo"

FLOORS = {
    floor: set(rooms.split())
    for floor, rooms in {
        0: "deferred footprint guard kept leaving png reading records together words",
        1: "model",
        2: "capture cluster download engines field folded gates gradients "
        "hearing layers measure mel menu packed probes receptive sounds transforms weights",
        3: "charts compare depth drawing engine examples experiments export how "
        "inside lessons links listening live panels ray_engine roadmap take zerogpu",
        4: "endpoints handlers photo_input sound_input spoken ui",
        5: "app",
    }.items()
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
SIDE = {
    "augment",
    "bench",
    "bench_ray",
    "data",
    "evaluate",
    "fit_probes",
    "peers",
    "run",
    "run_ray",
    "scaling",
    "served",
    "trace",
} | {
    "train",
    "train_sound",
    "walkthrough",
}
GRADIO = {"endpoints", "handlers", "photo_input", "sound_input", "spoken", "ui"}
NO_TORCH = FLOORS[0] | FLOORS[4] | FLOORS[3] - {"engine", "experiments", "ray_engine"}
NO_TORCH |= {"cluster", "download", "engines", "hearing", "mel", "menu", "sounds"}
RAY = {"bench_ray", "cluster", "ray_engine", "run_ray"}


def rooms() -> dict[str, Path]:
    found = {path.stem: path for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    return found | {"app": ROOT / "app.py"}


def imports(path: Path) -> set[str]:
    """Every module that the file imports at run time, inside functions too; not those for types alone."""
    names: set[str] = set()

    class Visitor(ast.NodeVisitor):
        def visit_If(self, node: ast.If) -> None:
            if "TYPE_CHECKING" in ast.unparse(node.test):
                node.body = []
            self.generic_visit(node)

        def visit_Import(self, node: ast.Import) -> None:
            names.update(alias.name for alias in node.names)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            assert node.level == 0, f"{path.name}: relative imports hide where they lead"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)

    Visitor().visit(ast.parse(path.read_text(encoding="utf-8")))
    return names


def inside(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("resnet_demo.")} & set(rooms())


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_every_room_has_a_floor() -> None:
    assert set(rooms()) == set(FLOOR) | SIDE


@pytest.mark.parametrize("room", sorted(FLOOR))
def test_imports_run_downward_only(room: str) -> None:
    for other in inside(rooms()[room]) - {room}:
        assert other not in SIDE, f"{room} imports the side program {other}"
        assert FLOOR[other] <= FLOOR[room], f"{room} imports {other}, which is above it"


def test_no_two_rooms_need_each_other() -> None:
    needs = {room: inside(path) for room, path in rooms().items()}

    def visit(room: str, above: tuple[str, ...]) -> None:
        assert room not in above, " -> ".join((*above, room))
        for other in needs[room]:
            visit(other, (*above, room))

    for room in needs:
        visit(room, ())


def test_the_model_knows_nothing_of_the_package() -> None:
    assert inside(rooms()["model"]) == set()


def test_the_layout_knows_no_engine() -> None:
    assert not inside(rooms()["ui"]) & {"engine", "handlers"}


@pytest.mark.parametrize("room", sorted(rooms()))
def test_gradio_stays_upstairs(room: str) -> None:
    assert ("gradio" in tops(rooms()[room])) == (room in GRADIO)


@pytest.mark.parametrize("room", sorted(NO_TORCH))
def test_torch_stays_out_of_drawing_and_page(room: str) -> None:
    assert not tops(rooms()[room]) & {"torch", "torchvision", "safetensors"}


@pytest.mark.parametrize("room", sorted(rooms()))
def test_ray_has_rooms_of_its_own(room: str) -> None:
    assert room in RAY or not tops(rooms()[room]) & {"ray", "pyarrow"}


def test_importing_the_app_starts_no_thread_and_loads_no_torch() -> None:
    code = (
        "import sys, threading, app; before = threading.active_count(); "
        "from resnet_demo import handlers, ui; assert threading.active_count() == before == 1, threading.enumerate(); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_building_the_page_needs_no_torch() -> None:
    code = (
        "import sys, app; engine = app.defer_engine(); app.build_demo(engine); "
        "assert not engine.ready() and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
