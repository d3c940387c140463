"""Downloads from a server on this machine that cuts, changes, lies and refuses."""

import contextlib
import dataclasses
import errno
import hashlib
import http.server
import io
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from mrcnn_keras.weights.zoo import download
from mrcnn_keras.weights.zoo import lookup as zoo
from mrcnn_keras.weights.zoo.download import DownloadError, cached_path, fetch
from mrcnn_keras.weights.zoo.http_file import HttpFile
from mrcnn_keras.weights.zoo.pretrained import PretrainedModel

CONTENT = random.Random(0).randbytes(300_000)
NEW_CONTENT = random.Random(1).randbytes(250_000)
CUT = 100_000


class Site:
    """What the server serves, how it misbehaves, and what it was asked for."""

    def __init__(self):
        self.content, self.etag, self.date = CONTENT, '"v1"', None
        self.ranges, self.heeds_if_range, self.tells_length = True, True, True
        self.cuts = []  # bytes after which to cut the first answers
        self.statuses = []  # of the first answers
        self.asked = []  # path and headers of every request
        self.before = lambda number: None  # called before each answer

    def ranges_asked(self):
        return [headers.get("Range") for _, headers in self.asked]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server.site
        site.asked.append((self.path, dict(self.headers)))
        site.before(len(site.asked))
        status = site.statuses.pop(0) if site.statuses else 200
        if status != 200:
            return self.send_error(status)
        start = self.start_of_range(site)
        if start >= len(site.content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(site.content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        for name, value in (("ETag", site.etag), ("Last-Modified", site.date)):
            if value:
                self.send_header(name, value)
        body = site.content[start:]
        if site.tells_length:
            self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(ConnectionError):  # the client may have given up
            self.end_headers()
            self.wfile.write(body[: site.cuts.pop(0)] if site.cuts else body)

    def start_of_range(self, site):
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        current = condition in (None, site.etag, site.date) or not site.heeds_if_range
        return int(found[1]) if found and site.ranges and current else 0

    def log_message(self, *args):
        pass


@pytest.fixture
def site():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.site = Site()
    server.site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_KERAS_HOME", str(tmp_path / "cache"))
    for name in ("MRCNN_KERAS_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def model_of(site, content=CONTENT, digest=True, size=None):
    """A model that the server holds, with the checksum of `content`."""
    digits = hashlib.md5(content).hexdigest()[:6] if digest else None
    return PretrainedModel(
        "detectron2/Test/mask", f"{site.url}/a/model_final.pkl", "detectron2", size, digits, {}, (), "", {}
    )


def get(model, **options):
    return fetch(model, **{"backoff": 0, "timeout": 5, **options})


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_is_fetched_once(site, cache):
    model = model_of(site)
    path = get(model)
    assert path == cached_path(model) == cache / "weights/detectron2/Test/mask/model_final.pkl"
    assert path.read_bytes() == CONTENT
    assert files(cache) == ["weights/detectron2/Test/mask/model_final.pkl"]
    assert get(model) == path
    assert len(site.asked) == 1


def test_a_cut_download_asks_for_the_rest(site, cache):
    site.cuts = [CUT, 50_000]
    assert get(model_of(site)).read_bytes() == CONTENT
    assert site.ranges_asked() == [None, f"bytes={CUT}-", f"bytes={CUT + 50_000}-"]
    assert [headers.get("If-Range") for _, headers in site.asked] == [None, '"v1"', '"v1"']
    assert len(files(cache)) == 1


@pytest.mark.parametrize(
    "etag, date", [(None, "Wed, 21 Oct 2015 07:28:00 GMT"), ('W/"v1"', "Tue, 20 Oct 2015 07:28:00 GMT")]
)
def test_a_date_serves_where_there_is_no_strong_etag(etag, date, site):
    site.cuts, site.etag, site.date = [CUT], etag, date
    assert get(model_of(site, digest=False)).read_bytes() == CONTENT
    assert site.asked[1][1]["If-Range"] == date


@pytest.mark.parametrize("digest", [True, False])
def test_a_later_call_goes_on_where_an_earlier_one_was_cut(digest, site, cache):
    site.cuts = [CUT]
    with pytest.raises(DownloadError, match=f"cut after {CUT} of {len(CONTENT)} bytes"):
        get(model_of(site, digest=digest), attempts=1)
    assert not cached_path(model_of(site)).exists()
    assert get(model_of(site, digest=digest)).read_bytes() == CONTENT
    assert site.ranges_asked() == [None, f"bytes={CUT}-"]
    assert len(files(cache)) == 1


def test_a_server_without_ranges_sends_all_again(site):
    site.cuts, site.ranges = [CUT], False
    assert get(model_of(site)).read_bytes() == CONTENT
    assert site.ranges_asked() == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize("heeds", [True, False])
def test_a_file_that_changes_meanwhile_is_not_mixed(heeds, site):
    def change(number):
        if number == 2:
            site.content, site.etag = NEW_CONTENT, '"v2"'

    site.cuts, site.before, site.heeds_if_range = [CUT], change, heeds
    assert get(model_of(site, digest=False)).read_bytes() == NEW_CONTENT
    # A server that heeds If-Range sends all at once; the other's answer must be noticed and dropped.
    assert site.ranges_asked() == [None, f"bytes={CUT}-"] + ([] if heeds else [None])


def test_without_version_and_checksum_all_is_fetched_again(site):
    site.cuts, site.etag = [CUT], None
    assert get(model_of(site, digest=False)).read_bytes() == CONTENT
    assert site.ranges_asked() == [None, None]


def test_a_part_of_another_version_is_found_by_the_checksum(site):
    site.etag = None
    path = cached_path(model_of(site))
    path.parent.mkdir(parents=True)
    path.with_name(path.name + ".part").write_bytes(NEW_CONTENT[:CUT])
    assert get(model_of(site)).read_bytes() == CONTENT
    assert site.ranges_asked() == [f"bytes={CUT}-", None]


@pytest.mark.parametrize("part, ranges", [(CONTENT, [300_000]), (CONTENT + b"more", [300_004, None])])
def test_a_part_that_is_whole_or_too_long(part, ranges, site):
    path = cached_path(model_of(site))
    path.parent.mkdir(parents=True)
    path.with_name(path.name + ".part").write_bytes(part)
    assert get(model_of(site)).read_bytes() == CONTENT
    assert site.ranges_asked() == [start and f"bytes={start}-" for start in ranges]


def test_a_wrong_checksum_is_refused_and_removed(site, cache):
    model = model_of(site, content=NEW_CONTENT)
    with pytest.raises(DownloadError) as error:
        get(model)
    found = hashlib.md5(CONTENT).hexdigest()[:6]
    assert model.digest in str(error.value) and f"MD5 {found}" in str(error.value) and model.url in str(error.value)
    assert files(cache) == []
    site.content = NEW_CONTENT
    assert get(model).read_bytes() == NEW_CONTENT


def test_torchvision_digits_are_of_sha256(site):
    digits = hashlib.sha256(CONTENT).hexdigest()[:8]
    model = dataclasses.replace(model_of(site), system="torchvision", digest=digits)
    assert get(model).read_bytes() == CONTENT
    wrong = dataclasses.replace(model, id="torchvision/other", digest=hashlib.md5(CONTENT).hexdigest()[:8])
    with pytest.raises(DownloadError, match=f"SHA256 {digits}"):
        get(wrong)


@pytest.mark.parametrize("content, size, message", [(b"", None, "empty"), (CONTENT, 400_000, "about 400000")])
def test_what_has_no_checksum_is_measured(content, size, message, site, cache):
    site.content = content
    with pytest.raises(DownloadError, match=message):
        get(model_of(site, digest=False, size=size))
    assert files(cache) == []


def test_a_length_that_nobody_told(site):
    site.tells_length = False
    assert get(model_of(site)).read_bytes() == CONTENT


def test_404_is_final_and_says_what_to_do(site, cache):
    site.statuses = [404]
    model = model_of(site)
    with pytest.raises(DownloadError) as error:
        get(model)
    for expected in ("404", model.url, str(cached_path(model))):
        assert expected in str(error.value)
    assert len(site.asked) == 1 and files(cache) == []


def test_a_passing_fault_of_the_server_is_waited_out(site):
    site.statuses = [503, 429, 200]
    assert get(model_of(site)).read_bytes() == CONTENT
    assert len(site.asked) == 3


def test_attempts_are_limited(site):
    site.cuts = [10] * 9
    with pytest.raises(DownloadError, match="tried 3 times"):
        get(model_of(site), attempts=3)
    assert len(site.asked) == 3


def test_the_pauses_grow(site, monkeypatch):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    site.cuts = [10] * 4
    assert fetch(model_of(site), backoff=0.5).read_bytes() == CONTENT
    assert pauses == [0.5, 1, 2, 4]


def test_pieces_of_a_large_file_do_not_use_up_the_attempts(site):
    site.content = CONTENT * 16
    site.cuts = [2**20] * 4
    assert get(model_of(site, site.content), attempts=1).read_bytes() == site.content


@pytest.fixture
def nobody():
    """A site that does not answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        site = Site()
        site.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        yield site  # bound, but not listening


def test_offline_the_cache_serves(nobody):
    model = model_of(nobody)
    path = cached_path(model)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"put here by hand")
    assert get(model) == path and path.read_bytes() == b"put here by hand"


def test_offline_without_the_cache_the_error_says_where_to_put_the_file(nobody, cache):
    model = model_of(nobody)
    with pytest.raises(DownloadError) as error:
        get(model)
    assert model.url in str(error.value) and f"put it at {cached_path(model)}" in str(error.value)
    assert files(cache) == []


def test_an_unknown_host_is_asked_for_once(monkeypatch):
    asked = []

    def unknown(*args, **kwargs):
        asked.append(args)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match="cannot reach .*Temporary failure"):
        get(zoo.find("imagenet/resnet50"))
    assert len(asked) == 1


def test_a_silent_server_is_given_up(site):
    silence = threading.Event()
    site.before = lambda number: silence.wait(5)
    with pytest.raises(DownloadError, match="no answer in time"):
        get(model_of(site), timeout=0.05)
    silence.set()


def fetch_twice_at_once(site, monkeypatch):
    """What two threads get that want the same file, the first of which is not answered before the second waits."""
    second_waits, lock, results = threading.Event(), download.fcntl.flock, []

    def flock(file, how):
        if how == download.fcntl.LOCK_EX:
            second_waits.set()
        lock(file, how)

    def run():
        try:
            results.append(get(model_of(site)).read_bytes())
        except DownloadError:
            results.append(None)

    monkeypatch.setattr(download.fcntl, "flock", flock)
    site.before = lambda number: second_waits.wait(5)
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert second_waits.is_set()
    return results


needs_locks = pytest.mark.skipif(download.fcntl is None, reason="needs file locks")


@needs_locks
def test_two_at_once_fetch_once(site, cache, monkeypatch, capsys):
    assert fetch_twice_at_once(site, monkeypatch) == [CONTENT, CONTENT]
    assert len(site.asked) == 1 and len(files(cache)) == 1
    assert "waiting for another process that fetches model_final.pkl" in capsys.readouterr().err


@needs_locks
def test_the_second_takes_over_from_a_first_that_fails(site, cache, monkeypatch):
    site.statuses = [404]
    assert fetch_twice_at_once(site, monkeypatch) == [None, CONTENT]
    assert len(site.asked) == 2 and len(files(cache)) == 1


def no_locks(monkeypatch):
    monkeypatch.setattr(download, "fcntl", None)


def locks_that_fail(monkeypatch):
    def flock(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(download.fcntl, "flock", flock)


@needs_locks
@pytest.mark.parametrize("break_locks", [no_locks, locks_that_fail])
def test_without_locks_each_has_its_own_part(break_locks, site, cache, monkeypatch):
    break_locks(monkeypatch)
    site.cuts = [CUT]
    parts = []
    site.before = lambda number: parts.extend(name for name in files(cache) if name.endswith(".part"))
    assert get(model_of(site)).read_bytes() == CONTENT
    assert str(os.getpid()) in parts[0] and site.ranges_asked() == [None, f"bytes={CUT}-"]
    assert len(files(cache)) == 1


def test_a_cache_that_cannot_be_made(site, cache, monkeypatch):
    cache.write_text("a file, not a folder")
    with pytest.raises(DownloadError, match="cannot write .*MRCNN_KERAS_HOME"):
        get(model_of(site))
    assert not site.asked


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(site, cache):
    cache.mkdir(mode=0o500)
    with pytest.raises(DownloadError, match="cannot write .*Permission denied.*MRCNN_KERAS_HOME"):
        get(model_of(site))
    assert not site.asked


def test_too_little_room_is_noticed_before_the_download(site, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(DownloadError, match="MB left.*0 MB more.*MRCNN_KERAS_HOME") as error:
        get(model_of(site))
    assert "elsewhere" not in str(error.value)  # the network is not at fault
    assert files(cache) == []


class FullDisk(io.FileIO):
    def write(self, block):
        raise OSError(errno.ENOSPC, "No space left on device")


class SlowDisk(io.FileIO):
    def write(self, block):
        return super().write(block[:1000])


def test_a_disk_that_fills_up_meanwhile(site, tmp_path):
    with FullDisk(tmp_path / "part", "w+b") as file, pytest.raises(DownloadError, match="the disk is full"):
        HttpFile(f"{site.url}/x", tmp_path / "part", file).fetch()
    assert len(site.asked) == 1


def test_short_writes_and_the_report(site, tmp_path):
    seen = []
    site.cuts = [CUT]
    with SlowDisk(tmp_path / "part", "w+b") as file:
        HttpFile(f"{site.url}/x", tmp_path / "part", file, backoff=0, report=lambda *now: seen.append(now)).fetch()
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen) and (CUT, len(CONTENT)) in seen


def test_the_bar_goes_to_standard_error_and_only_to_a_terminal(site, capfd):
    get(model_of(site))
    assert capfd.readouterr() == ("", "")
    get(f"{site.url}/b/weights.h5", progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "weights.h5" in err


def test_a_mirror_stands_for_the_public_host(site, monkeypatch):
    monkeypatch.setenv("MRCNN_KERAS_MIRROR", f"{site.url}/mirror/")
    model = zoo.find("torchvision/maskrcnn_resnet50_fpn_coco")
    model = dataclasses.replace(model, digest=hashlib.sha256(CONTENT).hexdigest()[:8])
    assert get(model).read_bytes() == CONTENT
    assert site.asked[0][0] == "/mirror/models/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
    get(f"{site.url}/my/own.h5")  # a user's own address is no public one
    assert site.asked[1][0] == "/my/own.h5"
    monkeypatch.setenv("MRCNN_KERAS_MIRROR", "mirror.example")
    with pytest.raises(ValueError, match="MRCNN_KERAS_MIRROR='mirror.example'"):
        get(zoo.find("imagenet/resnet50"))


def test_addresses_of_ones_own(site):
    first, second = get(f"{site.url}/b/my%20model.pth?x=1"), get(f"{site.url}/b/my%20model.pth?x=2")
    assert first != second and first.name == second.name == "my model.pth"
    assert first.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "http://", "http://host", "http://host/", "http://host/%2e%2e"]
)
def test_what_is_no_address_of_a_file(address):
    with pytest.raises(ValueError, match="expected the http or https address"):
        fetch(address)


def test_an_unknown_id_is_a_value_error():
    with pytest.raises(ValueError, match="maskrcnn_resnet50_fpn_coco"):
        fetch("maskrcnn_resnet50_fpn")


def test_tensorflow_is_left_alone():
    code = "import sys, mrcnn_keras.weights.zoo.download; assert not {'tensorflow', 'keras', 'rich'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
