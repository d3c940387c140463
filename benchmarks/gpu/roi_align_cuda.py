"""The CUDA kernels of RoIAlign, RoIWarp and RoIPool on a GPU, without TensorFlow: checked, and timed.

    pip install numpy torch torchvision            # torch for CUDA, and CUDA's nvcc
    python benchmarks/gpu/roi_align_cuda.py --json roi_align_cuda.json

Checks every variant of the kernels, forward and backward, against plain loops in NumPy, and RoIAlign against
torchvision.ops.roi_align; then times RoIAlign against torchvision's on the same boxes: 1000 on one 200 x 336 x 256 map,
2x2 samples and adaptive, 7x7 and 14x14 bins. Prints Markdown. Exit status: 0 all is well, 1 a check failed, 2 something
that is needed is missing. Where there is no GPU, --build-only shows that the kernels compile and link.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import types

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import roi_align_cases as cases  # noqa: E402
from roi_align_library import Options, RoiAlignLibrary, build, find_nvcc, make_call  # noqa: E402

SHAPE = (1, 200, 336, 256)  # stride 4 of an 800 x 1344 image
SCALE = 0.25
OURS, THEIRS = "mrcnn_keras", "torchvision"
_WARM_UP = 5


class Missing(RuntimeError):
    """Something that the script needs is not there; the message says what, and what to do."""


class TorchMemory:
    """Arrays on torch's device, for `roi_align_cases.run`."""

    def __init__(self, device: str):
        self.device = device

    def put(self, array):
        import torch

        return torch.from_numpy(np.array(array)).to(self.device)

    def pointer(self, copy):
        return copy.data_ptr()

    def get(self, copy):
        return copy.cpu().numpy()


def import_torch(device: str):
    """Torch and torchvision.

    Raises:
        Missing: one is not installed, or torch sees no GPU.
    """
    try:
        import torch
        import torchvision
    except ImportError as error:
        raise Missing(f"{error}: pip install torch torchvision, of a build for CUDA") from error
    if device == "cuda" and not torch.cuda.is_available():
        raise Missing(
            f"torch {torch.__version__} sees no GPU here; --build-only compiles and links the kernels without one"
        )
    return torch, torchvision


def get_library(args: argparse.Namespace, folder: str) -> pathlib.Path:
    """The kernels' library: the one that is given, or a new one.

    Raises:
        Missing: there is no nvcc.
    """
    if args.library:
        return args.library
    nvcc = find_nvcc()
    if nvcc is None:
        raise Missing("no nvcc found: install CUDA's toolkit, and set CUDA_HOME to its folder where it is not on PATH")
    architecture = args.architecture or ("all-major" if args.build_only else "native")
    print(f"compiling the kernels with {nvcc} for {architecture}", flush=True)
    return build(nvcc, pathlib.Path(folder) / "roi_align_cuda.so", architecture)


def check_all(library: RoiAlignLibrary, device: str) -> list[dict]:
    """Each check's name and largest error, in units of what is allowed."""
    memory, rois = TorchMemory(device), cases.make_rois()
    rows = []
    for options in cases.variants():
        error = cases.largest_error(
            cases.run(library, memory, rois, options), cases.expected(rois, options), options.dtype
        )
        rows.append({"check": f"{cases.name_of(options)}, plain loops", "error": error})
    upright = types.SimpleNamespace(**vars(rois))  # torchvision does not take reversed boxes on all devices
    mine = (rois.boxes[:, 2:] >= rois.boxes[:, :2]).all(axis=1)
    upright.boxes, upright.image_index, upright.level = rois.boxes[mine], rois.image_index[mine], rois.level[mine]
    for ratio in (0, 2):
        for aligned in (True, False):
            options = Options(sampling_ratio=ratio, aligned=aligned)
            found = cases.run(library, memory, upright, options)
            error = cases.largest_error(found, torchvision_results(upright, options, device), "float32")
            rows.append({"check": f"{cases.name_of(options)}, torchvision", "error": error})
    wide, options = cases.make_rois(channels=131), Options(output_size=(2, 2))
    error = cases.largest_error(cases.run(library, memory, wide, options), cases.expected(wide, options), "float32")
    rows.append({"check": "131 channels, plain loops", "error": error})
    none = types.SimpleNamespace(**vars(rois) | {"boxes": np.zeros((0, 4)), "image_index": [], "level": []})
    largest = max(float(np.abs(gradient).max()) for gradient in cases.run(library, memory, none, Options())[1])
    rows.append({"check": "no RoIs, a gradient of zero", "error": largest})
    return rows


