"""`benchmarks/compare.py`: how contestants take turns, what is made of their times, what is said of those that fail."""

import json
import pathlib
import sys
import textwrap

import pytest

BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent.parent / "benchmarks"

# A contestant of the real protocol, with waits in place of work; it keeps a diary of its turns.
FAKE = """
import sys, time
from comparison.child import Work, serve

def paste(variant):
    turns = []
    def work():
        turns.append(0)
        print("a library says something")
        with open({diary!r}, "a") as diary:
            diary.write({name!r} + "\\n")
        {work}
    return Work({{"100 masks": work}}, lambda: {{"turns": len(turns)}})

serve({{"paste": paste}}, lambda: {{"fake": "1.0"}})
"""


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def compete(tmp_path):
    """Runs contestants, given as name -> the Python of their work; records, what was said, and who did what when."""

    def run(works, rounds=2, warmups=1, timeout=60.0):
        from comparison.process import Process, environment
        from comparison.rounds import compete

        said, diary = [], tmp_path / "diary"

        def launch(name, workload):
            program = textwrap.dedent(FAKE).format(diary=str(diary), name=name, work=works[name])
            (tmp_path / f"{name}.py").write_text(program)
            command = [sys.executable, str(tmp_path / f"{name}.py"), workload]
            return Process(command, environment(1, "stock"), timeout)

        records = compete([(name, "paste") for name in works], launch, rounds, warmups, said.append)
        return records, said, diary.read_text().split() if diary.exists() else []

    return run


def test_contestants_take_turns_and_are_measured(compete):
    quick, slow = "time.sleep(0.21)", "time.sleep(0.4)"
    (first, second), said, diary = compete({"quick": quick, "slow": slow})
    assert diary == ["quick", "slow", "quick", "slow", "slow", "quick", "quick", "slow"]
    assert first.start["versions"] == {"fake": "1.0"} and 0 < first.start["cold_start"] < 30
    assert len(first.walls["100 masks"]) == len(first.cpus["100 masks"]) == 2
    assert all(0.21 <= wall < 2 for wall in first.walls["100 masks"])
    assert all(0.4 <= wall < 4 for wall in second.walls["100 masks"])
    assert max(first.cpus["100 masks"]) < 0.2
    assert first.end["counts"] == {"turns": 4} and 0 < first.end["peak_gib"] < 2
    assert first.error is None and "round 2 of 2" in said


def test_short_work_is_repeated(compete):
    ((record,), _, diary) = compete({"short": "time.sleep(0.01)"}, rounds=1, warmups=0)
    assert 0.01 <= record.walls["100 masks"][0] < 0.2
    assert len(diary) > 2


def test_one_dies_one_hangs_and_the_others_go_on(compete):
    works = {
        "dies": "if len(turns) == 3: sys.exit('no memory left')",
        "absent": "import torchvision_of_tomorrow",
        "hangs": "if len(turns) == 2: time.sleep(100)",
        "lasts": "time.sleep(0.2)",
    }
    records, said, _ = compete(works, timeout=10)
    dies, absent, hangs, lasts = records
    assert dies.error == "ended with status 1: no memory left"
    assert absent.error == "ended with status 1: ModuleNotFoundError: No module named 'torchvision_of_tomorrow'"
    assert absent.start == {} and absent.walls == {}
    assert hangs.error == "no answer in 10 s"
    assert lasts.error is None and len(lasts.walls["100 masks"]) == 2
    assert any(line.startswith("hangs failed") for line in said)


def test_environment_of_the_contestants(monkeypatch):
    from comparison.process import environment

    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    monkeypatch.setenv("PYTHONPATH", "here")
    stock, tuned = environment(3, "stock"), environment(3, "tuned")
    assert "GLIBC_TUNABLES" not in stock and "mmap_max=0" in tuned["GLIBC_TUNABLES"]
    assert stock["OMP_NUM_THREADS"] == stock["TF_NUM_INTRAOP_THREADS"] == "3"
    assert stock["PYTHONPATH"].split(":")[-1] == str(pathlib.Path("here").resolve())


def test_groups_fit_into_the_memory_with_ours_in_each():
    from comparison.contestants import CONTESTANTS, heats

    training = [contestant for contestant in CONTESTANTS if "training" in contestant.gib]
    groups = heats(training, "training", 21)
    assert len(groups) > 1
    assert all(group[0].name == "ours" for group in groups)
    assert all(sum(contestant.gib["training"] for contestant in group) <= 21 for group in groups)
    members = [contestant.name for group in groups for contestant in group[1:]]
    assert members == [contestant.name for contestant in training[1:]]
    assert len(heats(training, "training", 1000)) == 1
    assert [len(group) for group in heats(training, "training", 1)] == [2] * (len(training) - 1)
    assert heats(training[:1], "training", 1) == [training[:1]]
    assert heats([], "training", 1) == []


def test_convolutions_are_measured_once_a_library():
    from comparison.contestants import CONTESTANTS, probes

    assert [contestant.name for contestant in probes(CONTESTANTS)] == ["ours", "torchvision"]
    without = [contestant for contestant in CONTESTANTS if contestant.name != "torchvision"]
    assert [contestant.name for contestant in probes(without)] == ["ours", "torchvision-channels-last"]


def make_record(name, walls, workload="inference", **others):
    from comparison.rounds import Record

    start = {"versions": {name: "1.0"}, "cold_start": 8.0}
    end = {"peak_gib": 1.5, "counts": {"proposals": 1000, "detections": 100, "masks": 100}}
    cpus = {case: [1.5 * wall for wall in times] for case, times in walls.items()}
    return Record(name, workload, start, walls, cpus, **{"end": end, **others})


