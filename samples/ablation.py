"""The paper's ablations: train the rows of one table and print them beside the paper's numbers.

python samples/ablation.py --table 2c                       on small drawn scenes
python samples/ablation.py --table 2c --seeds 3 --out runs/2c
python samples/ablation.py --table 2c --scale full --dataset coco    as in the paper: COCO 2017, 8 GPUs, days

At "tiny" scale narrow networks learn from random weights: what counts is the difference between the rows. An
interrupted table goes on where it stopped when it is started again with the same --out.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import pathlib
import statistics
import sys
import time
from typing import Any

import _common
from _ablation_tables import TABLES, Row, Table, row_settings

from mrcnn_keras import demo
from mrcnn_keras.commands import options
from mrcnn_keras.commands.quiet import import_tensorflow
from mrcnn_keras.data.cpus import usable_cpus

TRAIN_IMAGES, TRAIN_SEED = 20_000, 100
TEST_IMAGES, TEST_SEED = 200, 7
_KINDS = {"box": "bbox", "mask": "segm", "keypoint": "keypoints"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", choices=TABLES, required=True, help="table of the paper")
    parser.add_argument("--scale", choices=("tiny", "full"), default="tiny", help="drawn scenes, or COCO (tiny)")
    parser.add_argument("--seeds", type=options.positive, default=1, metavar="N", help="trainings of each row (1)")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="only these rows, by the beginning of their names")
    parser.add_argument("--steps", type=options.positive, metavar="N", help="training steps (the table's)")
    parser.add_argument("--jobs", type=options.positive, metavar="N",
                        help="trainings at the same time (tiny: one a core; full: 1)")  # fmt: skip
    parser.add_argument("--dataset", type=options.folder, metavar="DIR",
                        help="full: COCO's folder with train2017, val2017 and annotations")  # fmt: skip
    parser.add_argument("--weights", default="imagenet", metavar="W", help="full: start from these, or none (imagenet)")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="results (runs/ablation_TABLE_SCALE)")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Train what is not trained yet, then print the table; 1 if a training failed."""
    table = TABLES[args.table]
    rows = _chosen(table, args.rows)
    if args.scale == "full" and args.dataset is None:
        raise options.UsageError("--scale full needs --dataset, COCO's folder")
    out = args.out or pathlib.Path(f"runs/ablation_{args.table}_{args.scale}")
    out.mkdir(parents=True, exist_ok=True)
    # Seed by seed, so that an interrupted run has something of every row.
    jobs = [_job(args, table, row, seed) for seed in range(args.seeds) for row in rows]
    results = _Results(out / "results.json")
    missing = [job for job in jobs if results.find(job) is None]
    print(f"table {args.table}, {table.title}: {len(missing)} of {len(jobs)} trainings to do", flush=True)
    failed = _train_all(missing, args.jobs or (1 if args.scale == "full" else usable_cpus()), results)
    text = report(table, rows, [(job, found) for job in jobs if (found := results.find(job))], args.scale)
    (out / "report.md").write_text(text)
    print(text)
    print(f"wrote {out}: report.md, results.json")
    return 1 if failed else 0


def _chosen(table: Table, names: list[str] | None) -> list[Row]:
    if not names:
        return list(table.rows)
    rows = [row for row in table.rows if any(row.name.casefold().startswith(name.casefold()) for name in names)]
    if not rows:
        raise options.UsageError(f"--rows {' '.join(names)}: the rows are {', '.join(row.name for row in table.rows)}")
    return rows


def _job(args: argparse.Namespace, table: Table, row: Row, seed: int) -> dict[str, Any]:
    """All that a training depends on, as it goes to the process that does it."""
    preset, fields = row_settings(table, row, args.scale)
    job = {"row": row.name, "seed": seed, "scale": args.scale, "preset": preset}
    job["fields"] = {**fields, "seed": seed, **options.settings(args)}
    if args.scale == "full":
        return job | {"dataset": str(args.dataset), "weights": args.weights, "steps": args.steps}
    return job | {"scenes": table.scenes, "steps": args.steps or table.steps}


