"""Building the operation: what it needs, and what is said where that is missing."""

import stat

import pytest
import tensorflow as tf

from mrcnn_keras.ops import build


def fake_program(folder, name, text="exit 1"):
    """An executable that does what `text` says."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_no_compiler(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match="no C.. compiler found .tried g.., c.., clang...: install one"):
        build.build_ops(tmp_path, verbose=False)
    assert not list(tmp_path.iterdir())


def test_compiler_named_in_the_environment_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build.BuildError, match="tried no-such-compiler"):
        build.build_ops(tmp_path, verbose=False)


def test_failing_compiler_shows_its_words_and_leaves_the_old_library(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", str(fake_program(tmp_path, "cxx", "echo no such header >&2; exit 3")))
    monkeypatch.setenv("MRCNN_KERAS_CUDA", "0")
    (tmp_path / build.LIBRARY_NAME).write_bytes(b"old")
    with pytest.raises(build.BuildError, match="(?s)failed with status 3:.*no such header"):
        build.build_ops(tmp_path, verbose=False)
    assert (tmp_path / build.LIBRARY_NAME).read_bytes() == b"old"


def test_failing_nvcc_leaves_the_cuda_kernel_out(tmp_path):
    said = []
    nvcc = fake_program(tmp_path, "nvcc", "echo unsupported >&2; exit 1")
    assert build._compile_cuda(str(nvcc), "g++", tf, tmp_path, said.append) == []
    assert "going on without the CUDA kernel" in said[0] and "unsupported" in said[0]


@pytest.mark.parametrize(("wish", "found"), [("0", False), ("1", True)])
def test_cuda_can_be_asked_for_and_refused(tmp_path, monkeypatch, wish, found):
    (tmp_path / "bin").mkdir()
    nvcc = fake_program(tmp_path / "bin", "nvcc")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setenv("MRCNN_KERAS_CUDA", wish)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: wish == "0")
    assert build._find_nvcc(tf) == (str(nvcc) if found else None)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(build.BuildError, match="cannot write"):
        build._install(tmp_path / "file", tmp_path / "file" / build.LIBRARY_NAME)


def test_stamp_is_read_back(tmp_path):
    stamp = build.Stamp("2.21.0", True, "00ff")
    (tmp_path / "with").write_bytes(b"\0\1" + str(stamp).encode() + b"\0")
    (tmp_path / "without").write_bytes(b"\0\1")
    assert build.read_stamp(tmp_path / "with") == stamp
    assert build.read_stamp(tmp_path / "without") is None


def test_library_here_says_what_it_was_built_for(compiled_file):
    assert build.read_stamp(compiled_file) == build.Stamp(
        tf.__version__, build.read_stamp(compiled_file).cuda, build.sources_hash()
    )


def test_sources_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "_HERE", tmp_path / "package" / "ops")
    with pytest.raises(build.BuildError, match="sources of the operations are missing .*reinstall"):
        build.source_dir()
