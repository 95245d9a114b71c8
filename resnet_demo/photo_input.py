"""The image input of the page: Gradio's own, but a photo is opened by our rules.

A room of its own because Gradio writes a ``.pyi`` beside every file that defines a component.
"""

from __future__ import annotations

import threading
from typing import Any

import gradio as gr
from PIL import Image

from resnet_demo.guard import is_address
from resnet_demo.transforms import PhotoError, open_photo
from resnet_demo.words import error_of, later, say

# a photo of 50 megapixels takes 200 MB while it is opened: not one for every visitor at once
OPENING = threading.BoundedSemaphore(2)


class PhotoInput(gr.Image):
    """An image input whose bad files get one clear sentence instead of ``{"error": null}``."""

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

    def preprocess(self, payload: Any) -> Image.Image | None:
        """The photo as an upright RGB picture, or None if there is none.

        Raises:
            gr.Error: it is not a photo we can open; the message says why and what to do.
        """
        if payload is None:
            return None
        try:
            if not payload.path:
                raise PhotoError(
                    later("No photo file arrived. Send a JPEG, PNG, WebP, GIF, BMP or TIFF file.")
                )
            with OPENING:
                return open_photo(payload.path)
        except PhotoError as error:
            raise gr.Error(error_of(error), print_exception=False) from None
