"""The named endpoints of the API: a photo or a sound in, plain numbers out. Each is one experiment of the
page."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import gradio as gr
from gradio.components.base import Component

from resnet_demo.panels.base import told
from resnet_demo.panels.page import NO_PHOTO, Page
from resnet_demo.serialize import run_as_dict

# those that wait in a line of their own: as many as may wait there
STREAMING: dict[str, Any] = {"concurrency_id": "stream", "concurrency_limit": 32}


def offer(page: Page) -> None:
    """Make the endpoints of the page and of its panels, inside the ``demo`` context of ``page``."""

    def predict(photo: str | None, network: str) -> dict[str, Any]:
        """Run one photo and describe what every residual block did."""
        if photo is None:
            raise gr.Error(NO_PHOTO, print_exception=False)
        return run_as_dict(page.engine.get().run(photo, network, keep=()))

    shared: dict[str, Component] = {"photo": page.photo, "network": page.network}
    offered: list[tuple[Callable[..., Any], Mapping[str, Component], str]] = [(predict, {}, "run")]
    offered += [  # what takes several passes waits in the line of the panel that shows the same
        (function, panel.arguments(), "study" if panel.studied() or panel.takes_long else "run")
        for panel in page.panels
        for function in panel.endpoints()
    ]
    for function, arguments, group in offered:
        call = answering(page, function)
        inputs = [{**shared, **arguments}[name] for name in inspect.signature(call).parameters]
        streams = inspect.isasyncgenfunction(function)
        line: dict[str, Any] = STREAMING if streams else {"concurrency_id": group}
        page.api_button.click(call, inputs, page.api_answer, api_name=function.__name__, **line)


def answering(page: Page, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as Gradio calls it: errors are sentences, and a parameter ``run`` is a photo and a
    network."""
    if inspect.isasyncgenfunction(function):
        return function  # one that streams; it says its own errors
    parameters = list(inspect.signature(function).parameters.values())
    of_run = [parameter.name for parameter in parameters] == ["run"]

    @wraps(function)
    def call(*given: Any) -> Any:
        try:
            return function(page.run_photo(*given)) if of_run else function(*given)
        except Exception as error:
            raise told(error) from error

    if of_run:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        photo = inspect.Parameter("photo", kind, annotation="str | None")
        network = inspect.Parameter("network", kind, annotation="str")
        call.__signature__ = inspect.Signature([photo, network])  # type: ignore[attr-defined]
        call.__annotations__ = {"photo": "str | None", "network": "str"}
    return call
