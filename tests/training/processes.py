"""Processes that a test starts, of which several may work together."""

import pathlib
import socket
import subprocess
import sys


def start(run, *arguments):
    """Run a script that lies in this folder."""
    words = [sys.executable, str(pathlib.Path(__file__).with_name(run)), *map(str, arguments)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def finish(*children, timeout=900):
    """Wait for scripts, all of which must succeed."""
    try:
        errors = [child.communicate(timeout=timeout)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    assert all(child.returncode == 0 for child in children), errors


def free_addresses(count):
    """host:port of so many ports of this machine that nobody uses."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    addresses = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses
