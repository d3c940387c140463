"""mrcnn_keras beside torchvision, TensorFlow Model Garden and Detectron2, on the processor, alternating in one run.

python benchmarks/compare.py [--torch-python PATH] [--model-garden-python PATH] [--detectron2-python PATH]

Each contestant is a process of its own, with as many threads as the others and the Python that has its packages; one
that is not installed is named with the command that installs it. All are loaded, as far as the memory allows (else in
groups, ours in each), and take turns round by round. Medians, least and most; processor time beside the clock's shows
whether a neighbour took a core. All is done twice, with glibc's stock allocator and with one told to keep freed memory.

inference   one 800 x 1333 photo of noise, ResNet-50-FPN, 80 classes, random weights, 1000 proposals, 100 detections
            with masks put into the photo (Model Garden: without preparing the photo and without that), float32
training    a step of SGD on two such photos with 10 objects and 512 RoIs each, 256 RoIs in all positive; stem, res2 and
            norms frozen
roi_align   1000 boxes on one 200 x 336 x 256 map, forward and backward
paste       100 masks of 28 x 28 into a photo

GFLOP/s are those of the network's multiplications, next to the best that convolutions reach in the same rounds. The
peak memory is the process' own, as the operating system counts it. A cold start is all the time from the start of the
process to its first answer. matterport's Mask R-CNN is no contestant: what pip has of it needs the Keras of 2019.
"""

import argparse
import pathlib
import shutil
import sys

from comparison import contestants, machine, report, summary
from comparison.contestants import CONTESTANTS, PEAK, WORKLOADS
from comparison.process import Process, environment
from comparison.rounds import compete

ALLOCATORS = ("stock", "tuned")
INTERPRETERS = ("torch", "model-garden", "detectron2")


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in INTERPRETERS:
        parser.add_argument(
            f"--{name}-python", metavar="PATH", default=sys.executable, help=f"that has {name}'s packages"
        )
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    names = [contestant.name for contestant in CONTESTANTS]
    parser.add_argument("--contestants", nargs="+", choices=names, default=names)
    parser.add_argument("--allocator", choices=(*ALLOCATORS, "both"), default="both")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of each (default %(default)s)")
    parser.add_argument("--warmups", type=int, default=1, help="turns before them (default %(default)s)")
    parser.add_argument(
        "--memory", type=float, default=0.95 * machine.free_memory(), metavar="GIB", help="for all at once"
    )
    parser.add_argument("--timeout", type=float, default=900, metavar="SECONDS", help="that one answer may take")
    parser.add_argument("--profile", action="store_true", help="also the time of each stage of our inference")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("comparison_results"), metavar="DIR")
    args = parser.parse_args(words)
    for name in INTERPRETERS:
        if shutil.which(given := interpreter(args, name)) is None:
            parser.error(f"--{name}-python {given}: there is no such program")
    if min(args.threads, args.rounds) < 1 or args.warmups < 0:
        parser.error("--threads and --rounds must be 1 or more, --warmups 0 or more")
    return args


def interpreter(args: argparse.Namespace, name: str) -> str:
    """The Python of a contestant's packages; of the unnamed ones, this one."""
    return getattr(args, f"{name.replace('-', '_')}_python") if name else sys.executable


def main(words: list[str] | None = None) -> None:
    """Measure, and write the report anew after each part."""
    args = parse(words)
    present, absent = {}, {}
    for contestant in (c for c in CONTESTANTS if c.name in args.contestants):
        python = interpreter(args, contestant.interpreter)
        if contestants.installed(contestant, python):
            present[contestant.name] = contestant
        else:
            absent[contestant.name] = contestant.install
            print(f"{contestant.name} is not installed for {python}: {contestant.install}")
    settings = {"threads": args.threads, "rounds": args.rounds, "warm-ups": args.warmups}
    results = {"machine": machine.describe(), "settings": settings, "absent": absent, "parts": []}
    for allocator in ALLOCATORS if args.allocator == "both" else (args.allocator,):
        for workload in args.workloads:
            results["parts"].append(measure(args, present, workload, allocator))
            report.write(args.out, results)
            print("\n".join(report.table(results["parts"][-1]["rows"], workload)), flush=True)
        if args.profile and contestants.REFERENCE in present:
            results["parts"].append(profile(args, present, allocator))
            report.write(args.out, results)
    print(report.markdown(results))
    print(f"written: {', '.join(map(str, report.write(args.out, results)))}")


def measure(args: argparse.Namespace, present: dict, workload: str, allocator: str) -> dict:
    """One part of the report."""
    print(f"\n{workload}, {allocator} allocator", flush=True)
    entering = [contestant for contestant in present.values() if workload in contestant.gib]
    probes = contestants.probes(list(present.values())) if workload in report.WIDE else []
    budget = args.memory - sum(contestant.gib[PEAK] for contestant in probes)
    groups = []
    for heat in contestants.heats(entering, workload, budget):
        entries = [(c.name, workload) for c in heat] + [(c.name, PEAK) for c in probes]
        groups.append(compete(entries, launcher(args, present, allocator), args.rounds, args.warmups))
    made, peak = summary.rows(workload, allocator, groups), summary.peak(groups)
    return {"workload": workload, "allocator": allocator, "rows": made, "peak": peak}


def profile(args: argparse.Namespace, present: dict, allocator: str) -> dict:
    """The part about the stages of ours."""
    entries = [(contestants.REFERENCE, "profile")]
    (record,) = compete(entries, launcher(args, present, allocator), args.warmups, 0)
    part = {"workload": "stages of our inference", "allocator": allocator, "rows": [], "peak": {}}
    return {**part, "profile": record.end["counts"]} if record.end else part


def launcher(args: argparse.Namespace, present: dict, allocator: str):
    """A function of a contestant's name and a workload that starts the process."""
    variables = environment(args.threads, allocator)

    def launch(name: str, workload: str) -> Process:
        contestant = present[name]
        command = contestant.command(interpreter(args, contestant.interpreter), workload)
        return Process(command, variables, args.timeout)

    return launch


if __name__ == "__main__":
    main()
