"""One HTTP download into a file, resumed where the connection was cut."""

import contextlib
import dataclasses
import errno
import http.client
import io
import pathlib
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

from .cache import CACHE_VARIABLE

_BLOCK = 2**18
# Answers that may be better a moment later.
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_NETWORK_ERRORS = (OSError, http.client.HTTPException)


class DownloadError(OSError):
    """A file cannot be fetched; the message says why and what to do."""


class UnreachableError(DownloadError):
    """The server refuses, cannot be reached, or cuts the connection again and again."""


class _Retry(Exception):
    """This attempt has failed; another may not."""


@dataclasses.dataclass
class HttpFile:
    """A download of `url` to the end of `file`.

    Attributes:
        url: an http or https address.
        path: of `file`; what tells versions of the content apart (an ETag or a date) is kept beside it.
        file: open for reading and writing, not buffered; what it holds already is not fetched again.
        blind: resume also where the server has named no version, because the content is checked afterwards.
        timeout: seconds without an answer or a byte after which a connection counts as cut.
        attempts: how often in a row to try in vain.
        backoff: seconds before the second attempt; before each further one, twice as many.
        report: called with the bytes there are and the bytes there will be (None: unknown).
        resumed: set when what came was put behind what was there.
    """

    url: str
    path: pathlib.Path
    file: io.FileIO
    blind: bool = False
    timeout: float = 30.0
    attempts: int = 5
    backoff: float = 1.0
    report: Callable[[int, int | None], None] = lambda done, total: None
    resumed: bool = dataclasses.field(default=False, init=False)
    _answered: bool = dataclasses.field(default=False, init=False)

    def fetch(self) -> None:
        """Fetch what is missing.

        Raises:
            UnreachableError: the server refuses, cannot be reached, or cuts the connection again and again.
            DownloadError: the disk is full or cannot be written.
        """
        failures = 0
        while True:
            before = self._size()
            try:
                return self._attempt()
            except _Retry as error:
                # Attempts that bring a good piece do not count: a large file over a bad line takes many.
                failures = 0 if self._size() - before >= 2**20 else failures + 1
                # A server that has never answered is likely not to be there: once more, and no long wait.
                if failures >= (self.attempts if self._answered else min(2, self.attempts)):
                    raise UnreachableError(f"{self.url}: {error}; tried {failures} times") from error.__cause__
            time.sleep(self.backoff * 2 ** max(failures - 1, 0))

    def forget(self) -> None:
        """Drop what has been fetched so far."""
        with writing(self.path):
            self.file.truncate(0)
            version_file(self.path).unlink(missing_ok=True)

    def _attempt(self) -> None:
        try:
            with urllib.request.urlopen(self._request(), timeout=self.timeout) as response:
                total = self._begin(response)
                self._receive(response, total)
        except (DownloadError, _Retry):
            raise
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                self._refused(error)
        except _NETWORK_ERRORS as error:
            if _is_final(error) and not self._answered:
                raise UnreachableError(f"cannot reach {self.url}: {_reason(error)}") from error
            raise _Retry(_reason(error)) from error

    def _request(self) -> urllib.request.Request:
        if self._size() and not (self.blind or self._version()):
            self.forget()
        headers = {"Accept-Encoding": "identity", "User-Agent": "mrcnn_keras"}
        if self._size():
            headers["Range"] = f"bytes={self._size()}-"
            if self._version():
                headers["If-Range"] = self._version()
        return urllib.request.Request(self.url, headers=headers)

    def _begin(self, response: http.client.HTTPResponse) -> int | None:
        """Make the file ready for the body of an answer; the size that it will have, None where it is unknown."""
        self._answered = True
        if response.status == 206:
            total = self._check_part(response)
        else:  # all of it, because it was asked for, has changed, or because the server knows no ranges
            self.forget()
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdecimal() else None
        if total is not None:
            self._check_room(total - self._size())
        self._keep_version(_version_of(response))
        return total

    def _check_part(self, response: http.client.HTTPResponse) -> int:
        """The whole size, if the answer is the part that is missing."""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        version = _version_of(response)
        changed = version and self._version() and version != self._version()
        if changed or not found or int(found[1]) != self._size():
            self.forget()
            raise _Retry("the file has changed on the server" if changed else "the server sent another part")
        self.resumed = True
        return int(found[2])

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if free < needed:
            raise DownloadError(
                f"{self.path.parent} has {free / 1e6:.0f} MB left, but {self.url} needs {needed / 1e6:.0f} MB more; "
                f"${CACHE_VARIABLE} moves the folder"
            )

    def _receive(self, response: http.client.HTTPResponse, total: int | None) -> None:
        self.report(self._size(), total)
        while block := response.read1(_BLOCK):
            with writing(self.path):
                rest = memoryview(block)
                while rest:
                    rest = rest[self.file.write(rest) :]
            self.report(self._size(), total)
        if total is not None and self._size() < total:
            raise _Retry(f"the connection was cut after {self._size()} of {total} bytes")
        if total is not None and self._size() > total:
            self.forget()
            raise _Retry(f"the server sent more than the {total} bytes it told of")

    def _refused(self, error: urllib.error.HTTPError) -> None:
        """Act on a status of 400 or more; nothing to do is left where the file is whole already."""
        self._answered = True
        reason = f"the server answered {error.code} {error.reason}"
        if error.code == 416 and self._size():
            if error.headers.get("Content-Range") == f"bytes */{self._size()}":
                return
            self.forget()
        elif error.code not in _PASSING:
            raise UnreachableError(f"{self.url}: {reason}") from error
        raise _Retry(reason) from error

    def _size(self) -> int:
        return self.file.seek(0, io.SEEK_END)

    def _version(self) -> str:
        try:
            return version_file(self.path).read_text()
        except OSError:
            return ""

    def _keep_version(self, version: str) -> None:
        if version:
            with writing(self.path):
                version_file(self.path).write_text(version)


def version_file(path: pathlib.Path) -> pathlib.Path:
    """Where the version of a file that is not whole yet is kept."""
    return path.with_name(path.name + ".version")


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Turn an error in writing to the cache into a DownloadError."""
    try:
        yield
    except OSError as error:
        why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or error
        raise DownloadError(f"cannot write {path}: {why}; ${CACHE_VARIABLE} moves the folder") from error


def _version_of(response: http.client.HTTPResponse) -> str:
    """What If-Range can be asked about: a strong ETag, or a date, or nothing."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _is_final(error: Exception) -> bool:
    """Whether trying again is in vain."""
    reason = getattr(error, "reason", error)
    return isinstance(reason, (socket.gaierror, ssl.SSLCertVerificationError, http.client.InvalidURL))


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(reason) or type(reason).__name__
