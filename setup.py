"""Adds one step to the build: the C++ operations are compiled where TensorFlow and a compiler are there."""

import importlib.util
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # without build isolation setuptools may be older than pyproject.toml asks for
    from wheel.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parent


def load_build_module():
    """mrcnn_keras/ops/build.py by itself: the package may not be importable yet."""
    spec = importlib.util.spec_from_file_location("mrcnn_keras_ops_build", ROOT / "mrcnn_keras" / "ops" / "build.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class BuildWithOps(build_py):
    """Copies the package and, beside its Python files, the C++ sources and the library compiled from them."""

    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):
            self.compile_into(ROOT / "mrcnn_keras" / "ops")
            return
        target = Path(self.build_lib) / "mrcnn_keras" / "ops"
        shutil.copytree(ROOT / "custom_ops", target / "_sources", dirs_exist_ok=True)
        self.compile_into(target)

    def compile_into(self, folder):
        """Compile the operations; without them the package works all the same, only slower."""
        build = load_build_module()
        try:
            build.build_ops(folder)
        except build.BuildError as error:
            print(f"mrcnn-keras: installing without the compiled operations: {error}", file=sys.stderr)


class PlatformWheel(bdist_wheel):
    """A wheel for this platform, for the library's sake, and for any Python 3, on which the library does not depend."""

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": BuildWithOps, "bdist_wheel": PlatformWheel})
