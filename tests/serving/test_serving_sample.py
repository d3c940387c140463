"""samples/serving: the load generator, and files that belong together."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from .conftest import HAS_GRPC, file_of
from .running import unheard_port
from .tiny import photo

SAMPLE = pathlib.Path(__file__).resolve().parents[2] / "samples" / "serving"

# Runs the sample where TensorFlow cannot be imported.
CODE = "import runpy, sys; sys.modules['tensorflow'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.jpg").write_bytes(file_of(photo(60 + i, 80, i), "JPEG"))
    return folder


def load(*words, code=(str(SAMPLE / "load.py"),)):
    return subprocess.run([sys.executable, *code, *map(str, words)], capture_output=True, text=True)


@pytest.mark.parametrize("protocol", ["rest", "grpc"] if HAS_GRPC else ["rest"])
def test_load_reports_throughput_and_latency(server, photos, tmp_path, protocol):
    code = ("-c", CODE, str(SAMPLE / "load.py")) if protocol == "rest" else (str(SAMPLE / "load.py"),)
    words = ["--clients", 2, "--seconds", 1, "--batch-size", 2, "--out", tmp_path / "load.json"]
    child = load(server.addresses[protocol], photos, *words, code=code)
    assert child.returncode == 0, child.stderr
    report = json.loads(child.stdout)
    assert report == json.loads((tmp_path / "load.json").read_text())
    assert report["requests"] > 0 and report["errors"] == {}
    assert report["photos_per_second"] == pytest.approx(2 * report["requests"] / report["seconds"], rel=0.02)
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"] <= report["latency_ms"]["max"]


def test_load_says_what_is_wrong(photos, tmp_path):
    with unheard_port() as port:
        child = load(f"http://127.0.0.1:{port}", photos)
    assert child.returncode == 1 and "refused" in child.stderr
    (tmp_path / "none").mkdir()
    child = load("http://127.0.0.1:1", tmp_path / "none")
    assert child.returncode == 2 and "no images" in child.stderr


@pytest.mark.parametrize("name", ["compose.yaml", "compose.batching.yaml", "compose.gpu.yaml"])
def test_compose_files_mount_what_they_name(name):
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((SAMPLE / name).read_text())["services"]
    for service in services.values():
        mounts = [re.sub(r"\$\{.*?\}", ".", mount).split(":") for mount in service.get("volumes", [])]
        assert all((SAMPLE / source).exists() and mode == "ro" for source, _, mode in mounts)
    both = yaml.safe_load((SAMPLE / "compose.yaml").read_text())["services"]["serving"]["volumes"]
    mounted = {mount.split(":")[-2] for mount in [*both, *services["serving"].get("volumes", [])]}
    for option in services["serving"].get("command", []):
        assert not option.partition("=")[2].startswith("/") or option.partition("=")[2] in mounted


def test_prometheus_asks_where_the_server_tells():
    yaml = pytest.importorskip("yaml")
    (job,) = yaml.safe_load((SAMPLE / "prometheus.yaml").read_text())["scrape_configs"]
    assert f'path: "{job["metrics_path"]}"' in (SAMPLE / "monitoring.txt").read_text()
    assert job["static_configs"][0]["targets"] == ["serving:8501"]
