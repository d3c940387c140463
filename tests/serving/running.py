"""The test server in a process of its own, and a port without a server."""

import contextlib
import pathlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

SERVER = pathlib.Path(__file__).with_name("server.py")


class Running:
    """A server that can be killed and started again on the same ports.

    Args:
        base: folder of the model's versions.
        grpc: whether to serve gRPC beside REST.
    """

    def __init__(self, base: pathlib.Path, grpc: bool = True):
        self.base, self.grpc = base, grpc
        self.port = self.rest_port = 0  # the server chooses them when it starts for the first time
        self.said = ""
        self.start()

    @property
    def addresses(self) -> dict[str, str]:
        """Protocol -> address for a client."""
        return {"rest": f"http://127.0.0.1:{self.rest_port}", "grpc": f"127.0.0.1:{self.port}"}

    @property
    def pid(self) -> int:
        """Of the server's process."""
        return self._process.pid

    def start(self) -> None:
        """Start the process, and wait until it is ready."""
        ports = ["--rest-port", str(self.rest_port), *(["--port", str(self.port)] if self.grpc else [])]
        command = [sys.executable, str(SERVER), str(self.base), *ports]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.said = self._process.stdout.readline()
        ready = re.match(r"ready: version \d+, gRPC (\d+|None), REST (\d+),", self.said)
        assert ready, self.said
        if self.grpc:
            self.port = int(ready[1])
        self.rest_port = int(ready[2])

    def kill(self) -> None:
        """End the process at once, in the middle of whatever it does."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@contextlib.contextmanager
def unheard_port() -> Iterator[int]:
    """A port of this machine that nothing listens on, nor will meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
