"""The sample that tries data distillation, on a few tiny images."""

import importlib
import pathlib
import sys

import pytest

SAMPLES = pathlib.Path(__file__).resolve().parent.parent / "samples"
TINY = (
    "backbone_blocks=1,1,1,1 stem_channels=8 res2_channels=16 width_per_group=8 fpn_channels=16 box_head_dim=16 "
    "mask_head_dim=8 image_min_side=64 image_max_side=64 rpn_post_nms_topk_train=20 rpn_post_nms_topk_test=10 "
    "roi_batch_size=8 batch_size=2 max_detections=5 score_threshold=0 gt_mask_size=28 tta_scales=1"
).split()


@pytest.fixture
def sample(monkeypatch):
    monkeypatch.syspath_prepend(str(SAMPLES))
    yield importlib.import_module("distill_shapes")
    for path in SAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.slow
def test_distilling_shapes_goes_on_where_it_stopped(sample, tmp_path, monkeypatch, capsys):
    words = ["--images", 6, "--labelled", 0.5, "--steps", 1, "--test-images", 2, "--seeds", 1, "--out", tmp_path]
    words = [str(word) for word in words] + [word for one in TINY for word in ("--set", one)]
    assert sample.main(words) == 0
    text = (tmp_path / "report.md").read_text()
    assert text in capsys.readouterr().out
    lines = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert lines == ["trained on", "---", "labelled", "distilled", "distilled - labelled"]
    assert len(list((tmp_path / "seed0" / "photos").iterdir())) == 3
    monkeypatch.setattr(sample, "_measure", None)  # all is done
    assert sample.main(words) == 0


def test_gains_are_of_the_same_seed(sample):
    rows = [[dict.fromkeys(sample._COLUMNS, value) for value in values] for values in ((10, 20), (13, 25))]
    text = sample.report(["labelled", "distilled"], rows)
    assert "| labelled | 15.0 (10.0, 20.0) |" in text and "| distilled - labelled | +4.0 (+3.0, +5.0) |" in text
