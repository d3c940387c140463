"""How many photos a second a served model takes, and how long it takes for each.

python samples/serving/load.py http://localhost:8501 PHOTOS --clients 4 --seconds 30
python samples/serving/load.py localhost:8500 PHOTOS --clients 4 --batch-size 2 --out load.json

Masks are fetched and not put into the photos. A request that fails is counted and not repeated. Over REST one process
of Python reads a few dozen answers a second, so ask a fast server by gRPC.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np

from mrcnn_keras.cli import run_command
from mrcnn_keras.commands import options
from mrcnn_keras.commands.models import served_model
from mrcnn_keras.data.files import IMAGE_SUFFIXES, files_in
from mrcnn_keras.serving import Client, ServerError

_PAUSE = 0.1  # seconds after an error


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 if a request failed, 2 for wrong usage."""
    try:
        args = _parser().parse_args(argv)
    except SystemExit as exit:
        return int(exit.code or 0)
    return run_command(args, "load.py")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", metavar="ADDRESS", help="http://host:8501 for REST, host:8500 for gRPC")
    parser.add_argument("photos", type=options.folder, metavar="PHOTOS", help="folder of images")
    parser.add_argument("--model-name", default="mask_rcnn", metavar="NAME", help="of the served model (mask_rcnn)")
    parser.add_argument("--clients", type=options.positive, default=4, metavar="N", help="requests at a time (4)")
    parser.add_argument("--seconds", type=options.positive, default=10, metavar="T", help="how long to ask (10)")
    parser.add_argument("--batch-size", type=options.positive, default=1, metavar="N", help="photos a request (1)")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="also write the JSON there")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Ask with all clients for a while and print the result as JSON."""
    photos = [path.read_bytes() for path in files_in(args.photos, IMAGE_SUFFIXES)]
    if not photos:
        raise options.UsageError(f"no images in {args.photos}")
    clients = [served_model(args.server, args.model_name, retries=0) for _ in range(args.clients)]
    requests = [_requests(photos, number, args.batch_size) for number in range(args.clients)]
    for client, chunks in zip(clients, requests):  # before the clock starts
        client.detect(next(chunks), args.batch_size, masks=None)
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.clients) as pool:
        work = [pool.submit(_ask, *one, start + args.seconds) for one in zip(clients, requests)]
    latencies = [latency for one in work for latency in one.result()[0]]
    errors = sum((one.result()[1] for one in work), collections.Counter())
    report = _report(args, latencies, errors, time.monotonic() - start)
    print(report)
    if args.out:
        args.out.write_text(report + "\n")
    return 1 if errors else 0


def _requests(photos: Sequence[bytes], first: int, batch_size: int) -> Iterator[list[bytes]]:
    """The photos in turn, for ever, so many at a time."""
    while True:
        yield [photos[(first + i) % len(photos)] for i in range(batch_size)]
        first += batch_size


def _ask(client: Client, requests: Iterator[list[bytes]], end: float) -> tuple[list[float], collections.Counter]:
    """Seconds that each answer took, and how often each error came."""
    latencies, errors = [], collections.Counter()
    while (start := time.monotonic()) < end:
        photos = next(requests)
        try:
            client.detect(photos, len(photos), masks=None)
            latencies.append(time.monotonic() - start)
        except (ServerError, ValueError) as error:
            errors[f"{type(error).__name__}: {error}"] += 1
            time.sleep(_PAUSE)
    client.close()
    return latencies, errors


def _report(args: argparse.Namespace, latencies: list[float], errors: collections.Counter, seconds: float) -> str:
    ends = np.percentile(latencies, [50, 99, 100]) * 1000 if latencies else [None] * 3
    report = {
        "server": args.server,
        "clients": args.clients,
        "batch_size": args.batch_size,
        "seconds": round(seconds, 2),
        "requests": len(latencies),
        "photos_per_second": round(len(latencies) * args.batch_size / seconds, 2),
        "latency_ms": {name: value and round(value, 1) for name, value in zip(("p50", "p99", "max"), ends)},
        "errors": dict(errors),
    }
    return json.dumps(report, indent=1)


if __name__ == "__main__":
    sys.exit(main())
