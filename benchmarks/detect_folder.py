"""`mrcnn-keras detect` on a folder with broken photos, killed twice and continued, beside an undisturbed run.

python benchmarks/detect_folder.py [--photos N] [--broken N] [--batch-size N] [--no-pictures] [--work DIR]
    [--preset NAME] [--set FIELD=VALUE]

Writes photos of drawn shapes, some of them broken in four ways, and a model of random weights, and runs the command as
a user would: once undisturbed, and once with `kill -9` after about a third and two thirds of the photos. Prints what
is compared and how the memory of the undisturbed run went. The exit status is 0 if all is as it should be.
"""

import argparse
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from mrcnn_keras.commands import options
from mrcnn_keras.commands.detection.inputs import JOURNAL
from mrcnn_keras.commands.detection.work import RESULTS

SETTINGS = {"image_min_side": 96, "image_max_side": 160, "score_threshold": 0.0, "max_detections": 10}
SIZES = (96, 128), (128, 96), (160, 120), (120, 120)  # height, width
SAMPLES = 10  # of the memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=options.positive, default=2000)
    parser.add_argument("--broken", type=options.positive, default=20)
    parser.add_argument("--batch-size", type=options.positive, default=4)
    parser.add_argument("--no-pictures", action="store_true")
    parser.add_argument("--work", type=pathlib.Path, help="folder to keep all in; by default one that is removed")
    parser.add_argument("--preset", type=options.preset, default="mask_rcnn_narrow_fpn")
    options.add_settings(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return compare(args, args.work or pathlib.Path(folder))


def compare(args: argparse.Namespace, work: pathlib.Path) -> int:
    """Make photos and model, run, print, and tell whether all is well."""
    broken = write_photos(work / "photos", args.photos, args.broken)
    subprocess.run([sys.executable, "-c", MAKE_MODEL, args.preset, str(work / "model.keras"),
                    json.dumps({**SETTINGS, **options.settings(args)})], check=True)  # fmt: skip
    words = [work / "photos", "--model", work / "model.keras", "--batch-size", args.batch_size]
    words += ["--no-pictures"] if args.no_pictures else []
    whole = Run([*words, "--out", work / "whole"])
    whole.watch()
    torn = []
    for share in (1 / 3, 2 / 3, None):
        torn.append(Run([*words, "--out", work / "torn"]))
        torn[-1].watch(None if share is None else (work / "torn" / JOURNAL, share * (args.photos - args.broken)))
    again = Run([*words, "--out", work / "torn"])
    again.watch()
    print_memory(whole)
    return report(work, args, broken, whole, torn, again)


def report(work, args, broken, whole, torn, again) -> int:
    """Print what was compared; 0 if it is as it should be."""
    written = json.loads((work / "whole" / RESULTS).read_text())
    good = args.photos - args.broken
    checks = {
        f"{good} results": len(written["images"]) == good,
        f"{args.broken} errors, each naming its file": all(whole.told.count(f"{name}:") == 1 for name in broken),
        "exit status 1": whole.status == torn[-1].status == 1,
        "killed twice": [run.status for run in torn[:2]] == [-signal.SIGKILL] * 2,
        "the same files, byte for byte": contents(work / "whole") == contents(work / "torn"),
        "run again, nothing is computed": "nothing was left to detect" in again.told and again.seconds < whole.seconds,
    }
    for what, holds in checks.items():
        print(f"{'yes' if holds else 'NO '}  {what}")
    print(f"undisturbed {whole.seconds:.0f} s; killed after {torn[0].seconds:.0f} and {torn[1].seconds:.0f} s, then "
          f"{torn[2].seconds:.0f} s to the end; run again {again.seconds:.1f} s")  # fmt: skip
    return 0 if all(checks.values()) else 1


def print_memory(run: "Run") -> None:
    """Resident memory over the time in which photos were done."""
    rows = [(done, memory) for done, memory in run.samples if done and memory]
    print("photos done: " + ", ".join(str(done) for done, _ in _spread(rows)))
    print("memory, MiB: " + ", ".join(f"{memory:.0f}" for _, memory in _spread(rows)))


def _spread(rows: list) -> list:
    return [rows[i * (len(rows) - 1) // (SAMPLES - 1)] for i in range(SAMPLES)] if rows else []


class Run:
    """One process of the command.

    Attributes:
        told: what it printed; status: its exit status; seconds: how long it took.
        samples: (photos done, MiB resident) over time.
    """

    def __init__(self, words: list):
        self.words = [str(word) for word in words]
        self.samples: list[tuple[int, float]] = []

    def watch(self, kill: tuple[pathlib.Path, float] | None = None) -> None:
        """Run it to its end; or kill it when the journal at a path has so many photos."""
        out = pathlib.Path(self.words[self.words.index("--out") + 1])
        command = [sys.executable, "-m", "mrcnn_keras.cli", "detect", *self.words]
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            while process.poll() is None:
                time.sleep(0.5)
                done = photos_in(out / JOURNAL)
                self.samples.append((done, resident(process.pid)))
                if kill is not None and done >= kill[1]:
                    process.kill()
                    process.wait()
            self.status, self.seconds = process.returncode, time.monotonic() - began
            log.seek(0)
            self.told = log.read()


def photos_in(journal: pathlib.Path) -> int:
    """Photos with results in a journal; a line that is being written does not count."""
    if not journal.exists():
        return 0
    with open(journal, "rb") as lines:
        return sum(line.count(b'"found": ') for line in lines if line.endswith(b"\n"))


def resident(pid: int) -> float:
    """MiB of memory that a process has."""
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):  # it has just ended
        return 0.0
    return pages * 4096 / 2**20


def contents(out: pathlib.Path) -> dict[str, bytes]:
    """All files of a run but its journal."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*")
            if path.is_file() and path.name != JOURNAL}  # fmt: skip


def write_photos(folder: pathlib.Path, count: int, broken: int) -> list[str]:
    """Photos in ten folders; gives the names of the broken ones, which are evenly spread."""
    from PIL import Image

    from mrcnn_keras.data import ShapesDataset

    names, sets = [], [ShapesDataset(count, seed=i, size=size) for i, size in enumerate(SIZES)]
    wrong = {(2 * i + 1) * count // (2 * broken) for i in range(broken)}
    for number in range(count):
        path = folder / f"{10 * number // count}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sets[number % len(sets)].load_image(number)).save(path, quality=90)
        if number in wrong:
            spoil(path, len(names))
            names.append(path.name)
    return names


def spoil(path: pathlib.Path, way: int) -> None:
    """Break a photo: nothing in it, text, cut off in its middle, or its head overwritten."""
    content = path.read_bytes()
    ways = b"", b"this is no photo\n", content[: len(content) // 2], bytes(200) + content[200:]
    path.write_bytes(ways[way % len(ways)])


MAKE_MODEL = """
import json, sys
import keras
from mrcnn_keras import MaskRCNN
keras.utils.set_random_seed(0)
MaskRCNN.from_preset(sys.argv[1], **json.loads(sys.argv[3])).save(sys.argv[2])
"""


if __name__ == "__main__":
    sys.exit(main())
