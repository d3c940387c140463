"""The command line: options, exit status, and each command on a few tiny images."""

import argparse
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mrcnn_keras.commands import doctor, options
from mrcnn_keras.commands.detection import inputs
from mrcnn_keras.presets import PRESETS

from .coco_files import write_shapes
from .command_line import ROOT, run, run_without_tensorflow
from .tiny import tiny_model, tiny_settings

SETTINGS = tiny_settings()
pytestmark = pytest.mark.usefixtures("eager_training")


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """A folder of six drawn images with a COCO annotation file."""
    return write_shapes(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="module")
def trained(coco, tmp_path_factory, eager_training):
    """The output folder of a training of four steps with validation."""
    out = tmp_path_factory.mktemp("trained")
    data = ["--images", coco / "images", "--annotations", coco / "instances.json"]
    validation = ["--validation-images", coco / "images", "--validation-annotations", coco / "instances.json"]
    words = ["train", *data, *validation, "--preset", "mask_rcnn_narrow_fpn", "--out", out, "--steps", 4, *SETTINGS]
    assert run(*words) == 0
    return out


def test_help_and_mistakes_are_told_without_tensorflow():
    expected = [
        (["--help"], 0, "demo train evaluate detect distill proposals validate export presets doctor".split()),
        (["train", "--help"], 0, ["--annotations"]),
        (["proposals", "--help"], 0, ["--batch-size"]),
        (["distill", "--help"], 0, ["--labelled-annotations"]),
        (["fly"], 2, ["fly"]),
        (["demo", "--steps", "0"], 2, ["--steps"]),
        (["demo", "--set", "x=1"], 2, ["'x'"]),
        ([], 2, ["COMMAND"]),
    ]
    told = run_without_tensorflow([("mrcnn_keras.cli", words) for words, *_ in expected])
    for (words, status, parts), one in zip(expected, told, strict=True):
        assert (one["status"], one["imported"]) == (status, []), words
        assert [part for part in parts if part not in one["output"]] == [], words


@pytest.mark.parametrize(
    "text, value",
    [
        ("num_classes=7", 7),
        ("base_learning_rate=1e-3", 0.001),
        ("flip=no", False),
        ("flip=True", True),
        ("backbone=resnet101", "resnet101"),
        ("class_names=cat, dog", ("cat", "dog")),
        ("class_names=cat", ("cat",)),
        ("anchor_ratios=0.5,1,2", (0.5, 1, 2)),
        ("backbone_blocks=2,2,2,2", (2, 2, 2, 2)),
        ("backbone_blocks=", ()),
        ("train_min_sides=640", (640,)),
        ("anchor_sizes=(32,48),64,128,256,512", ((32, 48), 64, 128, 256, 512)),
    ],
)
def test_settings_have_the_type_of_their_field(text, value):
    name, parsed = options.setting(text)
    assert name == text.partition("=")[0]
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("anchor_size=1", "anchor_sizes"),
        ("numclasses=1", "num_classes"),
        ("num_classes", "FIELD=VALUE"),
        ("num_classes=many", "whole number"),
        ("num_classes=1.5", "whole number"),
        ("flip=maybe", "true or false"),
        ("anchor_ratios=wide", "a list"),
        ("backbone_blocks=1.5,2,2,2", "whole number"),
    ],
)
def test_settings_that_cannot_be(text, expected):
    with pytest.raises(argparse.ArgumentTypeError, match=expected):
        options.setting(text)


def test_a_value_out_of_range_is_wrong_usage(coco, tmp_path, capsys):
    data = ["--images", coco / "images", "--annotations", coco / "instances.json"]
    words = ["train", *data, "--preset", "mask_rcnn_narrow_fpn", "--out", tmp_path, "--set", "nms_threshold=3"]
    assert run(*words) == 2
    assert "nms_threshold=3.0: expected a number in [0, 1]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["images", "annotations"])
def test_absent_data_is_wrong_usage(name, coco, tmp_path, capsys):
    data = {"images": coco / "images", "annotations": coco / "instances.json"} | {name: tmp_path / "nowhere"}
    words = [word for key, value in data.items() for word in (f"--{key}", value)]
    assert run("train", *words, "--preset", "mask_rcnn_narrow_fpn", "--out", tmp_path) == 2
    assert "nowhere" in capsys.readouterr().err


