"""`mrcnn-keras detect` on videos and cameras."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.commands.detection import video

av = pytest.importorskip("av")

STUB = pathlib.Path(__file__).parent / "stub_model.py"
FRAMES, RATE = 20, 12


@pytest.fixture
def clip(tmp_path):
    """A video that gets brighter, of an odd size."""
    path = tmp_path / "clips" / "clip.mkv"
    with video.VideoWriter(path, RATE) as writer:
        for number in range(FRAMES):
            writer.add(np.full((47, 65, 3), 12 * number, np.uint8), number / RATE)
    return path


def looked_at(path):
    """(size, frames, frames a second) of a video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return frames[0].shape[:2], len(frames), float(stream.average_rate), frames


def test_a_video_gives_an_annotated_one_and_frames_with_times(run, clip, tmp_path):
    out = tmp_path / "out"
    assert run(clip, "--out", out, "--batch-size", 2) == 0
    written = json.loads((out / "detections.json").read_text())
    assert written["videos"] == [{"id": 1, "file_name": str(clip), "frame_rate": RATE}]
    assert [image["frame"] for image in written["images"]] == list(range(FRAMES))
    assert [image["time"] for image in written["images"]] == pytest.approx([n / RATE for n in range(FRAMES)], abs=2e-3)
    assert all(image["video_id"] == 1 and image["file_name"] == str(clip) for image in written["images"])
    scores = [one["score"] for one in written["annotations"]]
    assert len(scores) == FRAMES and scores == sorted(scores)
    size, count, rate, frames = looked_at(out / "clip.mp4")
    assert count == FRAMES and rate == pytest.approx(RATE, rel=0.01) and size[0] % 2 == size[1] % 2 == 0
    assert np.mean(frames[-1]) > np.mean(frames[0]) + 50
    assert np.ptp(frames[15].astype(int), axis=2).max() > 60  # colours: something is drawn


def test_every_so_many_frames_and_at_most_so_many(run, clip, tmp_path):
    assert run(clip, "--out", tmp_path / "out", "--every", 4, "--frames", 5) == 0
    written = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [image["frame"] for image in written["images"]] == [0, 4, 8, 12, 16]
    _, count, rate, _ = looked_at(tmp_path / "out" / "clip.mp4")
    assert count == 5 and rate == pytest.approx(RATE / 4, rel=0.01)


@pytest.mark.slow
def test_a_killed_video_ends_like_an_undisturbed_one(run, clip, weights, tmp_path):
    def killed(**environment):
        words = ["detect", clip.parent, "--out", tmp_path / "torn", "--model", weights]
        command = [sys.executable, STUB, *map(str, words)]
        return subprocess.run(command, capture_output=True, env={**os.environ, **environment}).returncode == -9

    assert run(clip.parent, "--out", tmp_path / "whole") == 0
    assert killed(STUB_KILL_AFTER="2") and killed(STUB_TEAR_AFTER="1")
    assert run(clip.parent, "--out", tmp_path / "torn") == 0
    for name in ("detections.json", "clip.mp4"):
        assert (tmp_path / "torn" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_video_is_left_alone_and_a_broken_one_is_named(run, clip, tmp_path, capsys):
    (clip.parent / "broken.mp4").write_bytes(b"no video")
    (clip.parent / "cut.mkv").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    (clip.parent / "photo.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert run(clip.parent, "--out", out) == 1
    told = capsys.readouterr().err
    assert "broken.mp4" in told and "photo.png" in told
    before, calls = (out / "detections.json").read_bytes(), len(run.model.calls)
    images = json.loads(before)["images"]
    assert sum(image["file_name"] == str(clip) for image in images) == FRAMES
    assert run(clip.parent, "--out", out) == 1
    assert len(run.model.calls) == calls and (out / "detections.json").read_bytes() == before
    assert "broken.mp4" in capsys.readouterr().err
    (out / "clip.mp4").unlink()
    run(clip.parent, "--out", out)
    assert len(run.model.calls) == calls and (out / "clip.mp4").exists()


def test_moving_gifs_are_videos_and_others_images(run, tmp_path):
    folder = tmp_path / "gifs"
    folder.mkdir()
    pictures = [Image.new("RGB", (32, 32), (shade, 0, 0)) for shade in (0, 90, 200)]
    pictures[0].save(folder / "moving.gif", save_all=True, append_images=pictures[1:], duration=100)
    pictures[1].save(folder / "still.gif")
    assert run(folder, "--out", tmp_path / "out") == 0
    written = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [image.get("frame") for image in written["images"]] == [0, 1, 2, None]
    assert (tmp_path / "out" / "moving.mp4").exists() and (tmp_path / "out" / "still.png").exists()


def test_a_gallery_shows_each_video_once(run, clip, tmp_path):
    (clip.parent / "again.mkv").write_bytes(clip.read_bytes())
    assert run(clip.parent, "--out", tmp_path / "out", "--no-pictures", "--gallery", "2x2") == 0
    with Image.open(tmp_path / "out" / "gallery.png") as page:
        assert page.size[0] == 1600 and page.size[1] < 800  # one row
    assert not (tmp_path / "out" / "clip.mp4").exists()


def test_a_camera_is_watched_for_so_many_frames(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(video, "camera_device", lambda number: (f"testsrc=size=64x48:rate={RATE}", "lavfi"))
    out = tmp_path / "out"
    assert run("camera:0", "--out", out, "--frames", 6) == 0
    written = json.loads((out / "detections.json").read_text())
    assert [image["frame"] for image in written["images"]] == list(range(6))
    assert looked_at(out / "camera_0.mkv")[1] == 6
    assert run("camera:0", "--out", out, "--frames", 6) == 2
    assert "--restart" in capsys.readouterr().err
    assert run("camera:0", "--out", out, "--frames", 3, "--restart") == 0


def test_a_camera_is_watched_until_it_is_interrupted(run, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "camera_device", lambda number: (f"testsrc=size=64x48:rate={RATE}", "lavfi"))
    detect = run.model.detect

    def interrupt_the_fourth(images, **options):
        if len(run.model.calls) == 3:
            raise KeyboardInterrupt
        return detect(images, **options)

    run.model.detect = interrupt_the_fourth
    assert run("/dev/video0", "--out", tmp_path / "out") == 0
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())["images"]) == 3
    assert looked_at(tmp_path / "out" / "camera_0.mkv")[1] == 3


def test_a_camera_that_is_unplugged_loses_nothing_that_it_has_shown(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(video, "camera_device", lambda number: (f"testsrc=size=64x48:rate={RATE}", "lavfi"))
    decoded = video.VideoReader._decoded

    def unplugged(reader):
        for number, frame in enumerate(decoded(reader)):
            if number == 5:
                raise ValueError(f"cannot read video {reader.name}: No such device")
            yield frame

    monkeypatch.setattr(video.VideoReader, "_decoded", unplugged)
    assert run("camera:0", "--out", tmp_path / "out") == 1
    assert "No such device" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())["images"]) == 5
    monkeypatch.setattr(video.VideoReader, "_decoded", decoded)
    assert looked_at(tmp_path / "out" / "camera_0.mkv")[1] == 5


