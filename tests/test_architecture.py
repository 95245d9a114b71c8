"""Imports run downward only, from package to package; and importing starts nothing.

The packages stand here in the order of HOUSE's layers, lowest first. No file is named: a new file belongs to
the layer of its package, and a module at the top of the package to the one that the list gives it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "resnet_demo"

LAYERS = (  # packages on one line do not import each other
    {"i18n"},
    {"modalities"},
    {"records", "explanations", "lesson"},
    {"networks", "drawing"},
    {"serialize", "analysis", "inputs"},
    {"inference", "race"},
    {"panels", "training"},
    {"page", "tools"},
    {"app"},
)
LAYER = {package: floor for floor, packages in enumerate(LAYERS) for package in packages}
ASIDE = {"training", "tools"}  # nothing on the app's path imports them
GRADIO = {"panels", "page"}
NO_TORCH = {
    "records",
    "explanations",
    "lesson",
    "i18n",
    "modalities",
    "serialize",
    "drawing",
    "panels",
    "page",
    "inputs",
}


def package_of(path: Path) -> str:
    """The package that a file belongs to: the folder below ``resnet_demo``, or the module at its top."""
    if path.name == "app.py" and path.parent == ROOT:
        return "app"
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


FILES = sorted(
    path
    for path in [*PACKAGE.rglob("*.py"), ROOT / "app.py"]
    if path.parent != PACKAGE or not path.name.startswith("__")
)
IDS = [str(path.relative_to(ROOT)) for path in FILES]


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


def own_packages(path: Path) -> set[str]:
    """The packages of the project that a file imports from."""
    found = {name.split(".")[1] for name in imports(path) if name.startswith("resnet_demo.")}
    return found & set(LAYER)


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    found = {}
    for path in FILES:
        relative = path.relative_to(ROOT).with_suffix("")
        found[".".join(relative.parts).removesuffix(".__init__")] = path
    return found


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_every_package_has_a_layer() -> None:
    assert {package_of(path) for path in FILES} == set(LAYER)


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_run_downward_only(path: Path) -> None:
    here = package_of(path)
    for other in own_packages(path) - {here}:
        assert LAYER[other] < LAYER[here], f"{path.name} imports from {other}, which is not below {here}"
        assert other not in ASIDE or here in ASIDE, f"{path.name} imports from {other}, which stands aside"


def test_no_two_modules_need_each_other() -> None:
    known = modules()
    needs = {
        name: {
            other
            for imported in imports(path)
            for other in (imported, imported.rpartition(".")[0])
            if other in known and other != name and not known[other].name.startswith("__")
        }
        for name, path in known.items()
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name in done:
            return
        for other in needs[name]:
            visit(other, (*above, name))
        done.add(name)

    for name in needs:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_gradio_stays_with_the_page(path: Path) -> None:
    if "gradio" in tops(path):
        assert package_of(path) in GRADIO or path == PACKAGE / "inputs" / "components.py", path


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_torch_stays_out_of_drawing_and_page(path: Path) -> None:
    if package_of(path) in NO_TORCH:
        assert not tops(path) & {"torch", "torchvision", "safetensors"}


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_ray_has_files_of_its_own(path: Path) -> None:
    if tops(path) & {"ray", "pyarrow"}:
        assert "ray" in path.stem.split("_")


def in_a_new_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_app_starts_no_thread_and_loads_no_torch() -> None:
    in_a_new_python(
        "import sys, threading; from resnet_demo import app; before = threading.active_count(); "
        "from resnet_demo.page import events, layout; "
        "assert threading.active_count() == before == 1, threading.enumerate(); "
        "assert 'torch' not in sys.modules"
    )


def test_building_the_page_needs_no_torch() -> None:
    in_a_new_python(
        "import sys; from resnet_demo import app; engine = app.defer_engine(); app.build_demo(engine); "
        "assert not engine.ready() and 'torch' not in sys.modules"
    )


WRITTEN = sorted(
    path
    for place in (PACKAGE, ROOT / "tests")
    for kind in ("*.py", "*.js", "*.css", "*.html")
    for path in place.rglob(kind)
)
MOST_LINES = 400  # of a file of the package: what is read in one sitting
MOST_COLUMNS = 110
MOST_OF_A_FUNCTION = 60  # lines, its docstring among them


def test_every_file_can_be_read_in_one_sitting() -> None:
    lines = {path: path.read_text(encoding="utf-8").splitlines() for path in WRITTEN}
    assert len(lines) > 200
    wide = [
        f"{path.relative_to(ROOT)}:{number}"
        for path, text in lines.items()
        for number, line in enumerate(text, 1)
        if len(re.sub(r"\s+# (type: ignore|noqa).*", "", line)) > MOST_COLUMNS
    ]
    assert not wide
    long = {
        str(path.relative_to(ROOT)): len(text)
        for path, text in lines.items()
        if path.is_relative_to(PACKAGE) and len(text) > MOST_LINES
    }
    assert not long


def test_every_function_fits_on_a_screen() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MOST_OF_A_FUNCTION
    }
    assert not long
