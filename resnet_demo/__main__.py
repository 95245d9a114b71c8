"""``python -m resnet_demo COMMAND …``: every command beside the page; without one, the list of them."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

from resnet_demo import COMMANDS


def summary(module: str) -> str:
    """The first sentence of a command's docstring, without importing it."""
    file = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return doc.split("\n", 1)[0].partition(": ``python")[0].rstrip(".")


def main() -> None:
    """Hand over to the command named first; its own ``--help`` lists its options."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        sys.argv = [f"python -m resnet_demo {name}", *sys.argv[2:]]
        runpy.run_module(f"resnet_demo.{COMMANDS[name]}", run_name="__main__", alter_sys=False)
        return
    wanted = name in ("-h", "--help")
    out = sys.stdout if wanted else sys.stderr
    if not wanted:
        print(f"There is no command {name!r}.", file=out)
    print(
        "python -m resnet_demo COMMAND --help tells what a command takes. The page is python app.py.",
        file=out,
    )
    for command, module in COMMANDS.items():
        print(f"  {command:12} {summary(module)}", file=out)
    sys.exit(0 if wanted else 2)


if __name__ == "__main__":
    main()