def torchvision_results(rois: types.SimpleNamespace, options: Options, device: str) -> tuple:
    """Values and gradients of RoIAlign by torchvision, map by map."""
    import torch
    import torchvision

    upstream = cases.upstream_of(rois, options)
    pooled, gradients = np.zeros_like(upstream), []
    for level, (features, scale) in enumerate(zip(rois.maps, rois.scales)):
        mine = np.flatnonzero(rois.level == level)
        there = torch.from_numpy(features.transpose(0, 3, 1, 2).copy()).to(device).requires_grad_()
        boxes = np.concatenate([rois.image_index[mine, None], rois.boxes[mine]], axis=1).astype(np.float32)
        values = torchvision.ops.roi_align(
            there,
            torch.from_numpy(boxes).to(device),
            options.output_size,
            scale,
            options.sampling_ratio,
            options.aligned,
        )
        values.backward(torch.from_numpy(upstream[mine].transpose(0, 3, 1, 2).copy()).to(device))
        pooled[mine] = values.detach().cpu().numpy().transpose(0, 2, 3, 1)
        gradients.append(there.grad.cpu().numpy().transpose(0, 2, 3, 1))
    return pooled, gradients


def photo_boxes(count: int) -> np.ndarray:
    """Boxes (count, 4) inside an 800 x 1344 image, of sides around 16 to 512 pixels, as many small as large ones."""
    rng = np.random.default_rng(0)
    sides = np.minimum(2 ** rng.uniform(4, 9, (count, 1)) * np.exp(rng.normal(0, 0.3, (count, 2))), (1342, 798))
    corners = rng.uniform(0, 1, (count, 2)) * ((1344, 800) - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def time_all(library: RoiAlignLibrary, count: int, rounds: int) -> list[dict]:
    """Median milliseconds of each contestant in each case, and the largest difference of their results."""
    import torch

    generator = torch.Generator("cuda").manual_seed(0)
    features = torch.randn(SHAPE, device="cuda", generator=generator)
    boxes = torch.from_numpy(photo_boxes(count)).cuda()
    rows = []
    for bins in (7, 14):
        for ratio in (2, 0):
            options = Options(output_size=(bins, bins), sampling_ratio=ratio)
            contestants = {
                OURS: our_passes(library, features, boxes, options),
                THEIRS: their_passes(features, boxes, options),
            }
            for name in ("forward", "backward"):
                passes = {who: both[name] for who, both in contestants.items()}
                one, other = (run() for run in passes.values())
                difference = float((one - other.permute(0, 2, 3, 1)).abs().max() / other.abs().max())
                times = take_turns(passes, rounds)
                rows.append(
                    {"bins": bins, "sampling_ratio": ratio, "pass": name, "difference": difference, "ms": times}
                )
    return rows


def our_passes(library: RoiAlignLibrary, features, boxes, options: Options) -> dict:
    """The two passes of our kernels, channels last, as functions without arguments."""
    import torch

    index = torch.zeros(len(boxes), dtype=torch.int32, device="cuda")
    pooled = torch.empty((len(boxes), *options.output_size, SHAPE[3]), device="cuda")
    gradient, upstream = torch.empty_like(features), upstream_like(pooled)
    pointers = [len(boxes), boxes.data_ptr(), index.data_ptr(), index.data_ptr()]
    call = make_call(options, [SHAPE], [SCALE], [features.data_ptr()], pointers)

    def forward():
        library.forward(call, pooled.data_ptr())
        return pooled

    def backward():
        library.backward(call, upstream.data_ptr(), None, [gradient.data_ptr()])
        return gradient

    kept = (index, upstream, features, boxes)  # the call holds their addresses only
    return {"forward": forward, "backward": backward, "kept": kept}


def their_passes(features, boxes, options: Options) -> dict:
    """The same of torchvision, channels first."""
    import torch
    import torchvision

    maps = features.permute(0, 3, 1, 2).contiguous().requires_grad_()
    rois = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], dim=1)

    def pool():
        return torchvision.ops.roi_align(
            maps, rois, options.output_size, SCALE, options.sampling_ratio, options.aligned
        )

    def forward():
        with torch.no_grad():
            return pool()

    pooled = pool()
    upstream = upstream_like(pooled.detach().permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()

    def backward():
        return torch.autograd.grad(pooled, maps, upstream, retain_graph=True)[0]

    return {"forward": forward, "backward": backward}


def upstream_like(pooled):
    """The same gradient for both, (N, P, P, C)."""
    import torch

    return torch.randn(pooled.shape, device="cuda", generator=torch.Generator("cuda").manual_seed(1))


def take_turns(passes: dict, rounds: int) -> dict:
    """Median, least and most milliseconds of each, by CUDA's events."""
    import torch

    times = {who: [] for who in passes}
    for turn in range(_WARM_UP + rounds):
        for who, run in passes.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            end.synchronize()
            if turn >= _WARM_UP:
                times[who].append(start.elapsed_time(end))
    return {who: {"median": statistics.median(t), "least": min(t), "most": max(t)} for who, t in times.items()}


def print_checks(rows: list[dict]) -> bool:
    """Print the table; whether all is well."""
    print("\n| check (forward and backward) | largest error, 1 is what is allowed | |\n|---|---|---|")
    for row in rows:
        print(f"| {row['check']} | {row['error']:.2g} | {'ok' if row['error'] <= 1 else 'FAILED'} |")
    return all(row["error"] <= 1 for row in rows)


def print_times(rows: list[dict]) -> None:
    """Print the table."""
    print(
        f"\n| bins | samples | pass | {OURS} ms | {THEIRS} ms | ratio | largest difference, relative |\n"
        + "|---" * 7
        + "|"
    )
    for row in rows:
        samples = "2x2" if row["sampling_ratio"] else "adaptive"
        cells = [f"{t['median']:.3f} ({t['least']:.3f}-{t['most']:.3f})" for t in row["ms"].values()]
        ratio = row["ms"][OURS]["median"] / row["ms"][THEIRS]["median"]
        start = f"| {row['bins']}x{row['bins']} | {samples} | {row['pass']} "
        print(f"{start}| {' | '.join(cells)} | {ratio:.2f} | {row['difference']:.0e} |")


def measure(args: argparse.Namespace, path: pathlib.Path) -> bool:
    """Check and time; whether all is well."""
    torch, torchvision = import_torch(args.device)
    library = RoiAlignLibrary(path)
    device = torch.cuda.get_device_name() if args.device == "cuda" else "processor"
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, CUDA {torch.version.cuda}"
    print(f"{device}, {versions}")
    checks = check_all(library, args.device)
    good = print_checks(checks)
    times = time_all(library, args.rois, args.rounds) if args.device == "cuda" else []
    if times:
        print(f"\n{args.rois} RoIs, a map of {' x '.join(map(str, SHAPE[1:]))}, medians of {args.rounds} (least-most):")
        print_times(times)
    if args.json:
        report = {"device": device, "versions": versions, "rois": args.rois, "checks": checks, "times": times}
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return good


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-only", action="store_true", help="compile and link; needs nvcc, no GPU and no torch")
    parser.add_argument("--architecture", metavar="SM", help="for nvcc's -arch, such as sm_90 (the GPU at hand)")
    parser.add_argument("--library", type=pathlib.Path, metavar="FILE", help="take this build of the kernels")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda",
                        help="cpu: check a --library that was built for the processor")  # fmt: skip
    parser.add_argument("--rois", type=int, default=1000, metavar="N", help="RoIs that are timed (%(default)s)")
    parser.add_argument("--rounds", type=int, default=50, metavar="N", help="timed turns of each (%(default)s)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the results there, too")
    args = parser.parse_args()
    try:
        if not args.build_only:
            import_torch(args.device)
        with tempfile.TemporaryDirectory() as folder:
            path = get_library(args, folder)
            if args.build_only:
                print(f"built {path.name}, {path.stat().st_size} bytes; nothing was run")
                return 0
            return 0 if measure(args, path) else 1
    except (Missing, RuntimeError) as error:
        print(f"roi_align_cuda: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
