"""Uploads, answered here instead of by Gradio: the whole request is counted, its parts too, and what is cut
off goes.

The answer is Gradio's: a JSON list of the paths under which the files lie on the server.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from gradio.routes import file_upload_statuses
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from resnet_demo.inputs.files import MAX_BYTES
from resnet_demo.page.routes import MAX_FILES, MAX_NOTE
from resnet_demo.page.upload_folder import FolderFullError, UploadFolder

MAX_FIELDS = 4  # of a form beside its files
MAX_PART_HEAD = 8_192  # bytes
PROGRESS_S = 30.0  # seconds that a page may still ask how far its upload is
FULL = "There is no room for uploads on the server just now; try again in a few minutes."


class Form:
    """A multipart body as it arrives: files are written to parts, fields are counted and thrown away."""

    def __init__(self, boundary: bytes, folder: UploadFolder, most: int, upload_id: str) -> None:
        self.folder, self.most, self.upload_id = folder, most, upload_id
        self.files: list[tuple[Path, str]] = []  # part, name
        self._fields = self._field_bytes = self._size = 0
        self._file: BinaryIO | None = None
        self._name, self._value, self._disposition = b"", b"", b""
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self.close,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header,
                "on_headers_finished": self._open,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            HTTPException: they are not what an upload may hold.
            OSError: they cannot be written.
        """
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            raise HTTPException(400, "The upload cannot be read: it is no multipart form.") from None

    def finish(self) -> None:
        """Raises HTTPException if the form did not end as a form does."""
        if not self._ended:
            raise HTTPException(400, "The upload was cut off; send it again.")

    def close(self) -> None:
        """Close the part that is being written."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def discard(self) -> None:
        """Remove what was written."""
        with suppress(OSError):  # what is still in the buffer has no room on a full disk
            self.close()
        for part, _ in self.files:
            self.folder.remove(part)

    def _begin(self) -> None:
        self._disposition, self._size = b"", 0

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._check_head()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_head()

    def _check_head(self) -> None:
        if len(self._name) + len(self._value) > MAX_PART_HEAD:
            raise HTTPException(400, "The upload cannot be read: a part's head is too long.")

    def _header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise HTTPException(413, f"The upload has more than {MAX_FIELDS} form fields.")
            return
        if len(self.files) == MAX_FILES:
            raise HTTPException(
                413, f"The upload has more than {MAX_FILES} files; send one photo or one sound at a time."
            )
        if options.get(b"name") != b"files":
            raise HTTPException(400, "The upload's files must be called files.")
        part = self.folder.new_file()
        self.files.append((part, options[b"filename"].decode("utf-8", "replace")))
        self._file = part.open("wb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            self._field_bytes += end - start
            if self._field_bytes > MAX_NOTE:
                raise HTTPException(413, f"The upload's form fields have more than {MAX_NOTE} bytes.")
            return
        self._size += end - start
        if self._size > self.most:
            # in Gradio's words, which its page turns into a message
            raise HTTPException(413, f"File size exceeded maximum allowed size of {self.most} bytes.")
        self._file.write(data[start:end])
        if self.upload_id:
            file_upload_statuses.append(self.upload_id, self.files[-1][1][:200], data[start:end])

    def _end(self) -> None:
        self._ended = True


class Uploads:
    """The ASGI app behind ``/gradio_api/upload``.

    Args:
        folder: where files go.
        known: Gradio's set of uploaded files, which it tidies by age.
        most: bytes of one file.
        announce: told the address of whoever begins to send.
    """

    def __init__(
        self,
        folder: UploadFolder,
        known: set[str],
        most: int = MAX_BYTES,
        announce: Callable[[str], None] = lambda address: None,
    ) -> None:
        self.folder, self.known, self.most, self.announce = folder, known, most, announce

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await JSONResponse(await self.take(request))(scope, receive, send)

    async def take(self, request: Request) -> list[str]:
        """Read the body; the paths of its files.

        Raises:
            HTTPException: it is refused; the sentence says why.
        """
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
            raise HTTPException(400, "An upload is a multipart form.")
        address = request.client.host if request.client else ""
        self.announce(address)
        upload_id = request.query_params.get("upload_id", "")[:64]
        if upload_id:
            file_upload_statuses.track(upload_id)
        try:
            size = int(request.headers.get("content-length", "0"))
            await asyncio.to_thread(self.folder.make_room, address, size)
            form = Form(boundary, self.folder, self.most, upload_id)
            return await self._read(request, form, address)
        except OSError as error:
            if isinstance(error, FolderFullError) or error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise HTTPException(507, FULL) from None
            raise HTTPException(500, "The upload could not be stored on the server.") from error
        finally:
            if upload_id:
                file_upload_statuses.set_done(upload_id)
                asyncio.get_running_loop().call_later(PROGRESS_S, forget_progress, upload_id)

    async def _read(self, request: Request, form: Form, address: str) -> list[str]:
        kept = False
        try:
            async for chunk in request.stream():
                if chunk:
                    await asyncio.to_thread(form.write, chunk)
            form.finish()
            paths = [str(self.folder.keep(part, name, address)) for part, name in form.files]
            kept = True
        except ClientDisconnect:
            raise HTTPException(400, "The upload was cut off; send it again.") from None
        finally:
            if not kept:
                form.discard()
        self.known.update(paths)
        return paths


def forget_progress(upload_id: str) -> None:
    """Forget how far an upload was."""
    file_upload_statuses.stop_tracking(upload_id)
    file_upload_statuses._signals.pop(upload_id, None)


def forget_stale_progress() -> None:
    """Forget the uploads that were asked after and never came."""
    known = file_upload_statuses._statuses
    for upload_id in [name for name in file_upload_statuses._signals if name not in known]:
        file_upload_statuses._signals.pop(
            upload_id, None
        )  # whoever waits for it gives up after three seconds