def test_a_video_that_could_not_be_opened_is_tried_again(run, clip, tmp_path, monkeypatch):
    opened = video.VideoReader.__init__

    def closed(reader, file, *arguments, **more):
        raise ValueError(f"cannot read video {file}: Permission denied")

    monkeypatch.setattr(video.VideoReader, "__init__", closed)
    assert run(clip, "--out", tmp_path / "out") == 1
    monkeypatch.setattr(video.VideoReader, "__init__", opened)
    assert run(clip, "--out", tmp_path / "out") == 0
    assert looked_at(tmp_path / "out" / "clip.mp4")[1] == FRAMES


def test_names_with_colons_and_as_long_as_they_can_be(run, clip, tmp_path, monkeypatch):
    for name in ("10:30.mkv", "x" * 250 + ".mkv"):
        clip.with_name(name).write_bytes(clip.read_bytes())
    monkeypatch.chdir(clip.parent)
    assert run("10:30.mkv", "x" * 250 + ".mkv", "--out", tmp_path / "out", "--frames", 3) == 0
    assert len(list((tmp_path / "out").glob("*.mp4"))) == 2


def test_half_a_video_is_told(run, tmp_path, capsys):
    whole = tmp_path / "whole.mp4"
    with av.open(str(whole), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=RATE, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        noise = np.random.default_rng(0)
        for _ in range(FRAMES):
            pixels = noise.integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    half = tmp_path / "half.mp4"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    run(half, "--out", tmp_path / "out", "--no-pictures")
    told = capsys.readouterr().err
    assert "half.mp4" in told and f"tells of {FRAMES} frames" in told


def test_a_camera_that_is_not_there_is_named(run, tmp_path, capsys):
    assert run("camera:77", "--out", tmp_path / "out") == 1
    assert "video77" in capsys.readouterr().err or sys.platform == "darwin"


def test_a_camera_goes_alone(run, clip, tmp_path, capsys):
    assert run("camera:0", clip, "--out", tmp_path / "out") == 2
    assert "alone" in capsys.readouterr().err
    assert run("camera:0", "--gallery", "--out", tmp_path / "out") == 2
    assert not run.opened


def test_without_the_extra_the_error_names_it(run, clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert run(clip, "--out", tmp_path / "out") == 2
    assert "mrcnn-keras[video]" in capsys.readouterr().err and not run.opened
    Image.new("RGB", (32, 32)).save(clip.parent / "photo.png")
    assert run(clip.parent, "--out", tmp_path / "out") == 1  # the photos are done all the same
    assert "clip.mkv" in capsys.readouterr().err and (tmp_path / "out" / "photo.png").exists()
