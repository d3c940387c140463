"""The recipes of the paper's tables: none is missing, those at full scale are valid, and one runs from end to end."""

import concurrent.futures
import importlib
import json
import math

import pytest

from .coco_files import write_people
from .command_line import run_without_tensorflow
from .tiny import tiny_settings

SETTINGS = tiny_settings(train_min_sides=(64,), image_max_side=96, max_detections=5, tta_scales=(1.0,))
pytestmark = pytest.mark.usefixtures("eager_training")

# The rows of the paper's tables from top to bottom, each with its number in the first column; those of other systems
# that are not trained here with a minus.
ROWS = {
    "1": (-24.6, -29.2, -33.6, 33.1, 35.7, 37.1),
    "2a": (30.3, 32.7, 33.6, 35.4, 36.7),
    "2b": (24.8, 30.3),
    "2c": (26.9, 27.2, 27.1, 30.2, 30.3),
    "2d": (23.6, 30.9),
    "2e": (31.5, 31.5, 33.6),
    "3": (-34.9, -36.2, -34.7, -36.8, 37.3, 38.2, 39.8),
    "4": (-61.8, -62.4, 62.7, 63.1),
    "5": (52.5, 53.6, 50.7, 52.0),
    "6": (59.8, 64.2),
    "7": (-15.8, -19.8, -17.4, -20.0, -29.2, 31.5, 36.4),
    "8": (36.7, 37.0, 37.6, 38.6, 39.2, 39.7, 40.3, 41.8),
    "9": (64.2, 65.1, 66.1, 67.3, 69.1, 70.4),
}
COLUMNS = {"1": 6, "2a": 3, "2b": 3, "2c": 3, "2d": 6, "2e": 3, "3": 6, "4": 5, "5": 3, "6": 5, "7": 11, "8": 6, "9": 5}
NUMBERED = [(table, number) for table, rows in ROWS.items() for number, ap in enumerate(rows) if ap > 0]


@pytest.fixture
def inline(load_sample, monkeypatch):
    """Trainings run in this process, one after the other."""
    monkeypatch.setattr(load_sample("_recipe_jobs"), "_pool", lambda at_once: Inline())


class Inline(concurrent.futures.Executor):
    """Does a job at once."""

    def submit(self, function, *arguments):
        future = concurrent.futures.Future()
        future.set_result(function(*arguments))
        return future


@pytest.mark.parametrize("table", ROWS)
def test_every_row_of_the_paper_has_a_recipe(load_sample, table):
    found = load_sample("_paper_tables").TABLES[table]
    assert tuple(next(iter(row.paper.values())) * (1 if row.model else -1) for row in found.rows) == ROWS[table]
    assert len(found.columns) == COLUMNS[table]
    assert len({row.name for row in found.rows}) == len(found.rows)


def test_there_is_no_table_beyond(load_sample):
    assert set(load_sample("_paper_tables").TABLES) == set(ROWS)


@pytest.mark.parametrize(("table", "number"), NUMBERED)
def test_recipes_make_valid_configs_at_every_scale(load_sample, table, number):
    recipes, presets = load_sample("_recipes"), importlib.import_module("mrcnn_keras.presets")
    found = load_sample("_paper_tables").TABLES[table]
    row, scale = found.rows[number], recipes.Scale("full", imagenet5k="x101.pkl", folders={"coco": "c"})
    training, test = recipes.recipe(found, row, scale)
    config = recipes.full_config(training)
    assert config.total_steps == recipes.SCHEDULES[training["schedule"]].steps
    assert config.batch_size == (8 if "resnext" in config.backbone or table == "7" else 16)
    assert config.nms_threshold == (0.3 if training["schedule"].startswith(("paper", "cityscapes")) else 0.5)
    assert test["tta"] == ("test-time" in row.name)
    for name in ("tiny", "small"):
        drawn, _ = recipes.recipe(found, row, recipes.Scale(name))
        presets.preset_config(drawn["preset"], **drawn["fields"])
        assert 0 < drawn["steps"] <= (250 if name == "tiny" else 1500)


def test_what_is_the_same_training_is_trained_once(load_sample):
    recipes, tables = load_sample("_recipes"), load_sample("_paper_tables").TABLES

    def keys(scale, *rows):
        return {recipes.key(recipes.recipe(tables[table], tables[table].rows[n - 1], scale)[0]) for table, n in rows}

    for scale in (recipes.Scale("tiny"), recipes.Scale("full", folders={"coco": "c", "unlabelled": "u"})):
        assert len(keys(scale, ("1", 5), ("2a", 4), ("3", 6))) == 1
        assert len(keys(scale, ("2a", 1), ("2b", 2))) == 1
        assert len(keys(scale, ("4", 3), ("5", 3), ("6", 2), ("9", 1))) == 1
        assert len(keys(scale, ("8", 7), ("8", 8))) == len(keys(scale, ("9", 5), ("9", 6))) == 1
        assert len(keys(scale, ("2b", 1), ("2b", 2), ("9", 4), ("9", 5))) == 4
    seeds = {recipes.key(recipes.recipe(tables["2a"], tables["2a"].rows[0], scale, seed)[0]) for seed in (0, 1)}
    assert len(seeds) == 2


