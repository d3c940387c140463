"""`mrcnn-keras detect` on folders: broken files, batches, and runs that go on."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.commands.detection.inputs import JOURNAL

STUB = pathlib.Path(__file__).parent / "stub_model.py"


def results(out):
    return json.loads((out / "detections.json").read_text())


def files(out):
    """Content of each file of a run but the journal."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*")
            if path.is_file() and path.name != JOURNAL}  # fmt: skip


def test_broken_photos_are_named_and_the_others_are_done(run, photos, tmp_path, capsys):
    assert run(photos, "--out", tmp_path / "out") == 1
    told = capsys.readouterr().err
    assert "03.png" in told and "05.png" in told and "2 of 40 images failed" in told
    written = results(tmp_path / "out")
    names = [pathlib.Path(image["file_name"]).name for image in written["images"]]
    assert names == [f"{n:02}.png" for n in range(40) if n not in (3, 5)]
    assert [image["id"] for image in written["images"]] == list(range(1, 39))
    assert [one["image_id"] for one in written["annotations"]] == list(range(1, 39))
    # Each photo has its own brightness, so that one taken for another would show.
    brightness = [round(2 * one["score"] - 1, 2) for one in written["annotations"]]
    assert brightness == [round(6 * n / 255, 2) for n in range(40) if n not in (3, 5)]
    assert (tmp_path / "out" / "late" / "39.png").exists()


def test_batches_make_no_difference(run, photos, tmp_path):
    for size in (1, 3, 64):
        run(photos, "--out", tmp_path / str(size), "--batch-size", size, "--no-pictures")
        assert max(run.model.calls) >= size or size == 64
    assert files(tmp_path / "1") == files(tmp_path / "3") == files(tmp_path / "64")


def in_a_process(words, **environment):
    """Exit status of the command, with the stub model, in a process that kills itself."""
    command = [sys.executable, STUB, "detect", *map(str, words)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True).returncode


def test_a_run_that_is_killed_twice_ends_like_an_undisturbed_one(run, photos, weights, tmp_path, capsys):
    words = [photos, "--batch-size", 4, "--out"]
    assert run(*words, tmp_path / "whole") == 1
    torn = [*words, tmp_path / "torn", "--model", weights]
    assert in_a_process(torn, STUB_KILL_AFTER="1") == -9
    assert not (tmp_path / "torn" / "detections.json").exists()
    assert in_a_process(torn, STUB_TEAR_AFTER="2") == -9
    assert not (tmp_path / "torn" / JOURNAL).read_bytes().endswith(b"\n")
    capsys.readouterr()
    run.model.calls.clear()
    assert run(*words, tmp_path / "torn") == 1
    told = capsys.readouterr().err
    assert "03.png" in told and "2 of 40 images failed" in told
    assert 0 < sum(run.model.calls) < 38  # some were done before
    assert files(tmp_path / "torn") == files(tmp_path / "whole")


def test_a_finished_run_computes_nothing_again_and_says_so(run, photos, tmp_path, capsys):
    out = tmp_path / "out"
    words = [photos / "early" / "03.png", photos / "late", "--out", out]
    run(*words)
    before, opened = files(out), run.opened
    capsys.readouterr()
    assert run(*words) == 1
    told = capsys.readouterr()
    assert "nothing was left" in told.out and "still" in told.err and "03.png" in told.err
    assert run.opened == opened and files(out) == before


def test_mended_changed_and_new_photos_are_looked_at(run, photos, tmp_path):
    out = tmp_path / "out"
    words = [photos, "--out", out, "--no-pictures"]
    run(*words)
    run.model.calls.clear()
    for name in ("03.png", "05.png", "10.png", "99.png"):
        Image.new("RGB", (30, 30), (99, 99, 99)).save(photos / "early" / name)
    assert run(*words) == 0
    assert sum(run.model.calls) == 4
    written = results(out)
    names = [pathlib.Path(image["file_name"]).name for image in written["images"]]
    assert len(names) == 41 and names.index("03.png") == 3 and names.index("99.png") == 30
    assert [image["width"] for image in written["images"]].count(30) == 4
    assert run(*words) == 0 and sum(run.model.calls) == 4


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--min-score", 0.7), "--min-score"),
        (("--set", "max_detections=3"), "--set max_detections"),
        (("--tta",), "tta"),
        (("--batch-size", 2), "--batch-size"),
    ],
)
def test_other_options_do_not_mix(run, photos, tmp_path, capsys, words, named):
    out = tmp_path / "out"
    run(photos, "--out", out, "--no-pictures")
    before = files(out)
    assert run(photos, "--out", out, "--no-pictures", *words) == 2
    told = capsys.readouterr().err
    assert named in told and "--restart" in told and files(out) == before
    assert run(photos, "--out", out, "--no-pictures", "--restart", *words) == 1
    assert results(out)["images"] == json.loads(before["detections.json"])["images"]