def test_an_unknown_preset_names_the_near_ones(coco, tmp_path, capsys):
    data = ["--images", coco / "images", "--annotations", coco / "instances.json"]
    assert run("train", *data, "--preset", "mask_rcnn_resnet50", "--out", tmp_path) == 2
    assert "mask_rcnn_resnet50_fpn" in capsys.readouterr().err


def test_broken_annotations_end_with_status_1(coco, tmp_path, capsys):
    (tmp_path / "broken.json").write_text("{")
    words = ["--images", coco / "images", "--annotations", tmp_path / "broken.json", "--out", tmp_path / "out"]
    assert run("train", *words, "--preset", "mask_rcnn_narrow_fpn") == 1
    assert "broken.json" in capsys.readouterr().err


def test_a_broken_image_ends_training_with_its_name(coco, tmp_path, capsys):
    shutil.copytree(coco, tmp_path / "coco")
    torn = tmp_path / "coco" / "images" / "3.png"
    torn.write_bytes(torn.read_bytes()[:1000])
    data = ["--images", tmp_path / "coco" / "images", "--annotations", tmp_path / "coco" / "instances.json"]
    words = ["train", *data, "--preset", "mask_rcnn_narrow_fpn", *SETTINGS]
    assert run(*words, "--steps", 4, "--out", tmp_path / "out") == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert "3.png" in message and "skip_broken" in message
    assert run(*words, "--steps", 1, "--out", tmp_path / "out", "--skip-broken") == 0
    assert "3.png" in (tmp_path / "out" / "report.txt").read_text()


def test_presets_lists_all(capsys):
    assert run("presets") == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in PRESETS)


def test_doctor_reports(capsys, monkeypatch, tmp_path):
    import tensorflow as tf

    from mrcnn_keras import ops

    monkeypatch.setenv("MRCNN_KERAS_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")
    assert run("doctor") == 0
    printed = capsys.readouterr().out
    for expected in (tf.__version__, np.__version__, "CPU:0", ops.status().implementation, str(tmp_path / "cache")):
        assert expected in printed
    assert "free memory" in printed and "free disk" in printed
    (advice,) = [line for line in printed.splitlines() if "bfloat16" in line]
    assert "advised" in advice and "times as long as in float32" in advice


def test_doctor_builds_the_operation_on_demand(capsys, monkeypatch):
    from mrcnn_keras.ops import build

    monkeypatch.setattr(build, "build_ops", lambda: print("building"))
    assert run("doctor", "--build-ops") == 0
    assert "building" in capsys.readouterr().out

    def fail():
        raise RuntimeError("there is no compiler")

    monkeypatch.setattr(build, "build_ops", fail)
    assert run("doctor", "--build-ops") == 1
    assert "there is no compiler" in capsys.readouterr().err


def test_free_memory_is_a_sensible_amount():
    amount = doctor.free_memory()
    assert amount is None or 2**20 < amount < 2**50


