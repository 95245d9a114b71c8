"""What is wrong with a stranger's file, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from resnet_demo.i18n import Sentence, later


class InputError(ValueError):
    """A file that cannot be used.

    The message is one sentence of at most 200 characters for the visitor: what arrived, what
    is allowed, what to do. It never holds a path or anything else out of the file.
    """


class PhotoError(InputError):
    """A photo that cannot be used."""


class SoundError(InputError):
    """A sound that cannot be used."""


class TextError(InputError):
    """A text that cannot be used."""


class WeightsError(InputError):
    """A file of a network's weights that cannot be used."""


@contextmanager
def one_sentence(kind: type[InputError], sentence: Sentence) -> Iterator[None]:
    """Whatever goes wrong inside becomes ``kind(sentence)``.

    Damaged files make Pillow raise OSError, ValueError, SyntaxError, IndexError, struct.error,
    zlib.error, RuntimeError and more, so the list is not written out. What says that there is too much of
    something is let through: a file that is too large is not damaged.
    """
    try:
        yield
    except (InputError, MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise
    except Exception as error:
        raise kind(sentence) from error


NO_MEMORY = {
    PhotoError: later("The photo takes more memory to open than a photo may: please upload a smaller copy."),
    SoundError: later("The sound takes more memory to open than a sound may: please upload a shorter one."),
    WeightsError: later("The checkpoint takes more memory to read than one may: please bring a smaller one."),
}
