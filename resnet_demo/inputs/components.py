"""The image input of the page: Gradio's own, but a photo is opened by our rules.

A room of its own because Gradio writes a ``.pyi`` beside every file that defines a component.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from resnet_demo.i18n import say
from resnet_demo.inputs.files import is_address


class PhotoInput(gr.Image):
    """An image input that hands on the file: how finely it is decoded depends on the network that will see it.

    Bad files get one clear sentence then, instead of ``{"error": null}``.
    """

    is_template = True  # drawn by Gradio's own image component in the browser

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """Addresses are refused: the server fetches nothing on a visitor's behalf.

        Raises:
            gr.Error: it is an address.
        """
        if is_address(str(url_or_file_path)):
            raise gr.Error(
                say("Photos are not fetched from addresses. Save the photo and upload the file."),
                print_exception=False,
            )
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> str | None:
        """The photo's file, not opened yet, or None if there is none.

        Raises:
            gr.Error: no file arrived; the message says what to do.
        """
        if payload is None:
            return None
        if not payload.path:
            raise gr.Error(
                say("No photo file arrived. Send a JPEG, PNG, WebP, GIF, BMP or TIFF file."),
                print_exception=False,
            )
        return str(payload.path)
