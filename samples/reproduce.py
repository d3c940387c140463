"""The paper's tables, each row a recipe: train, test, and print what was measured beside the paper's number.

python samples/reproduce.py                             all nine tables on drawn scenes, with very few steps
python samples/reproduce.py --table 8 --row 3 4         two rows of one table
python samples/reproduce.py --scale small --table 2c --seeds 3    long enough that the rows can be compared
python samples/reproduce.py --scale full --table 2a --dataset coco    as in the paper: COCO 2017, 8 GPUs, days

Rows that are the same training share it, and what was trained stays in --out: an interrupted run goes on where it
stopped when it is started again. Systems of other authors are listed with the paper's numbers and not trained.
"""

import argparse
import json
import pathlib
import sys
import time
from typing import Any

import _common
from _paper import Row
from _paper_tables import TABLES
from _recipe_jobs import Results, do_all
from _recipe_report import as_markdown, as_values, introduction
from _recipes import SCALES, MissingWeights, Scale, prerequisites, recipe

from mrcnn_keras.commands import options
from mrcnn_keras.data.cpus import usable_cpus

_NUMBERS = (*TABLES, "2", "all")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", nargs="+", choices=_NUMBERS, default=["all"], metavar="T",
                        help=f"tables of the paper: {', '.join(_NUMBERS)} (all)")  # fmt: skip
    parser.add_argument("--row", nargs="+", metavar="N",
                        help="only these rows, by their numbers from 1 or the beginnings of their names")  # fmt: skip
    parser.add_argument("--scale", choices=SCALES, default="tiny",
                        help="drawn scenes and very few steps, drawn scenes, or the paper's data (tiny)")  # fmt: skip
    parser.add_argument("--seeds", type=options.positive, default=1, metavar="N", help="trainings of each row (1)")
    parser.add_argument("--steps", type=options.positive, metavar="N", help="training steps (the table's)")
    parser.add_argument("--jobs", type=options.positive, metavar="N",
                        help="trainings at the same time (drawn scenes: one a core; full: 1)")  # fmt: skip
    parser.add_argument("--dataset", type=options.folder, metavar="DIR",
                        help="full: COCO's folder with train2017, val2017 and annotations")  # fmt: skip
    parser.add_argument("--cityscapes", type=options.folder, metavar="DIR",
                        help="full, table 7: folder with leftImg8bit and gtFine")  # fmt: skip
    parser.add_argument("--unlabelled", type=options.folder, metavar="DIR",
                        help="full, data distillation: photos (unlabeled2017 in --dataset)")  # fmt: skip
    parser.add_argument("--weights", default="imagenet", metavar="W",
                        help="full: start from these in place of ImageNet's, or none (imagenet)")  # fmt: skip
    parser.add_argument("--imagenet5k", type=options.model, metavar="W",
                        help="full: file of a ResNeXt-101 32x8d of ImageNet-5k, which is not public")  # fmt: skip
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="models and results (runs/reproduce_SCALE)")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Train and test what is missing, then write the report; 1 if something failed."""
    started = time.monotonic()
    chosen = _chosen(args)
    scale = Scale(args.scale, args.steps, options.settings(args), args.weights, args.imagenet5k, _folders(args))
    recipes, left_out = _recipes(chosen, scale, args.seeds)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    _check_folders(recipes.values(), args.scale)
    out = args.out or pathlib.Path(f"runs/reproduce_{args.scale}")
    out.mkdir(parents=True, exist_ok=True)
    results = Results(out / "results.json")
    wanted = [(f"table {number}, {name}, seed {seed}", *one) for (number, name, seed), one in recipes.items()]
    at_once = args.jobs or (1 if args.scale == "full" else usable_cpus())
    failed = do_all(wanted, results, out, at_once)
    text = _write_report(args, chosen, recipes, left_out, results, out)
    print(text)
    print(f"wrote {out}: report.md, report.json, results.json, models; {(time.monotonic() - started) / 60:.0f} minutes")
    return 1 if failed or left_out else 0


def _recipes(chosen: dict[str, list[Row]], scale: Scale, seeds: int) -> tuple[dict[tuple, tuple], list[str]]:
    """By table, row and seed the training and the test; and the rows that have none, with the reason."""
    recipes, left_out = {}, {}
    for seed in range(seeds):  # so that an interrupted run has something of every row
        for number, row in ((number, row) for number, rows in chosen.items() for row in rows if row.model):
            try:
                recipes[number, row.name, seed] = recipe(TABLES[number], row, scale, seed)
            except MissingWeights as error:
                left_out[number, row.name] = f"table {number}, {row.name}: {error}"
            except ValueError as error:
                raise options.UsageError(str(error)) from error
    if left_out and not recipes:
        raise options.UsageError("; ".join(left_out.values()))
    return recipes, list(left_out.values())


def _chosen(args: argparse.Namespace) -> dict[str, list[Row]]:
    """The rows asked for, by table."""
    numbers = [number for number in TABLES if {"all", number, number[0]} & set(args.table)]
    chosen = {number: _rows(number, args.row) for number in numbers}
    if not any(chosen.values()):
        known = "; ".join(f"{number}: {', '.join(row.name for row in TABLES[number].rows)}" for number in numbers)
        raise options.UsageError(f"--row {' '.join(args.row)}: the rows of table {known}")
    return {number: rows for number, rows in chosen.items() if rows}


def _rows(number: str, words: list[str] | None) -> list[Row]:
    named = enumerate(TABLES[number].rows, start=1)
    return [row for place, row in named
            if not words or any(word == str(place) or row.name.casefold().startswith(word.casefold())
                                for word in words)]  # fmt: skip


def _folders(args: argparse.Namespace) -> dict[str, str]:
    unlabelled = args.unlabelled or (args.dataset and args.dataset / "unlabeled2017")
    given = {"coco": args.dataset, "cityscapes": args.cityscapes, "unlabelled": unlabelled}
    return {name: str(folder.resolve()) for name, folder in given.items() if folder is not None}


def _check_folders(recipes: Any, scale: str) -> None:
    """Whether the data of all trainings, and of those that they need, was given."""
    waiting = [training for training, _ in recipes] if scale == "full" else []
    while waiting:
        training = waiting.pop()
        waiting += prerequisites(training)
        kind, folder = training["data"]
        if folder is None and kind == "cityscapes":
            raise options.UsageError(
                "--scale full needs --cityscapes for table 7, the folder with leftImg8bit and gtFine"
            )
        if folder is None:
            raise options.UsageError("--scale full needs --dataset, COCO's folder")
        photos = (training.get("distilled") or {}).get("folder")
        if photos and not pathlib.Path(photos).is_dir():
            raise options.UsageError(f"data distillation needs --unlabelled: there is no folder {photos}")


def _write_report(
    args: argparse.Namespace, chosen: dict, recipes: dict, left_out: list[str], results: Results, out: pathlib.Path
) -> str:
    tables = []
    for number, rows in chosen.items():
        of = {row.name: [recipes[number, row.name, seed] for seed in range(args.seeds)]
              for row in rows if (number, row.name, 0) in recipes}  # fmt: skip

        def measured(row: Row, of: dict = of) -> list[dict[str, float]]:
            return [found for one in of.get(row.name, ()) if (found := results.find(*one)) is not None]

        def about(row: Row, of: dict = of) -> dict[str, Any]:
            if row.name not in of:
                return {}
            training, test = of[row.name][0]
            return {"training": training, "test": test, "seconds": results.seconds(training)}

        tables.append(as_values(number, rows, measured, about))
    values = {"scale": args.scale, "seeds": args.seeds, "unit": "percent", "left_out": left_out, "tables": tables}
    (out / "report.json").write_text(json.dumps(values, indent=1) + "\n")
    text = "\n".join([introduction(args.scale, left_out), *(as_markdown(one, args.scale) for one in tables)])
    (out / "report.md").write_text(text)
    return text


def main(argv=None) -> int:
    return _common.main_of_one(__doc__, add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
