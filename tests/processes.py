"""Processes that a test starts, of which several may work together."""

import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Below the ports that systems choose for outgoing connections, so that none of those takes one in the meantime.
PORTS = range(20_000, 32_000)


def start(module, *arguments, **environment):
    """Run a module, such as "tests.training.replica_run", with variables of the environment."""
    words = [sys.executable, "-m", module, *map(str, arguments)]
    errors = tempfile.TemporaryFile("w+", errors="replace")
    child = subprocess.Popen(
        words, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=errors
    )
    child.errors = errors
    return child


def finish(*children, timeout=900):
    """Wait for scripts, all of which must succeed; where one fails the others are stopped."""
    latest = time.monotonic() + timeout
    try:
        while any(child.poll() is None for child in children):
            if any(child.poll() for child in children) or time.monotonic() > latest:
                break
            time.sleep(0.05)
        statuses = [child.poll() for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
        errors = "\n".join(map(_errors, children))
    assert statuses == [0] * len(children), errors


def _errors(child):
    with child.errors as file:
        file.seek(0)
        return file.read()


def arrays_of(path):
    """The arrays of an .npz file by name."""
    with np.load(path) as file:
        return dict(file)


def free_addresses(count):
    """host:port of so many ports of this machine that nobody uses."""
    sockets, addresses = [], []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        one = socket.socket()
        sockets.append(one)
        try:
            one.bind(("localhost", port))
        except OSError:
            continue
        addresses.append(f"localhost:{port}")
        if len(addresses) == count:
            break
    for one in sockets:
        one.close()
    return addresses
