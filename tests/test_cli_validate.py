"""The command `validate`: exit status, what it prints, the report's files; it needs no TensorFlow."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

from mrcnn_keras import cli

from .command_line import ROOT, run_without_tensorflow
from .validation_files import TREE, write_annotations, write_dataset


@pytest.fixture
def sound(tmp_path):
    """A dataset without a fault: what the file holds, and the words of the command that checks it."""
    content = write_dataset(tmp_path)
    images, annotations = write_annotations(tmp_path, content)
    return content, ["validate", "--images", str(images), "--annotations", str(annotations), "--jobs", "1"]


def plant(tmp_path, content):
    """An error, two kinds of warnings, one of them five times."""
    (tmp_path / "images" / "03.png").unlink()
    content["categories"].append({"id": 9, "name": "sign [old]"})
    for annotation in [one for one in content["annotations"] if one["category_id"] == TREE][:5]:
        annotation["area"] = 9999
    write_annotations(tmp_path, content)


def test_a_sound_dataset(sound, capsys):
    assert cli.main(sound[1]) == 0
    printed = capsys.readouterr()
    assert "0 errors, 0 warnings: training is safe" in printed.out and "--report" not in printed.out
    for words in ("cat [wild]", "33.3%", "medium", "800/1333", "width x height"):
        assert words in printed.out
    assert printed.err == ""  # no bar where standard error is no terminal


def test_faults_are_named_and_give_status_1(sound, tmp_path, capsys):
    plant(tmp_path, sound[0])
    assert cli.main(sound[1]) == 1
    printed = capsys.readouterr().out
    assert "1 error, 6 warnings: training is not safe" in printed
    assert f"03.png, image 103: there is no file {tmp_path / 'images' / '03.png'}" in printed
    assert "sign [old]" in printed
    listed = [line for line in printed.splitlines() if "area is 9999" in line]
    assert len(listed) == 3 and "00.jpg, image 100, annotation 1002" in listed[0]
    assert "... and 2 more" in printed and "--report FILE lists all" in printed


def test_reports_hold_all_findings(sound, tmp_path, capsys):
    plant(tmp_path, sound[0])
    for name in ("report.json", "report.md", "report.txt"):
        assert cli.main([*sound[1], "--report", str(tmp_path / "out" / name)]) == 1
        assert f"wrote {tmp_path / 'out' / name}" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["counts"] == {"missing_image": 1, "area_off": 5, "category_without_annotations": 1}
    assert len(report["findings"]) == 7 and report["statistics"]["images"] == 24
    for name in ("report.md", "report.txt"):
        text = (tmp_path / "out" / name).read_text()
        assert text.count("area is 9999") == 5 and "| tree | 24 |" in text


def test_warnings_alone_give_status_0(sound, tmp_path, capsys):
    sound[0]["categories"].append({"id": 9, "name": "sign"})
    write_annotations(tmp_path, sound[0])
    assert cli.main(sound[1]) == 0
    assert "0 errors, 1 warning: training is safe" in capsys.readouterr().out


def test_a_file_that_is_no_json_gives_status_1(sound, tmp_path, capsys):
    (tmp_path / "annotations.json").write_text('{"images": [{"id": 1,]}')
    assert cli.main(sound[1]) == 1
    assert "annotations.json is not valid COCO JSON at byte" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changed, word",
    [
        ({"--images": "nowhere"}, "nowhere"),
        ({"--annotations": "nothing.json"}, "nothing.json"),
        ({"--jobs": "0"}, "from 1 up"),
        ({"--report": "."}, "is a folder"),
    ],
)
def test_wrong_usage_gives_status_2(sound, changed, word, capsys):
    for option, value in changed.items():
        assert cli.main([*sound[1], option, value]) == 2
    assert word in capsys.readouterr().err


def test_tensorflow_is_not_imported(sound, tmp_path):
    plant(tmp_path, sound[0])
    (told,) = run_without_tensorflow([("mrcnn_keras.cli", sound[1])])
    assert (told["status"], told["imported"]) == (1, []), told["output"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_bar_is_shown_on_a_terminal(sound):
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "mrcnn_keras.cli", *sound[1]]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=ROOT, env=environment)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # that is how a terminal ends
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    printed, _ = child.communicate()
    assert child.returncode == 0 and b"checking images" in shown and b"100%" in shown
    assert "checking images" not in printed
