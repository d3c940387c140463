"""The sample that tries data distillation, on a few tiny images."""

import pytest

from .tiny import tiny_settings

SETTINGS = tiny_settings(max_detections=5, tta_scales=(1,))
pytestmark = pytest.mark.usefixtures("eager_training")


@pytest.fixture
def sample(load_sample):
    return load_sample("distill_shapes")


@pytest.mark.slow
def test_distilling_shapes_goes_on_where_it_stopped(sample, tmp_path, monkeypatch, capsys):
    words = ["--images", 6, "--labelled", 0.5, "--steps", 1, "--test-images", 2, "--seeds", 1, "--out", tmp_path]
    words = [str(word) for word in words] + SETTINGS
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
