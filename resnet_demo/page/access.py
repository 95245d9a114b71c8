"""To whom the page answers: under which names it may be reached, and which other pages may use or frame it.

A browser lets any site send requests to 127.0.0.1 or, by giving its own name another address (DNS rebinding),
read the answers. The name in ``Host`` gives it away: a page that is bound to this machine answers to the
names of this machine only. Behind a proxy it answers to the names that it is told.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANY = "*"
SPACES = ".hf.space"
PRIVATE = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,127.0.0.1"  # where a Space's proxy is
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Access:
    """Names and origins that are answered.

    Attributes:
        names: host names, in lower case; "*" stands for all.
        numbers: whether any address in numbers will do: rebinding needs a name.
        suffixes: ends of further names.
        embed: origins of the pages that may show this one in a frame, such as ``https://school.example``.
        framed_by_all: every page may, as on Spaces.
    """

    names: frozenset[str] = LOOPBACK
    numbers: bool = False
    suffixes: tuple[str, ...] = ()
    embed: tuple[str, ...] = ()
    framed_by_all: bool = False
    told: frozenset[str] = field(default=frozenset())

    @staticmethod
    def of(
        bound: str | None = None,
        told: Iterable[str] = (),
        embed: Iterable[str] = (),
        environ: Mapping[str, str] = os.environ,
    ) -> Access:
        """For a page bound to the address ``bound``.

        Args:
            bound: what the server listens on; GRADIO_SERVER_NAME or 127.0.0.1 when None.
            told: names under which a proxy or a network reaches it.
            embed: origins that may frame it.

        Raises:
            ValueError: one of ``told`` or ``embed`` is no name or origin; the message says which.
        """
        bound = (bound or environ.get("GRADIO_SERVER_NAME") or "127.0.0.1").strip("[]").lower()
        on_spaces = bool(environ.get("SPACE_ID"))
        asked = {checked_name(name) for name in told}
        asked |= {name.strip().lower() for name in environ.get("SPACE_HOST", "").split(",") if name.strip()}
        root = urlsplit(environ.get("GRADIO_ROOT_PATH", "")).hostname
        asked |= {root} if root else set()
        local = bound in LOOPBACK
        names = LOOPBACK | asked | ({bound} if not local else frozenset())
        if not local:
            own = socket.gethostname().lower()
            names |= {own, f"{own.partition('.')[0]}.local"}
        origins = tuple(checked_origin(origin) for origin in embed)
        suffixes = (SPACES,) if on_spaces else ()
        return Access(frozenset(names), not local, suffixes, origins, on_spaces, frozenset(asked))

    def answers_to(self, host: str) -> bool:
        """Whether the page is called ``host``, as it stands in a ``Host`` header."""
        name = name_in(host)
        if name is None:
            return False
        if ANY in self.names or name in self.names or name.endswith(self.suffixes):
            return True
        return self.numbers and is_number(name)

    def trusts(self, origin: str, host: str, forwarded: str | None = None) -> bool:
        """Whether a page from ``origin`` may call this one, which was reached as ``host``: itself, or a told
        name."""
        if not self.answers_to(host):
            return False
        found = urlsplit(origin)
        if found.scheme not in PORTS or not found.hostname:
            return False
        own = {name.lower() for name in (host, forwarded) if name}
        short = found.netloc.lower().removesuffix(f":{PORTS[found.scheme]}")
        return bool(own & {found.netloc.lower(), short}) or found.hostname.lower() in self.told

    def frame_ancestors(self) -> str:
        """The rule of the Content-Security-Policy that says who may frame the page."""
        return " ".join(("frame-ancestors 'self'", *self.embed))


def name_in(host: str) -> str | None:
    """The name in a ``Host`` header, in lower case without port and brackets; None if it is not one."""
    try:
        found = urlsplit(f"//{host.strip()}")
        found.port  # noqa: B018 - raises if it is no number
    except ValueError:
        return None
    if found.path or found.query or found.fragment or found.username is not None or not found.hostname:
        return None
    return found.hostname.rstrip(".").lower()


def is_number(name: str) -> bool:
    """Whether ``name`` is an address in numbers."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def checked_name(name: str) -> str:
    """``name`` as ``names`` holds it.

    Raises:
        ValueError: it is no host name.
    """
    found = ANY if name == ANY else name_in(name)
    if not found or "/" in name or (":" in name and not is_number(found)):
        raise ValueError(
            f"{name!r:.80} is no host name; one without scheme and port is needed: www.example.org"
        )
    return found


def checked_origin(origin: str) -> str:
    """``origin`` as it stands in the policy.

    Raises:
        ValueError: it is no origin.
    """
    found = urlsplit(origin)
    plain = f"{found.scheme}://{found.netloc}"
    if found.scheme not in PORTS or name_in(found.netloc) is None or origin.rstrip("/") != plain:
        raise ValueError(f"{origin!r:.80} is no origin; scheme and host are needed: https://www.example.org")
    if any(sign in plain for sign in " ;,'\"*"):
        raise ValueError(f"{origin!r:.80} is no origin; scheme and host are needed: https://www.example.org")
    return plain.lower()