def test_the_chains_of_appendix_b(load_sample):
    recipes, tables = load_sample("_recipes"), load_sample("_paper_tables").TABLES
    scale = recipes.Scale("full", imagenet5k="x101.pkl", folders={"coco": "c", "unlabelled": "u"})
    chain = [recipes.recipe(tables["8"], row, scale)[0] for row in tables["8"].rows]
    x152 = "detectron2/ImageNetPretrained/FAIR/X-152-32x8d-IN5k"
    assert [one["weights"] for one in chain] == ["imagenet"] * 3 + ["x101.pkl"] * 2 + [x152] * 3
    assert [recipes.full_config(one).total_steps for one in chain] == [160_000] + [180_000] * 3 + [260_000] * 4
    assert [row.stages for row in tables["8"].rows] == ["stage_wise"] * 2 + ["end_to_end"] * 6
    city = recipes.recipe(tables["7"], tables["7"].rows[-1], scale)[0]
    assert city["start"] == recipes.recipe(tables["2a"], tables["2a"].rows[2], scale)[0]
    distilled, plain = (recipes.recipe(tables["9"], tables["9"].rows[n], scale)[0] for n in (4, 3))
    assert distilled["distilled"] == {"teacher": plain, "folder": "u"}


def test_help_and_mistakes_without_tensorflow(tmp_path):
    full = ("--scale", "full", "--out", str(tmp_path))
    mistakes = {
        ("--help",): (0, "--scale"),
        ("--table", "10"): (2, "10"),
        ("--table", "5", "--row", "MNC"): (2, "Faster R-CNN"),
        (*full, "--table", "5"): (2, "--dataset"),
        (*full, "--table", "7"): (2, "--cityscapes"),
        (*full, "--table", "8", "--row", "4", "5"): (2, "--imagenet5k: no public ImageNet-5k weights of 'resnext101"),
        (*full, "--table", "9", "--row", "5", "--dataset", str(tmp_path)): (2, "unlabeled2017"),
    }
    calls = [("reproduce", words) for words in mistakes]
    for (words, (status, said)), told in zip(mistakes.items(), run_without_tensorflow(calls), strict=True):
        assert (told["status"], told["imported"]) == (status, []), (words, told["output"])
        assert said in told["output"], words


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_a_report_with_everything_measured_has_no_empty_cell(load_sample):
    tables, report = load_sample("_paper_tables").TABLES, load_sample("_recipe_report")
    recipes = load_sample("_recipes")
    for number, table in tables.items():

        def about(row, table=table):
            found = recipes.recipe(table, row, recipes.Scale()) if row.model else ()
            return dict(zip(("training", "test"), found))

        measured = [dict.fromkeys(table.columns, 0.25), dict.fromkeys(table.columns, 0.35)]
        values = report.as_values(number, table.rows, lambda row, m=measured: m if row.model else [], about)
        json.dumps(values, allow_nan=False)
        text = report.as_markdown(values, "tiny")
        assert report.NOT_MEASURED not in text and "nan" not in text
        lines = [line for line in text.splitlines() if line.startswith("| ")]
        assert all(cell for line in lines for cell in cells(line))
        for row, line in zip(table.rows, lines[1:]):
            assert cells(line)[0] == row.name
            shown = dict(zip(table.columns, cells(line)[1:]))
            for column, paper in row.paper.items():
                assert shown[column] == (f"30.0 ± 7.1 ({paper})" if row.model else f"– ({paper})")


def test_what_was_not_there_and_what_was_not_run_are_told_apart(load_sample):
    rows, report = load_sample("_paper_tables").TABLES["2b"].rows, load_sample("_recipe_report")
    nothing = {"mask AP": math.nan, "mask AP50": math.nan, "mask AP75": math.nan}
    measured = {"softmax": [nothing, {**nothing, "mask AP": 0.25}], "sigmoid": []}
    values = report.as_values("2b", rows, lambda row: measured[row.name], lambda row: {})
    assert json.loads(json.dumps(values, allow_nan=False))["rows"][0]["measured"] == {
        "mask AP": 25.0, "mask AP50": None, "mask AP75": None
    }  # fmt: skip
    softmax, sigmoid = (cells(line) for line in report.as_markdown(values, "tiny").splitlines()[4:6])
    assert softmax == ["softmax", "25.0 (24.8)", "nothing to find (44.1)", "nothing to find (25.1)"]
    assert sigmoid == ["sigmoid", "not run (30.3)", "not run (51.2)", "not run (31.5)"]


