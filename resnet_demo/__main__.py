"""The command line: ``python -m resnet_demo COMMAND …``, or ``resnet-demo`` once it is installed."""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from resnet_demo import COMMANDS


def serve(argv: Sequence[str] | None = None, program: str = "python app.py") -> int:
    """Serve the page until Ctrl-C; returns the exit code.

    Args:
        argv: the options, those of the process when None.
        program: what its help calls it.
    """
    from resnet_demo.page.process import stop_when_asked

    stop_when_asked()  # importing gradio takes seconds, in which Ctrl-C is no error either
    gc.disable()  # until the page is up, see inference/process_tuning.py
    from resnet_demo.app import main as serve_page

    return serve_page(argv, program)


def summary(module: str) -> str:
    """The first sentence of a command's docstring, without importing it."""
    file = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return doc.split("\n", 1)[0].partition(": ``python")[0].rstrip(".")


def list_commands(program: str) -> str:
    """What ``--help`` prints: a line for every command."""
    lines = [f"{program} COMMAND --help tells what a command takes.", f"  {'serve':12} {summary('app')}"]
    return "\n".join([*lines, *(f"  {name:12} {summary(module)}" for name, module in COMMANDS.items())])


def call(name: str, argv: Sequence[str]) -> int:
    """Run the command ``name``; one sentence after Ctrl-C, and where a package is missing that only it
    needs."""
    try:
        return int(import_module(f"resnet_demo.{COMMANDS[name]}").main(argv) or 0)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("resnet_demo"):
            raise
        print(
            f"{name} needs the package {error.name}, which is not installed; "
            "requirements-dev.txt of the project lists what the commands need.",
            file=sys.stderr,
        )
        return 2


def main(argv: Sequence[str] | None = None, program: str = "python -m resnet_demo") -> int:
    """Hand over to the command named first; its own ``--help`` lists its options. Returns the exit code."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if name == "serve":
        return serve(rest, f"{program} serve")
    if name in COMMANDS:
        return call(name, rest)
    if name in ("-h", "--help"):
        print(list_commands(program))
        return 0
    print(f"There is no command {name!r}.\n{list_commands(program)}", file=sys.stderr)
    return 2


def script() -> int:
    """The installed command ``resnet-demo``: it serves the page, or hands over to the command named first."""
    first = next(iter(sys.argv[1:]), "")
    if first == "serve" or first in COMMANDS:
        return main(program="resnet-demo")
    return serve(program="resnet-demo")


if __name__ == "__main__":
    sys.exit(main())