@pytest.fixture
def part():
    """Two groups; ours is slower in the second, where everything is."""
    from comparison import convolutions, summary

    peak = {convolutions.PRODUCT: [0.04, 0.05, 0.08], "3x3 256 to 256 on 50x84": [0.02, 0.01, 0.05]}
    few = {"peak_gib": 2.0, "counts": {"proposals": 900, "detections": 100, "masks": 100}}
    groups = [
        [
            make_record("ours", {"inference": [1.0, 3.0, 2.0]}),
            make_record("torchvision", {"inference": [4.0, 5.0, 9.0]}),
            make_record("ours", peak, "peak"),
        ],
        [
            make_record("ours", {"inference": [4.0, 4.0, 4.0]}),
            make_record("model-garden", {"inference": [3.0, 5.0, 5.0]}, end=few),
            make_record("detectron2", {}, end={}, error="ended with status -9: it said nothing"),
        ],
    ]
    rows = summary.rows("inference", "tuned", groups)
    return {"workload": "inference", "allocator": "tuned", "rows": rows, "peak": summary.peak(groups)}


def test_medians_ratios_and_shares(part):
    ours, torchvision, garden, failed = part["rows"]
    assert (ours["median"], ours["min"], ours["max"], ours["rounds"]) == (3.5, 1.0, 4.0, 6)
    assert ours["times_ours"] == 1 and ours["cpu_per_wall"] == pytest.approx(1.5)
    assert torchvision["times_ours"] == 2.5  # against ours in the same group
    assert garden["times_ours"] == 1.25 and garden["as_expected"] is False
    assert ours["as_expected"] and ours["cold_start"] == 8
    assert failed["case"] == "inference" and "median" not in failed
    assert part["peak"]["convolutions"] == pytest.approx(2 * 50 * 84 * 256 * 256 * 9 / 0.02 / 1e9)
    assert part["peak"]["matrices"] == pytest.approx(2 * 2048**3 / 0.05 / 1e9)
    assert ours["gflops"] == pytest.approx(2 * 264 / 3.5, rel=0.03)  # the network has about 264 GMAC
    assert ours["of_peak"] == pytest.approx(ours["gflops"] / part["peak"]["convolutions"])


def test_training_is_counted_backwards_as_well():
    from comparison.operations import FLOPS

    assert FLOPS["training"] == pytest.approx(8.3 * 385e9, rel=0.02)


def test_report(part, tmp_path):
    from comparison import report

    profile = {"workload": "stages of our inference", "allocator": "tuned", "rows": [], "peak": {}}
    profile["profile"] = {"backbone": 0.75, "all": 1.5}
    results = {"machine": {"cores": "2"}, "settings": {"threads": 2}, "parts": [part, profile]}
    results["absent"] = {"detectron2": "pip install it"}
    paths = report.write(tmp_path / "new" / "folder", results)
    assert [path.name for path in paths] == ["compare.md", "compare.json", "compare.png"]
    text = paths[0].read_text()
    assert "cores: 2; threads: 2" in text and "not installed: detectron2 (`pip install it`)" in text
    row = "| torchvision | 5.000 | 4.000..9.000 | 2.50 | 1.50 |"
    assert row in text and "1000 proposals, 100 detections" in text
    assert "**not all**: 900 proposals" in text
    assert "Ours against the best peer: 0.80 of model-garden's (inference)." in text
    assert "detectron2 failed: ended with status -9" in text
    assert "| backbone | 0.750 | 50 % |" in text
    assert json.loads(paths[1].read_text())["parts"][0]["rows"][1]["times_ours"] == 2.5
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_stages_by_the_names_of_operations():
    from comparison import stages

    operations = [
        ("mask_rcnn_1/backbone_1/res2_0_1/conv1_1/convolution", 1.0, 2.0),
        ("mask_rcnn_1/backbone_1/res2_0_1/shortcut_1/convolution", 1.5, 2.5),  # beside the other
        ("mask_rcnn_1/fpn_1/lateral", 2.25, 3.0),
        ("StatefulPartitionedCall/mask_rcnn/mask_head_1/Relu", 3.0, 3.5),
        ("Cast", 4.0, 4.25),
    ]
    found = stages.by_stage(operations)
    assert (found["backbone"], found["FPN"], found["mask head"], found[stages.OTHER]) == (1.5, 0.75, 0.5, 0.25)
    assert found["busy"] == 2.75 and found["box head"] == 0


def test_every_stage_is_a_layer_of_the_network():
    from comparison import stages

    text = (BENCHMARKS.parent / "mrcnn_keras" / "network.py").read_text()
    for layer in stages.LAYERS:
        assert f'"{layer}"' in text or f'"{layer.removesuffix("test")}' in text, layer


def test_what_is_not_installed_is_said(tmp_path, capsys, monkeypatch):
    import compare

    words = ["--contestants", "torchvision", "--workloads", "paste", "--out", str(tmp_path), "--allocator", "stock"]
    empty = tmp_path / "python"  # as if of an environment without the packages
    empty.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    empty.chmod(0o755)
    compare.main([*words, "--torch-python", str(empty)])
    remedy = f"torchvision is not installed for {empty}: pip install torch torchvision"
    assert remedy in capsys.readouterr().out
    assert "not installed: torchvision" in (tmp_path / "compare.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--torch-python", "/no/python"], "--torch-python /no/python: there is no such program"),
        (["--rounds", "0"], "--threads and --rounds must be 1 or more"),
        (["--contestants", "yolo"], "invalid choice: 'yolo'"),
    ],
)
def test_mistakes_on_the_command_line(words, message, capsys):
    import compare

    with pytest.raises(SystemExit) as raised:
        compare.parse(words)
    assert raised.value.code == 2 and message in capsys.readouterr().err
