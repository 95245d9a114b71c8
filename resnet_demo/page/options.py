"""The options that say to whom the page answers."""

from __future__ import annotations

import argparse
import os

from resnet_demo.page.access import PRIVATE, Access


def access_options(parser: argparse.ArgumentParser) -> None:
    """Add them to ``parser``."""
    more = parser.add_argument_group("who may reach the page (resnet_demo/page/SECURITY.md)")
    more.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help=(
            "a name under which a proxy or a network reaches the page, such as demo.example.org; may be"
            " repeated"
        ),
    )
    more.add_argument(
        "--proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a proxy whose X-Forwarded-For says who asks, such as 127.0.0.1 or 10.0.0.0/8; may be repeated",
    )
    more.add_argument(
        "--embed",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a site that may show the page in a frame, such as https://school.example; may be repeated",
    )
    more.add_argument(
        "--visitors-networks",
        choices=("yes", "no"),
        default="no" if os.environ.get("SPACE_ID") else "yes",
        help="whether visitors may bring checkpoints, each for themselves (default: yes, on Spaces no)",
    )


def chosen_access(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Access:
    """What the options say; ends the program if it cannot be read. Call it before the server is made."""
    proxies = [*args.proxy] or ([PRIVATE] if os.environ.get("SPACE_ID") else [])
    # uvicorn reads it, and would believe any program of this machine otherwise
    os.environ.setdefault("FORWARDED_ALLOW_IPS", ",".join(proxies))
    try:
        return Access.of(args.host, args.allowed_host, args.embed)
    except ValueError as error:
        parser.error(str(error))
