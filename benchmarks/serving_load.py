"""Many clients at a served model for minutes: photos a second, latency, memory, and a server that is killed meanwhile.

python benchmarks/serving_load.py [--preset mask_rcnn_narrow_fpn] [--clients 8] [--seconds 300] [--protocol rest grpc]

The server is the one of the tests, which speaks TensorFlow Serving's protocol and runs the exported SavedModel. Half of
the clients use each protocol. Every answer is compared with the first one for the same photo. In a second run, a fifth
as long, the server is killed (SIGKILL) in the middle and started again: each photo must be answered, by the client's
repetitions, or be reported by an error, or the exit status is 1. Random weights; drawn photos of several sizes, as JPEG
and PNG.
"""

import argparse
import collections
import io
import pathlib
import statistics
import sys
import tempfile
import threading
import time

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "serving")]

from running import Running  # noqa: E402

from mrcnn_keras.serving import Client  # noqa: E402

SIZES = ((240, 320), (320, 240), (180, 400), (333, 257), (480, 640))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mask_rcnn_narrow_fpn")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--protocol", nargs="+", choices=("rest", "grpc"), default=["rest", "grpc"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        export(args.preset, pathlib.Path(folder) / "1")
        server = Running(pathlib.Path(folder))
        try:
            lost = load(args, server, args.seconds)
            lost += load(args, server, args.seconds / 5, kill=True)
        finally:
            server.kill()
    return 1 if lost else 0


def export(preset: str, path: pathlib.Path) -> None:
    """In this process, which then keeps TensorFlow loaded and idle."""
    from mask_overhead import tame

    from mrcnn_keras import MaskRCNN

    model = MaskRCNN.from_preset(preset, num_classes=3, score_threshold=0.0, max_detections=20)
    tame(model)
    model.export(path)


def photos() -> list[bytes]:
    """Files of noisy blocks."""
    rng, files = np.random.default_rng(0), []
    for number, (height, width) in enumerate(SIZES):
        blocks = rng.integers(0, 255, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
        pixels = np.kron(blocks, np.ones((16, 16, 1), np.uint8))[:height, :width]
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, ("JPEG", "PNG")[number % 2])
        files.append(buffer.getvalue())
    return files


class Asker(threading.Thread):
    """A client that asks for one photo after the other, and keeps how long each answer took and what went wrong."""

    def __init__(self, address: str, files: list[bytes], expected: list, first: int, end: float):
        super().__init__()
        self.arguments = address, files, expected, first, end
        self.sent, self.latencies, self.errors, self.wrong = 0, [], collections.Counter(), 0

    def run(self) -> None:
        address, files, expected, number, end = self.arguments
        with Client(address, retries=8) as client:
            while (start := time.monotonic()) < end:
                number = (number + 1) % len(files)
                self.sent += 1
                try:
                    (found,) = client.detect(files[number], masks=None)
                except Exception as error:  # whatever it is, the photo has no answer
                    self.errors[type(error).__name__] += 1
                else:
                    self.latencies.append(time.monotonic() - start)
                    self.wrong += not same(found, expected[number])


def same(found, expected) -> bool:
    return len(found) == len(expected) and np.allclose(found.boxes, expected.boxes, atol=0.01)


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def load(args: argparse.Namespace, server: Running, seconds: float, kill: bool = False) -> int:
    """One run and its lines; how many photos were neither answered nor reported."""
    files = photos()
    with Client(server.addresses[args.protocol[0]]) as client:
        expected = client.detect(files, masks=None)
    end = time.monotonic() + seconds
    addresses = [server.addresses[args.protocol[i % len(args.protocol)]] for i in range(args.clients)]
    askers = [Asker(address, files, expected, i, end) for i, address in enumerate(addresses)]
    for asker in askers:
        asker.start()
    memory, down = [], 0.0
    while time.monotonic() < end:
        time.sleep(seconds / 60)
        if kill and time.monotonic() > end - seconds / 2:
            start, kill = time.monotonic(), False
            server.kill()
            server.start()
            down = time.monotonic() - start
        memory.append(resident(server.pid))
    for asker in askers:
        asker.join()
    report(askers, memory, seconds, down)
    return sum(map(lost_by, askers))


def lost_by(asker: Asker) -> int:
    """Photos that a client neither got an answer nor reported an error for."""
    return asker.sent - len(asker.latencies) - sum(asker.errors.values())


def report(askers: list[Asker], memory: list[float], seconds: float, down: float) -> None:
    print(f"{len(askers)} clients, {seconds:.0f} s" + (f", server killed and away for {down:.1f} s" if down else ""))
    print("| clients | sent | answered | errors reported | answers that differ | photos/s | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|---|")
    for protocol in ("http", ""):
        group = [asker for asker in askers if asker.arguments[0].startswith("http") == bool(protocol)]
        if group:
            latencies = sorted(latency for asker in group for latency in asker.latencies)
            middle, late = np.percentile(latencies or [np.nan], [50, 99]) * 1000
            numbers = sum(asker.sent for asker in group), len(latencies), sum(sum(a.errors.values()) for a in group)
            print(f"| {len(group)} {'REST' if protocol else 'gRPC'} | {' | '.join(map(str, numbers))} "
                  f"| {sum(asker.wrong for asker in group)} | {len(latencies) / seconds:.1f} "
                  f"| {middle:.0f} | {late:.0f} |")  # fmt: skip
    if not down:
        fifth = len(memory) // 5
        early, late = (statistics.median(part) for part in (memory[fifth : 2 * fifth], memory[-fifth:]))
        print(f"server's memory: {early:.0f} MiB in the second fifth of the time, {late:.0f} MiB in the last")


if __name__ == "__main__":
    sys.exit(main())