def test_training_leaves_models_and_curves(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"last.keras", "best.keras", "history.csv", "curves.png"} <= names
    rows = (trained / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + 2  # six images, batches of two, four steps: an epoch of three and one of one
    for column in ("loss", "mask_loss", "learning_rate", "val_loss", "val_segm_AP"):
        assert column in rows[0].split(",")


def test_training_stops_at_the_step_asked_for(trained):
    from mrcnn_keras import MaskRCNN

    model = MaskRCNN.load(trained / "last.keras")
    assert int(model.optimizer.iterations) == 4
    assert model.config.names == ("circle", "square", "triangle")


@pytest.mark.filterwarnings("ignore:going on with other settings")  # that is, more steps
def test_training_does_not_overwrite_and_resumes(coco, trained, tmp_path, capsys):
    from mrcnn_keras import MaskRCNN

    data = ["--images", coco / "images", "--annotations", coco / "instances.json"]
    words = ["train", *data, "--preset", "mask_rcnn_narrow_fpn", "--out", tmp_path, *SETTINGS]
    (tmp_path / "last.keras").write_bytes((trained / "last.keras").read_bytes())
    assert run(*words, "--steps", 5) == 2
    assert "--resume" in capsys.readouterr().err
    assert run(*words, "--steps", 4, "--resume") == 2
    assert "4 steps" in capsys.readouterr().err
    assert run(*words, "--steps", 5, "--resume") == 0
    assert int(MaskRCNN.load(tmp_path / "last.keras").optimizer.iterations) == 5


@pytest.mark.filterwarnings("ignore:going on with other settings")  # that is, more steps
def test_training_from_a_checkpoint_resumes(coco, trained, tmp_path):
    from mrcnn_keras import MaskRCNN
    from mrcnn_keras.weights import save_checkpoint

    source = save_checkpoint(MaskRCNN.load(trained / "last.keras"), tmp_path / "source.pkl")
    data = ["--images", coco / "images", "--annotations", coco / "instances.json"]
    words = ["train", *data, "--preset", "mask_rcnn_narrow_fpn", "--out", tmp_path / "out", *SETTINGS]
    assert run(*words, "--steps", 1, "--weights", source) == 0
    assert MaskRCNN.load(tmp_path / "out" / "last.keras").config.pixel_std == (1.0, 1.0, 1.0)  # Detectron2's
    assert run(*words, "--steps", 2, "--resume", "--set", "nms_threshold=0.4") == 2
    assert run(*words, "--steps", 2, "--resume") == 0


def test_evaluate_prints_a_table_and_writes_json(coco, trained, tmp_path, capsys):
    data = ["--images", coco / "images", "--annotations", coco / "instances.json"]
    assert run("evaluate", "--model", trained / "best.keras", *data, "--out", tmp_path / "m.json") == 0
    printed = capsys.readouterr().out
    assert "boxes" in printed and "masks" in printed
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert 0 <= metrics["bbox"]["AP50"] <= 1 and 0 <= metrics["segm"]["AP"] <= 1
    words = ["--tta", "--set", "tta_scales=1,1.5", "--set", "score_threshold=0", "--class-score", "circle=1"]
    assert run("evaluate", "--model", trained / "best.keras", *data, "--results", tmp_path, *words) == 0
    found = json.loads((tmp_path / "bbox.json").read_text())
    assert found and {one["category_id"] for one in found} == {2, 3}  # no circle scores more than 1


def test_options_of_detect_are_checked(coco, trained, capsys):
    data = ["--images", coco / "images", "--annotations", coco / "instances.json", "--model", trained / "best.keras"]
    for words, message in (
        (("--soft-nms", "0"), "above 0"),
        (("--class-score", "circle"), "NAME=S"),
        (("--class-score", "circle=1.5"), "from 0 to 1"),
        (("--class-score", "cell=0.3"), "the model's classes are circle"),
        (("--tiles", "big"), "whole number"),
    ):
        assert run("evaluate", *data, *words) == 2
        assert message in capsys.readouterr().err


def test_detect_writes_pictures_and_coco_results_of_all_that_can_be_read(coco, trained, tmp_path, capsys):
    out, torn = tmp_path / "found", tmp_path / "torn.png"
    torn.write_bytes((coco / "images" / "0.png").read_bytes()[:100])
    words = ["detect", torn, coco / "images", "--model", trained / "last.keras", "--out", out]
    assert run(*words, "--set", "max_detections=3") == 1
    assert "torn.png" in capsys.readouterr().err
    assert {f"{i}.png" for i in range(6)} <= {path.name for path in out.iterdir()}
    written = json.loads((out / "detections.json").read_text())
    assert [image["width"] for image in written["images"]] == [64] * 6
    assert [category["name"] for category in written["categories"]] == ["circle", "square", "triangle"]
    counts = [sum(one["image_id"] == image["id"] for one in written["annotations"]) for image in written["images"]]
    assert 0 < max(counts) <= 3


def test_settings_that_change_the_weights_are_refused(trained, coco, tmp_path, capsys):
    words = ["detect", coco / "images", "--model", trained / "last.keras", "--out", tmp_path]
    assert run(*words, "--set", "fpn_channels=16") == 2
    assert "fpn_channels" in capsys.readouterr().err


def test_pictures_do_not_collide_and_are_not_searched(tmp_path):
    for name in ("a/x.png", "b/x.png", "b/x.bmp", "out/x.png", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    given = [tmp_path / "a/x.png", tmp_path / "b/x.png", tmp_path]
    sources = inputs.find_sources(given, tmp_path / "out")
    assert len(sources) == 3 and tmp_path / "out/x.png" not in [source.path for source in sources]
    assert len({source.target for source in sources}) == 3
    assert all(source.target.is_relative_to(tmp_path / "out") for source in sources)


def test_a_file_that_is_no_model_is_wrong_usage(coco, tmp_path, capsys):
    words = ["detect", coco / "images", "--model", coco / "instances.json", "--out", tmp_path]
    assert run(*words) == 2
    assert "instances.json" in capsys.readouterr().err


def test_export_writes_a_saved_model(trained, tmp_path, capsys):
    import tensorflow as tf

    assert run("export", tmp_path / "exported" / "1", "--model", trained / "last.keras") == 0
    assert "serving_default" in tf.saved_model.load(str(tmp_path / "exported" / "1")).signatures
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    assert run("export", tmp_path / "mine", "--model", trained / "last.keras") == 2
    assert (tmp_path / "mine" / "notes").exists()


def test_demo_in_a_few_steps(tmp_path, capsys, monkeypatch):
    from mrcnn_keras import demo

    monkeypatch.setattr(demo, "export_and_compare", lambda *arguments: True)
    monkeypatch.setattr(demo, "TEST_IMAGES", 3)
    monkeypatch.setattr(demo, "COMPARED", 2)
    assert run("demo", "--out", tmp_path / "demo", "--steps", 2, *SETTINGS) == 0
    printed = capsys.readouterr().out
    assert "boxes" in printed and "masks" in printed and "AP75" in printed
    assert (tmp_path / "demo" / "detections.png").stat().st_size > 1000


@pytest.mark.slow
def test_demo_runs_its_export_where_the_package_is_absent(tmp_path, capsys):
    from mrcnn_keras import demo
    from mrcnn_keras.data import ShapesDataset

    assert demo.export_and_compare(tiny_model(), ShapesDataset(2, size=(64, 64)), tmp_path)
    assert "cannot import mrcnn_keras: the same" in capsys.readouterr().out
    assert (tmp_path / "exported" / "1" / "saved_model.pb").exists()


def test_demo_notices_an_export_that_answers_otherwise(capsys):
    from mrcnn_keras import demo
    from mrcnn_keras.inference import Detections

    boxes, image = np.array([[4, 4, 20, 24]], np.float32), np.zeros((32, 32, 3), np.uint8)
    masks = np.zeros((1, 32, 32), bool)
    masks[0, 4:24, 4:20] = True
    found = [Detections(boxes=boxes, scores=[0.9], class_ids=[1], class_names=("a", "b"), masks=masks)]
    served = {
        "num_detections": np.array([1.0]),
        "detection_classes": np.array([[2.0]]),
        "detection_scores": np.array([[0.9]], np.float32),
        "detection_boxes": boxes[None][..., [1, 0, 3, 2]] / 32,
        "detection_masks": np.ones((1, 1, 28, 28), np.float32),
    }
    assert demo.compare(found, served, [image])
    for name, value in {"detection_classes": [[1.0]], "detection_scores": [[0.8]], "num_detections": [0.0]}.items():
        assert not demo.compare(found, {**served, name: np.array(value)}, [image])
    assert not demo.compare(found, {**served, "detection_boxes": served["detection_boxes"] + 0.1}, [image])
    capsys.readouterr()


def test_traceback_on_demand(coco, trained, tmp_path):
    (tmp_path / "broken.json").write_text("{")
    words = ["--model", trained / "last.keras", "--images", coco / "images", "--annotations", tmp_path / "broken.json"]
    with pytest.raises(ValueError, match="broken.json"):
        run("evaluate", *words, "--traceback")


@pytest.mark.skipif(os.name == "nt", reason="asks for file descriptor 2")
def test_importing_tensorflow_is_silent_unless_it_fails(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os; os.write(2, b'notes to developers'); assert False")
    code = "from mrcnn_keras.commands.quiet import import_tensorflow; import_tensorflow()"
    words = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    failed = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert failed.returncode and "notes to developers" in failed.stderr
    (tmp_path / "tensorflow.py").write_text(
        "import os; os.write(2, b'notes to developers')\nclass config: list_physical_devices = list"
    )
    worked = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert worked.returncode == 0 and "notes" not in worked.stderr
