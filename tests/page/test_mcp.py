"""The experiments as MCP tools, asked by the reference client over streamable HTTP."""

from __future__ import annotations

import ast
import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_public import jpeg

mcp = pytest.importorskip("mcp")
from mcp.client.streamable_http import streamablehttp_client  # noqa: E402

TOOLS = {"predict", "switch_off", "knock_out", "class_activation", "read_out", "receptive_field"} | {
    "gradient_flow",
    "paths",
    "attack",
    "pixel_attribution",
    "read_out_places",
    "deletion_insertion",
    "feature_visualization",
    "iterative_inference",
}
PHOTO = "data:image/jpeg;base64," + base64.b64encode(jpeg(3)).decode()


@pytest.fixture(scope="module")
def tools(weights_dir: Path) -> Iterator[str]:
    """The app with ``--mcp``'s option; yields the address of its tools."""
    from resnet_demo import app
    from resnet_demo.page.layout import page_options

    engine = app.defer_engine("cpu", weights_dir)
    demo = app.build_demo(engine, weights_dir)
    engine.start()
    _, url, _ = demo.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", mcp_server=True, **page_options()
    )
    yield url.rstrip("/") + "/gradio_api/mcp/"
    demo.close()


def ask(address: str, tool: str | None = None, arguments: dict[str, Any] | None = None) -> Any:
    """The list of tools, or what one of them answers."""

    async def talk() -> Any:
        async with (
            streamablehttp_client(address) as (read, write, _),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            if tool is None:
                return (await session.list_tools()).tools
            return await session.call_tool(tool, arguments or {})

    return asyncio.run(talk())


def test_every_experiment_is_a_tool_that_says_what_it_does(tools: str) -> None:
    found = {tool.name.split("resnet_block_by_block_")[-1]: tool for tool in ask(tools)}
    named = {name for name in found if any(name.endswith(tool) for tool in TOOLS)}
    assert len(named) == len(TOOLS)
    for tool in found.values():
        assert len(tool.description) > 20
        assert tool.inputSchema["properties"]


def named(tools: str, ending: str) -> str:
    return next(tool.name for tool in ask(tools) if tool.name.endswith(ending))


def test_a_photo_is_answered_as_on_the_page(tools: str) -> None:
    answer = ask(tools, named(tools, "predict"), {"photo": PHOTO, "network": "test-net"})
    assert not answer.isError
    told = ast.literal_eval(answer.content[0].text)  # Gradio hands a dict over as Python writes it
    assert told["label"] in ("cat", "dog")
    assert len(told["blocks"]) == 5
    off = [[0, 1], *[[1, 1]] * 4]
    gated = ask(tools, named(tools, "switch_off"), {"photo": PHOTO, "network": "test-net", "gates": off})
    assert ast.literal_eval(gated.content[0].text)["blocks"][0]["residual_norm"] == 0


def test_bad_input_is_one_sentence(tools: str) -> None:
    address = ask(
        tools, named(tools, "predict"), {"photo": "http://127.0.0.1:9/a.jpg", "network": "test-net"}
    )
    assert address.isError
    assert "not fetched from addresses" in address.content[0].text
    junk = ask(tools, named(tools, "predict"), {"photo": "data:image/png;base64,AAAA", "network": "test-net"})
    assert junk.isError
    assert "Traceback" not in junk.content[0].text
