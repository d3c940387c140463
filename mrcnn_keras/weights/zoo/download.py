"""Fetching public checkpoints into the cache."""

import contextlib
import hashlib
import io
import os
import pathlib
import secrets
import sys
import urllib.parse
from collections.abc import Callable, Iterator

from . import lookup as zoo
from .cache import cache_folder
from .http_file import DownloadError, HttpFile, UnreachableError, version_file, writing
from .pretrained import PretrainedModel

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MIRROR_VARIABLE = "MRCNN_KERAS_MIRROR"

# What the digits in a file's name are of. Detectron2's MODEL_ZOO.md says MD5; should that be wrong for a file, SHA-256
# is what others use.
_HASHES = {"detectron2": ("md5", "sha256"), "torchvision": ("sha256",), "keras": ("md5",)}


def fetch(
    model: PretrainedModel | str,
    *,
    progress: bool | None = None,
    timeout: float = 30.0,
    attempts: int = 5,
    backoff: float = 1.0,
) -> pathlib.Path:
    """The file of a checkpoint, downloaded if it is not in the cache yet.

    A download that was cut is resumed, by this call or a later one. Two processes that want the same file fetch it
    once. $MRCNN_KERAS_MIRROR, if set, is an address that stands for scheme and host of those in the zoo.

    Args:
        model: a model of the zoo, its id, or an http(s) address.
        progress: show a progress bar on standard error; None: if that is a terminal.
        timeout: seconds without a byte after which a connection counts as cut.
        attempts: how often in a row to try in vain.
        backoff: seconds before the second attempt; before each further one, twice as many.

    Returns:
        Where the file lies: `cached_path(model)`.

    Raises:
        ValueError: the zoo has no such id, or the address is none.
        DownloadError: the file cannot be fetched or stored, or is not what was expected.
    """
    model = _known(model)
    target = cached_path(model)
    if target.is_file():
        return target
    url = _address(model)
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    with _part_file(target) as (file, part), _progress_bar(model.file_name, progress) as report:
        if not target.is_file():  # another process may have fetched it while this one waited
            download = HttpFile(url, part, file, bool(model.digest), timeout, attempts, backoff, report)
            _download(model, download, target)
    return target


def cached_path(model: PretrainedModel | str) -> pathlib.Path:
    """Where the cache keeps a checkpoint, whether or not it is there.

    Args:
        model: a model of the zoo, its id, or an http(s) address.

    Raises:
        ValueError: the zoo has no such id, or the address is none.
    """
    model = _known(model)
    return cache_folder() / "weights" / model.id / model.file_name


def _known(model: PretrainedModel | str) -> PretrainedModel:
    if isinstance(model, PretrainedModel):
        return model
    if "://" not in model:
        return zoo.find(model)
    folder = f"address/{hashlib.sha256(model.encode()).hexdigest()[:12]}"
    known = PretrainedModel(folder, model, "", None, None, {}, (), "", {})
    if not _is_http(model) or known.file_name in ("", ".", ".."):
        raise ValueError(f"{model!r}: expected the http or https address of a file")
    return known


def _address(model: PretrainedModel) -> str:
    """Where to fetch a model: the mirror's address, if there is one and the model is of the zoo."""
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    if not mirror or not model.system:
        return model.url
    if not _is_http(mirror):
        raise ValueError(f"{MIRROR_VARIABLE}={mirror!r}: expected an http or https address")
    return mirror.rstrip("/") + urllib.parse.urlsplit(model.url).path


def _is_http(address: str) -> bool:
    parts = urllib.parse.urlsplit(address)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _download(model: PretrainedModel, download: HttpFile, target: pathlib.Path) -> None:
    """Fetch to the part file, check it, and give it its name."""
    try:
        download.fetch()
        if download.resumed and _fault(model, download.file):
            # What was there before may be of another version; only a whole download can tell.
            download.forget()
            download.fetch()
    except UnreachableError as error:
        raise UnreachableError(
            f"{error}. Without a way to it: fetch {model.url} elsewhere and put it at {target}, or give the path of "
            "your copy instead of a name"
        ) from error
    fault = _fault(model, download.file)
    if fault:
        download.forget()
        raise DownloadError(f"{download.url}: {fault}; the download was removed")
    with writing(target):
        os.fsync(download.file.fileno())
        if fcntl is None:  # Windows renames no open file
            download.file.close()
        os.replace(download.path, target)


def _fault(model: PretrainedModel, file: io.FileIO) -> str | None:
    """What is wrong with a downloaded file; None where nothing is."""
    size = file.seek(0, io.SEEK_END)
    if not size:
        return "it is empty"
    if not model.digest:
        if model.size and abs(size - model.size) > 0.01 * model.size:
            return f"{size} bytes came, but about {model.size} were expected"
        return None
    found = {kind: _hash(file, kind) for kind in _HASHES[model.system]}
    if any(digits.startswith(model.digest) for digits in found.values()):
        return None
    shown = " and ".join(f"{kind.upper()} {digits[: len(model.digest)]}" for kind, digits in found.items())
    return f"expected a checksum of {model.digest}, found {shown}"


def _hash(file: io.FileIO, kind: str) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    file.seek(0)
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _part_file(target: pathlib.Path) -> Iterator[tuple[io.FileIO, pathlib.Path]]:
    """An open file to download to, which no other process writes, and its path.

    It is `target` with ".part", locked. Where the file system knows no locks it is a file of this call's own, which is
    removed afterwards.
    """
    shared = target.with_name(target.name + ".part")
    with writing(shared):
        file = _locked(shared)
    if file is not None:
        try:
            yield file, shared
        finally:
            if target.is_file() or not file.seek(0, io.SEEK_END):
                _remove(shared)
            file.close()
        return
    own = target.with_name(f"{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    with writing(own):
        file = open(own, "w+b", buffering=0)
    try:
        yield file, own
    finally:
        file.close()
        _remove(own)


def _remove(part: pathlib.Path) -> None:
    part.unlink(missing_ok=True)
    version_file(part).unlink(missing_ok=True)


def _locked(path: pathlib.Path) -> io.FileIO | None:
    """The file, locked by this call; None where there are no locks."""
    while fcntl is not None:
        file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        try:
            _wait_for_lock(file, path)
        except OSError:  # a network drive, perhaps
            if not file.seek(0, io.SEEK_END):
                path.unlink(missing_ok=True)
            file.close()
            return None
        # While this call waited, who held the lock may have given the file its final name.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()
    return None


def _wait_for_lock(file: io.FileIO, path: pathlib.Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another process that fetches {path.stem}", file=sys.stderr)
        fcntl.flock(file, fcntl.LOCK_EX)


@contextlib.contextmanager
def _progress_bar(name: str, wanted: bool | None) -> Iterator[Callable[[int, int | None], None]]:
    """A function to report bytes to, shown as a bar on standard error if that is wanted."""
    if wanted is None:
        wanted = sys.stderr is not None and sys.stderr.isatty()
    if not wanted:
        yield lambda done, total: None
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.DownloadColumn(),
               bars.TransferSpeedColumn(), bars.TimeRemainingColumn())  # fmt: skip
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