def test_rows_without_public_weights_do_not_keep_the_others_from_being_done(load_sample, tmp_path, monkeypatch, capsys):
    run, done = load_sample("reproduce"), []
    monkeypatch.setattr(run, "do_all", lambda wanted, *_: done.extend(wanted))
    words = ["--scale", "full", "--table", "8", "--dataset", str(tmp_path), "--out", str(tmp_path / "out")]
    assert run.main(words) == 1
    assert [title.split(", ")[1] for title, *_ in done] == [
        "original baseline", "+ updated baseline", "+ e2e training", "+ deeper", "+ Non-local", "+ test-time augm."
    ]  # fmt: skip
    said = capsys.readouterr()
    assert "left out: table 8, + ImageNet-5k, X-101-FPN: --imagenet5k" in said.err
    assert "| + train-time augm., X-101-FPN | not run (39.2)" in said.out and "Left out: table 8, + train" in said.out


def test_files_for_a_server_appear_when_they_are_whole(load_sample, tmp_path):
    runs, folder = load_sample("_recipe_runs"), tmp_path / "for_the_server" / "test-dev"

    def stopped(place):
        place.mkdir(parents=True)
        (place / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs._write_once(folder, stopped)
    assert not folder.exists()
    runs._write_once(folder, lambda place: (place.mkdir(), (place / "whole").touch()))
    runs._write_once(folder, stopped)  # not called
    assert [path.name for path in folder.iterdir()] == ["whole"]


SMALL = [*SETTINGS, "--steps", "1", "--jobs", "1"]


@pytest.mark.slow
def test_goes_on_where_it_stopped_and_reports_beside_the_paper(load_sample, inline, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(load_sample("_recipes").TEST_IMAGES, "tiny", 2)
    run = load_sample("reproduce").main
    words = ["--table", "2d", "--out", str(tmp_path), *SMALL, "--set", "anchor_sizes=8,16,32,64"]
    assert run([*words, "--row", "roipool"]) == 0
    assert "1 trainings" in capsys.readouterr().out
    assert run(words) == 0
    assert "1 trainings" in capsys.readouterr().out
    assert run(words) == 0
    assert "0 trainings" in capsys.readouterr().out
    text = (tmp_path / "report.md").read_text()
    assert "(23.6)" in text and "(36.4)" in text and "not run" not in text
    (table,) = json.loads((tmp_path / "report.json").read_text())["tables"]
    assert [row["row"] for row in table["rows"]] == ["RoIPool", "RoIAlign"]
    assert all(set(row["measured"]) == set(table["columns"]) and row["seconds"] for row in table["rows"])


@pytest.mark.slow
def test_city_that_starts_from_other_weights(load_sample, inline, tmp_path, monkeypatch, capsys):
    pytest.importorskip("cityscapesscripts")
    monkeypatch.setitem(load_sample("_recipes").TEST_IMAGES, "tiny", 6)
    monkeypatch.setattr(load_sample("_recipe_data"), "CITY_IMAGES", 4)
    assert load_sample("reproduce").main(["--table", "7", "--row", "7", "--out", str(tmp_path), *SMALL]) == 0
    printed = capsys.readouterr()
    assert "2 trainings" in printed.out and "class rider fresh" in printed.err and "class car from car" in printed.err
    (row,) = json.loads((tmp_path / "report.json").read_text())["tables"][0]["rows"]
    assert "AP [val]" in row["measured"] and "AP50" in row["measured"]


@pytest.mark.slow
def test_data_distillation_and_two_tests_of_one_model(load_sample, inline, tmp_path, monkeypatch, capsys):
    for sizes in ("TEST_IMAGES", "UNLABELLED_IMAGES"):
        monkeypatch.setitem(getattr(load_sample("_recipes"), sizes), "tiny", 2)
    monkeypatch.setattr(load_sample("_recipe_data"), "_COUNTED", 4)
    assert load_sample("reproduce").main(["--table", "9", "--row", "5", "6", "--out", str(tmp_path), *SMALL]) == 0
    assert "2 trainings" in capsys.readouterr().out
    rows = json.loads((tmp_path / "report.json").read_text())["tables"][0]["rows"]
    assert [row["test"]["tta"] for row in rows] == [False, True]
    assert len(list((tmp_path / "models").glob("*.keras"))) == 2


@pytest.mark.slow
def test_full_scale_takes_coco(load_sample, inline, tmp_path, capsys):
    for part in ("train2017", "val2017"):
        write_people(tmp_path / "coco" / part, tmp_path / "coco" / "annotations" / f"person_keypoints_{part}.json")
    words = ["--table", "6", "--row", "RoIPool", "--scale", "full", "--dataset", str(tmp_path / "coco")]
    words += ["--weights", "none", "--out", str(tmp_path / "out")]
    assert load_sample("reproduce").main([*words, *SMALL]) == 0
    assert "(59.8)" in capsys.readouterr().out
    assert list((tmp_path / "out" / "states").glob("*/last.keras"))