def test_another_model_or_other_photos_do_not_mix(run, photos, weights, tmp_path, capsys):
    run(photos / "late", "--out", tmp_path / "out", "--no-pictures")
    assert run(photos / "early", "--out", tmp_path / "out", "--no-pictures") == 2
    told = capsys.readouterr().err
    assert "inputs" in told and "30.png" in told and "--restart" in told
    assert len(results(tmp_path / "out")["images"]) == 10
    run.model.calls.clear()
    assert run(*sorted(photos.rglob("[123]*.png")), "--out", tmp_path / "out", "--no-pictures") == 0  # and more of them
    assert sum(run.model.calls) == 20 and len(results(tmp_path / "out")["images"]) == 30
    weights.write_bytes(b"others")
    assert run(photos / "late", "--out", tmp_path / "out", "--no-pictures") == 2
    assert "--model" in capsys.readouterr().err


def test_two_runs_do_not_write_into_one_folder(run, photos, tmp_path, capsys):
    from mrcnn_keras.commands.detection.journal import Journal

    with Journal(tmp_path / "out" / JOURNAL, {}):
        assert run(photos, "--out", tmp_path / "out") == 2
    assert "another run is writing" in capsys.readouterr().err


def test_a_damaged_journal_names_the_remedy(run, photos, tmp_path, capsys):
    run(photos / "late", "--out", tmp_path / "out", "--no-pictures")
    journal = tmp_path / "out" / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"{\n" + lines[1])
    assert run(photos / "late", "--out", tmp_path / "out", "--no-pictures") == 2
    told = capsys.readouterr().err
    assert "line 2" in told and "--restart" in told


def test_options_go_to_the_model_and_mistakes_in_them_are_no_broken_photos(run, photos, tmp_path, capsys):
    words = [photos / "late", "--out", tmp_path / "out", "--class-score", "dark=0.2", "--tiles", 512]
    assert run(*words) == 0
    assert run.model.options == {"score_threshold": {"dark": 0.2}, "tiles": 512}

    def refuse(images, **options):
        raise ValueError("no class 'drak'")

    run.model.detect = refuse
    assert run(photos / "late", "--out", tmp_path / "other", "--class-score", "drak=0.2") == 2
    told = capsys.readouterr().err
    assert "drak" in told and "failed" not in told
    assert not (tmp_path / "other" / JOURNAL).exists()  # the next try may have other options


def test_gallery_has_the_best_pictures_and_needs_no_second_run(run, photos, tmp_path):
    out = tmp_path / "out"
    run(photos, "--out", out, "--no-pictures")
    calls = len(run.model.calls)
    assert run(photos, "--out", out, "--no-pictures", "--gallery", "2x3", "--gallery-pages", 2) == 1
    assert len(run.model.calls) == calls
    with Image.open(out / "gallery.png") as page, Image.open(out / "gallery_2.png") as second:
        assert page.size[0] == second.size[0] == 1600 and page.size[1] > 500
        # The best are the brightest, and in order: the first page is darker than the second.
        assert np.mean(page.convert("L")) < np.mean(second.convert("L"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--gallery", "3"), "ROWSxCOLUMNS"),
        (("--gallery-pages", 100), "at most 99"),
        (("--every", 0), "whole number"),
    ],
)
def test_wrong_usage(run, photos, tmp_path, capsys, words, told):
    assert run(photos, "--out", tmp_path / "out", *words) == 2
    assert told in capsys.readouterr().err and not run.opened


def test_no_photo_is_overwritten(run, photos, tmp_path, capsys):
    one = photos / "late" / "30.png"
    before = one.read_bytes()
    assert run(one, "--out", photos / "late") == 0
    assert one.read_bytes() == before and (photos / "late" / "30_2.png").exists()
    assert run(photos, "--out", photos) == 2
    assert "folder to search" in capsys.readouterr().err