class _Results:
    """What was measured so far, in a file."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.found = json.loads(path.read_text()) if path.exists() else []

    def find(self, job: dict[str, Any]) -> dict[str, Any] | None:
        return next((one["metrics"] for one in self.found if one["job"] == _plain(job)), None)

    def add(self, job: dict[str, Any], metrics: dict[str, Any], seconds: float) -> None:
        self.found.append({"job": _plain(job), "metrics": metrics, "seconds": round(seconds, 1)})
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.found, indent=1) + "\n")
        beside.replace(self.path)


def _plain(job: dict[str, Any]) -> dict[str, Any]:
    """The job as a JSON file has it."""
    return json.loads(json.dumps(job))


def _train_all(jobs: list[dict[str, Any]], at_once: int, results: _Results) -> int:
    """Do the jobs in processes of their own; how many failed."""
    failed = 0
    threads = max(1, usable_cpus() // at_once)
    settings = {"mp_context": multiprocessing.get_context("spawn"), "max_tasks_per_child": 1}
    settings |= {"initializer": _limit_threads, "initargs": (threads,)}
    with concurrent.futures.ProcessPoolExecutor(at_once, **settings) as pool:
        waiting = {pool.submit(train_row, job): job for job in jobs}
        for number, future in enumerate(concurrent.futures.as_completed(waiting), start=1):
            job = waiting[future]
            name = f"[{number}/{len(jobs)}] {job['row']}, seed {job['seed']}"
            try:
                metrics, seconds = future.result()
            except Exception as error:  # one row that fails must not lose the others
                failed += 1
                print(f"{name}: failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            results.add(job, metrics, seconds)
            shown = ", ".join(f"{key} {100 * value:.1f}" for key, value in _flat(metrics).items() if key[-2:] == "AP")
            print(f"{name}: {shown} ({seconds / 60:.1f} min)", flush=True)
    return failed


def _limit_threads(threads: int) -> None:
    import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def train_row(job: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """One training and its evaluation; runs in a process of its own.

    Args:
        job: of `_job`.

    Returns: what `evaluate_coco` returns, and the seconds that both took.
    """
    started = time.monotonic()
    import_tensorflow()
    model, test_set = _train_tiny(job) if job["scale"] == "tiny" else _train_full(job)
    from mrcnn_keras.evaluation import evaluate_coco

    metrics = evaluate_coco(model, test_set, batch_size=4, verbose=False)
    return metrics, time.monotonic() - started


def _train_tiny(job: dict[str, Any]) -> tuple[Any, Any]:
    from mrcnn_keras.commands.models import new_config
    from mrcnn_keras.model import MaskRCNN

    # Every seed sees other scenes; all rows of a seed see the same.
    train_set, test_set = (
        _scenes(*job["scenes"], count, seed)
        for count, seed in ((TRAIN_IMAGES, TRAIN_SEED + job["seed"]), (TEST_IMAGES, TEST_SEED))
    )
    model = MaskRCNN(new_config(job["preset"], job["fields"], train_set))
    model.compile(demo.make_optimizer(model.config, job["steps"]))
    model.fit(train_set, steps_per_epoch=job["steps"], verbose=0, workers=1)
    return model, test_set


def _scenes(kind: str, arguments: dict[str, Any], count: int, seed: int) -> Any:
    from _scenes import ThinShapesDataset

    from mrcnn_keras.data import StickFiguresDataset

    make = ThinShapesDataset if kind == "thin" else StickFiguresDataset
    return make(count, seed, **arguments)


def _train_full(job: dict[str, Any]) -> tuple[Any, Any]:
    import tensorflow as tf

    from mrcnn_keras.data.dataset import names_of
    from mrcnn_keras.model import MaskRCNN

    persons = "person" in job["preset"] or "keypoint" in job["preset"]
    train_set, test_set = (_coco(pathlib.Path(job["dataset"]), part, persons) for part in ("train2017", "val2017"))
    if persons:
        train_set = train_set.with_keypoints()
    weights = None if job["weights"] == "none" else job["weights"]
    fields = {**names_of(train_set, keypoints="keypoint" in job["preset"]), **job["fields"]}
    with tf.distribute.MirroredStrategy().scope():
        model = MaskRCNN.from_preset(job["preset"], weights, **fields)
        steps = job["steps"] or model.config.total_steps
        model.compile(total_steps=steps)
    model.fit(train_set, steps_per_epoch=steps, verbose=2, workers=8)
    return model, test_set


def _coco(folder: pathlib.Path, part: str, persons: bool) -> Any:
    from mrcnn_keras.data import CocoDataset

    kind = "person_keypoints" if persons else "instances"
    return CocoDataset(folder / part, folder / "annotations" / f"{kind}_{part}.json")


def _flat(metrics: dict[str, Any]) -> dict[str, float]:
    """Metrics by column, like "mask AP75"."""
    names = {kind: name for name, kind in _KINDS.items()}
    return {f"{names[kind]} {key}": value for kind, values in metrics.items() for key, value in values.items()}


def report(table: Table, rows: list[Row], found: list[tuple[dict, dict]], scale: str) -> str:
    """A Markdown table: of each row and column the mean of its trainings, their spread, and the paper's number.

    Args:
        table: the paper's.
        rows: those to show.
        found: jobs and their metrics.
        scale: "tiny" or "full".
    """
    lines = [
        f"Table {_number(table)}, {table.title}, {scale} scale: mean of the seeds ± standard deviation (paper)",
        "",
    ]
    lines += ["| row | seeds | " + " | ".join(table.columns) + " |", "|---|---|" + "---|" * len(table.columns)]
    for row in rows:
        measured = [_flat(metrics) for job, metrics in found if job["row"] == row.name]
        cells = [_cell([100 * one[column] for one in measured if column in one], row.paper.get(column))
                 for column in table.columns]  # fmt: skip
        lines.append(f"| {row.name} | {len(measured)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_gains(table, rows, found)]) + "\n"


def _gains(table: Table, rows: list[Row], found: list[tuple[dict, dict]]) -> list[str]:
    """Lines that compare the last row with each other, seed by seed: all rows of a seed see the same scenes."""
    of = {(job["row"], job["seed"]): _flat(metrics) for job, metrics in found}
    last, lines = rows[-1], []
    for row in rows[:-1]:
        seeds = sorted(seed for name, seed in of if name == row.name and (last.name, seed) in of)
        cells = []
        for column in table.columns:
            pairs = [(of[last.name, seed].get(column), of[row.name, seed].get(column)) for seed in seeds]
            paper = [one.paper.get(column) for one in (last, row)]
            gains = [100 * (a - b) for a, b in pairs if a is not None and b is not None]
            cells.append(_cell(gains, None if None in paper else round(paper[0] - paper[1], 1)))
        lines.append(f"| {last.name} - {row.name} | {len(seeds)} | " + " | ".join(cells) + " |")
    heading = ["| gain | seeds | " + " | ".join(table.columns) + " |", "|---|---|" + "---|" * len(table.columns)]
    return ["Gains, seed by seed (the paper's)", "", *heading, *lines] if lines else []


def _number(table: Table) -> str:
    return next(number for number, one in TABLES.items() if one is table)


def _cell(values: list[float], paper: float | None) -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}" + (f" ({paper})" if paper is not None else "")


def main(argv=None) -> int:
    return _common.main_of_one(__doc__, add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
