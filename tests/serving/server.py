"""A small server with TensorFlow Serving's protocol, for tests on machines without TensorFlow Serving.

    python tests/serving/server.py SAVEDMODEL_BASE --port 8500 --rest-port 8501

It runs the real SavedModel, one version of one model, by TensorFlow's own loader: this package cannot be imported. It
does not put requests together into batches. Port 0 chooses a free one; the line "ready" tells which.
"""

import argparse
import signal
import sys
import threading

import rest_face
from served_model import ServedModel

sys.modules["mrcnn_keras"] = None  # as where TensorFlow Serving runs


def main(argv=None) -> int:
    """Serve until SIGTERM or SIGINT."""
    args = _parser().parse_args(argv)
    model = ServedModel(args.base, args.name, args.concurrency)
    rest = rest_face.make_server(model, args.rest_port)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    port = None
    if args.port is not None:
        import grpc_face  # needs tensorflow-serving-api, REST does without

        server, port = grpc_face.make_server(model, args.port, 4 * args.concurrency)
        server.start()
    print(f"ready: version {model.version}, gRPC {port}, REST {rest.server_address[1]}, ", end="")
    print(f"{model.warmed_up} warm-up requests", flush=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("base", metavar="SAVEDMODEL_BASE", help="folder of versions: 1, 2, ...")
    parser.add_argument("--port", type=int, help="for gRPC; without it there is REST only")
    parser.add_argument("--rest-port", type=int, default=8501)
    parser.add_argument("--name", default="mask_rcnn", help="of the model")
    parser.add_argument("--concurrency", type=int, default=2, help="requests computed at a time")
    return parser


if __name__ == "__main__":
    sys.exit(main())