def test_no_photo_is_overwritten_behind_a_link_nor_anything_of_the_users(run, photos, tmp_path, capsys):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "30.png").symlink_to(photos / "late" / "30.png")
    before = (photos / "late" / "30.png").read_bytes()
    assert run(linked / "30.png", "--out", linked) == 0
    assert (photos / "late" / "30.png").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "31.png").write_bytes(b"mine")
    assert run(photos / "late", "--out", tmp_path / "mine") == 2
    assert "31.png is there" in capsys.readouterr().err
    assert (tmp_path / "mine" / "31.png").read_bytes() == b"mine"
    assert run(photos / "late", "--out", tmp_path / "mine", "--restart") == 0


def test_pictures_of_other_runs_are_no_photos(run, photos, tmp_path, capsys):
    run(photos / "late", "--out", photos / "found")
    assert run(photos, "--out", tmp_path / "out", "--no-pictures") == 1
    assert "left out" in capsys.readouterr().err and len(results(tmp_path / "out")["images"]) == 38


def test_links_that_lead_nowhere_are_named(run, photos, tmp_path, capsys):
    (photos / "late" / "40.png").symlink_to(tmp_path / "gone.png")
    (photos / "late" / "._30.png").write_bytes(b"of macOS")
    assert run(photos / "late", "--out", tmp_path / "out", "--no-pictures") == 1
    told = capsys.readouterr().err
    assert "40.png" in told and "._30.png" not in told and len(results(tmp_path / "out")["images"]) == 10


def test_a_picture_is_its_photos_again_when_that_has_been_away(run, photos, tmp_path):
    one, other = tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"
    for path, source in ((one, "30.png"), (other, "31.png")):
        path.parent.mkdir()
        path.write_bytes((photos / "late" / source).read_bytes())
    words = [one.parent, other.parent, "--out", tmp_path / "out"]
    run(*words)
    before = files(tmp_path / "out")
    kept = one.read_bytes()
    one.unlink()
    run(*words)
    assert files(tmp_path / "out")["x.png"] != before["x.png"]
    one.write_bytes(kept)
    run(*words)
    assert files(tmp_path / "out") == before


def test_the_results_are_a_coco_file(run, photos, tmp_path, capsys):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    run(photos / "late", "--out", tmp_path / "out", "--no-pictures")
    found = COCO(tmp_path / "out" / "detections.json")
    assert len(found.getAnnIds(areaRng=[1, 1e9], iscrowd=False)) == 10
    evaluation = COCOeval(found, found.loadRes(found.loadAnns(found.getAnnIds())), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_a_gallery_takes_no_place_of_the_users(run, photos, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "gallery_3.png").write_bytes(b"mine")
    assert run(photos / "late", "--out", out, "--gallery", "1x2") == 2
    assert "gallery_3.png is there" in capsys.readouterr().err
    (out / "gallery_3.png").write_bytes((photos / "late" / "30.png").read_bytes())
    assert run(out / "gallery_3.png", "--out", out) == 0
    assert run(out / "gallery_3.png", "--out", out, "--gallery", "1x2") == 2
    assert "is an input" in capsys.readouterr().err and (out / "gallery_3.png").exists()


def test_fewer_pages_leave_no_old_ones(run, photos, tmp_path):
    words = [photos / "late", "--out", tmp_path / "out", "--no-pictures", "--gallery", "1x2"]
    run(*words, "--gallery-pages", 3)
    assert len(list((tmp_path / "out").glob("gallery*.png"))) == 3
    run(*words)
    assert [path.name for path in (tmp_path / "out").glob("gallery*.png")] == ["gallery.png"]


def test_a_bar_on_a_terminal_and_lines_in_a_log(run, photos, tmp_path, capsys, monkeypatch):
    from mrcnn_keras.commands.detection import progress

    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    run(photos, "--out", tmp_path / "log", "--no-pictures")
    assert "detecting: 32 of 40 images" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    run(photos, "--out", tmp_path / "bar", "--no-pictures")
    told = capsys.readouterr()
    assert "40/40" in told.out and "03.png" in told.err + told.out
