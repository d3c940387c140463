"""The test server in a process of its own."""

import pathlib
import socket
import subprocess
import sys

SERVER = pathlib.Path(__file__).with_name("server.py")


class Running:
    """A server that can be killed and started again on the same ports.

    Args:
        base: folder of the model's versions.
        grpc: whether to serve gRPC beside REST.
    """

    def __init__(self, base: pathlib.Path, grpc: bool = True):
        self.base, self.grpc = base, grpc
        self.port, self.rest_port = free_ports(2)
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
        assert self.said.startswith("ready"), self.said

    def kill(self) -> None:
        """End the process at once, in the middle of whatever it does."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
