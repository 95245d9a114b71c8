"""The inputs of the page: Gradio's own, but what strangers send is opened by our rules.

In one file of their own because Gradio writes a ``.pyi`` beside every file that defines a component.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from resnet_demo.i18n import Sentence, error_of, later, say
from resnet_demo.inputs.decoding import decode_recording
from resnet_demo.inputs.errors import SoundError
from resnet_demo.inputs.files import is_address, uploaded_file
from resnet_demo.inputs.sound_stretch import Recording

NO_PHOTO = later("No photo file arrived. Send a JPEG, PNG, WebP, GIF, BMP or TIFF file.")
NO_SOUND = later("No sound file arrived. Send a WAV, FLAC, OGG, MP3, M4A or WebM file.")
PHOTO_ADDRESS = later("Photos are not fetched from addresses. Save the photo and upload the file.")
SOUND_ADDRESS = later("Sounds are not fetched from addresses. Save the sound and upload the file.")


def refuse(sentence: Sentence) -> gr.Error:
    """The error that shows a visitor one sentence."""
    return gr.Error(say(sentence), print_exception=False)


def arrived(payload: Any, otherwise: Sentence) -> str:
    """The path of the file that a visitor uploaded.

    Gradio looks at the paths of objects that have a ``meta`` alone, and ``ImageData`` does not ask for one:
    whatever a request names arrives here.

    Raises:
        gr.Error: no such file, or one that is not among the uploads; which of the two, nobody is told.
    """
    path = payload.path
    found = uploaded_file(path, get_upload_folder()) if isinstance(path, str) and path else None
    if found is None:
        raise refuse(otherwise)
    return str(found)


def check_resource(resource: Any, address: Sentence, otherwise: Sentence) -> None:
    """See to it that what Gradio is about to keep is a file of this machine.

    Raises:
        gr.Error: it is an address, or no file.
    """
    if is_address(str(resource)):
        raise refuse(address)
    try:
        there = resource is None or Path(resource).is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise refuse(otherwise)


class PhotoInput(gr.Image):
    """An image input that hands on the file: how finely it is decoded depends on the network that will see
    it.

    Bad files get one clear sentence then, instead of ``{"error": null}``.
    """

    is_template = True  # drawn by Gradio's own image component in the browser

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """Addresses are refused: the server fetches nothing on a visitor's behalf. So is what is no file:
        Gradio would remember it as one to remove at the end.

        Raises:
            gr.Error: it is an address, or no file.
        """
        check_resource(url_or_file_path, PHOTO_ADDRESS, NO_PHOTO)
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> str | None:
        """The photo's file, not opened yet, or None if there is none.

        Raises:
            gr.Error: no file arrived; the message says what to do.
        """
        return None if payload is None else arrived(payload, NO_PHOTO)


class SoundInput(gr.Audio):
    """A sound input whose bad files get one clear sentence instead of ``{"error": null}``."""

    is_template = True  # drawn by Gradio's own audio component in the browser

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """Addresses and what is no file are refused, as for photos.

        Raises:
            gr.Error: it is one of them.
        """
        check_resource(url_or_file_path, SOUND_ADDRESS, NO_SOUND)
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> Recording | None:  # type: ignore[override]
        """The sound as it is used, see ``sound_decoding.open_recording``, or None if there is none.

        Raises:
            gr.Error: it is not a sound we can open; the message says why and what to do.
        """
        if payload is None:
            return None
        try:
            return decode_recording(arrived(payload, NO_SOUND))
        except SoundError as error:
            raise gr.Error(error_of(error), print_exception=False) from None
