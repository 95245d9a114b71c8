"""The sound input of the page: Gradio's own, but a sound is opened by our rules.

A room of its own because Gradio writes a ``.pyi`` beside every file that defines a component.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from resnet_demo.i18n import error_of, later, say
from resnet_demo.inputs.files import is_address
from resnet_demo.inputs.sound_decoding import SoundError, open_sound


class SoundInput(gr.Audio):
    """A sound input whose bad files get one clear sentence instead of ``{"error": null}``."""

    is_template = True  # drawn by Gradio's own audio component in the browser

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """Addresses are refused: the server fetches nothing on a visitor's behalf.

        Raises:
            gr.Error: it is an address.
        """
        if is_address(str(url_or_file_path)):
            raise gr.Error(
                say("Sounds are not fetched from addresses. Save the sound and upload the file."),
                print_exception=False,
            )
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> NDArray[np.float32] | None:  # type: ignore[override]
        """The stretch of the sound that is used, see ``hearing.open_sound``, or None if there is none.

        Raises:
            gr.Error: it is not a sound we can open; the message says why and what to do.
        """
        if payload is None:
            return None
        try:
            if not payload.path:
                raise SoundError(later("No sound file arrived. Send a WAV, FLAC, OGG or MP3 file."))
            return open_sound(payload.path)
        except SoundError as error:
            raise gr.Error(error_of(error), print_exception=False) from None
