"""What a request gets when something fails behind it: one clear sentence, and the log one line."""

from __future__ import annotations

import errno
import logging
import os
from typing import Any

import gradio as gr
from gradio.route_utils import FnIndexInferError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from resnet_demo.i18n import later, say

LONGEST = 400  # characters of a sentence; Gradio's own repeat what was sent
log = logging.getLogger(__name__)

UNREADABLE = "This request cannot be read: it is not what the page or a client of its API sends."
UNKNOWN = "There is nothing of that name here."
FAILED = "Something went wrong on the server; try again."
DISK = later("The server's disk is full; try again later.")
MEMORY = later("The server is short of memory just now; try again in a minute.")
FORGED = later("The server could not read what the page sent; reload the page and try again.")


def place_of(error: BaseException) -> str:
    """Kind of the error and where it was raised: enough to find it, nothing that a stranger wrote."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return (
        f"{type(error).__name__} in {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
    )


def is_full(error: BaseException) -> bool:
    """Whether the disk is what failed."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def cause_of(error: BaseException) -> BaseException:
    """The error at the bottom of a chain: Gradio wraps those of components."""
    seen = set()
    while error.__cause__ is not None and id(error) not in seen:
        seen.add(id(error))
        error = error.__cause__
    return error


def sentence_for(error: BaseException) -> str:
    """What to tell the visitor whose event ended in ``error``, which no handler expected."""
    cause = cause_of(error)
    if is_full(cause):
        return say(DISK)
    if isinstance(cause, MemoryError):
        return say(MEMORY)
    return say(FORGED)


def as_told(error: Exception) -> gr.Error:
    """``error`` of an event as the visitor is told it; paths of the server stay here."""
    if isinstance(error, gr.Error):
        folder = os.environ.get("GRADIO_TEMP_DIR")
        text = str(error.message)
        if len(text) <= LONGEST and not (folder and folder in text):
            error.print_exception = False  # whoever raised it has said what there is to say
            return error
    log.warning("an event failed: %s", place_of(cause_of(error)))
    return gr.Error(sentence_for(error), print_exception=False)


async def answer(_request: Any, error: Exception) -> JSONResponse:
    """The response to a request of which Gradio made nothing better than an exception."""
    if isinstance(error, HTTPException):
        return JSONResponse({"detail": error.detail}, error.status_code)
    log.warning("a request failed: %s", place_of(error))
    if is_full(error):
        return JSONResponse({"detail": say(DISK)}, 507)
    if isinstance(error, MemoryError):
        return JSONResponse({"detail": say(MEMORY)}, 503)
    if isinstance(error, FnIndexInferError | LookupError):
        return JSONResponse({"detail": UNKNOWN}, 404)
    if isinstance(error, ValueError | TypeError | AttributeError | AssertionError):
        return JSONResponse({"detail": UNREADABLE}, 400)
    return JSONResponse({"detail": FAILED}, 500)


HANDLERS: dict[Any, Any] = dict.fromkeys(
    (
        FnIndexInferError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        AssertionError,
        OSError,
        MemoryError,
        RuntimeError,
        ArithmeticError,
    ),
    answer,
)
