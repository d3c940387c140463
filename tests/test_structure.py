"""Who may import whom, and what may not import TensorFlow."""

import ast
import configparser
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mrcnn_keras"

# The parts of the package each part may import; the others sit on the public face and may import what they like but
# what FORBIDDEN says. "" is the package's own __init__ (its version), which imports nothing by itself. Every part may
# import utils.
ALLOWED = {
    "utils": set(),
    "boxes": set(),
    "config": set(),
    "presets": {"config"},
    "losses": {"boxes"},
    "ops": {"boxes"},
    "layers": {"ops", "boxes", "losses"},
    "heads": {"layers", "ops", "boxes", "losses"},
    "backbones": {"layers", "ops", "boxes", "losses"},
    "network_losses": {"layers"},
    "network": {"network_losses", "backbones", "heads", "layers", "ops", "boxes", "losses", "config"},
    "data": {"boxes", "config"},
    "visualize": {"data"},
    "inference": {"data", "boxes", "visualize"},
    "distillation": {"data", "inference", "evaluation"},
    "evaluation": {"data", "inference"},
    "training": {"data", "boxes", "losses", "layers", "evaluation"},
    "serving": {"config", "data", "layers", "ops", "boxes", "inference"},
    "weights": {"config", "presets", "data"},
}
# Nothing below the command line reaches up to it.
COMMAND_LINE = {"cli", "commands", "demo"}


def imports(path):
    """The parts of the package that a file imports, anywhere in it, with the line of each."""
    package = ["mrcnn_keras", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, *rest = name.split(".")
            if top == "mrcnn_keras" and rest:
                yield rest[0], node.lineno


def part_of(path):
    """Top-level module or subpackage of a file."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))


def test_import_rules():
    broken = []
    for path in FILES:
        part = part_of(path)
        for imported, line in imports(path):
            allowed = part in COMMAND_LINE or part not in ALLOWED or imported in {part, "utils", *ALLOWED[part]}
            if imported in COMMAND_LINE and part not in COMMAND_LINE:
                allowed = False
            if not allowed and imported != "__version__":
                broken.append(f"{path.relative_to(ROOT)}:{line}: {part} may not import {imported}")
    assert not broken, "\n".join(broken)


def test_every_rule_is_about_something():
    assert set(ALLOWED) <= {part_of(path) for path in FILES}


LIGHT = [
    "mrcnn_keras",
    "mrcnn_keras.cli",
    "mrcnn_keras.demo",
    "mrcnn_keras.config",
    "mrcnn_keras.presets",
    "mrcnn_keras.data",
    "mrcnn_keras.visualize",
    "mrcnn_keras.distillation",
    "mrcnn_keras.inference",
    "mrcnn_keras.evaluation",
    "mrcnn_keras.serving",
    "mrcnn_keras.training",
    "mrcnn_keras.weights.loading",
    "mrcnn_keras.weights.writing",
    "mrcnn_keras.weights.zoo.lookup",
    "mrcnn_keras.weights.zoo.download",
]


def test_light_modules_leave_tensorflow_alone():
    code = "import importlib, sys\n" + "".join(
        f"importlib.import_module({name!r})\nassert 'tensorflow' not in sys.modules, {name!r}\n" for name in LIGHT
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert child.returncode == 0, child.stderr


def test_the_model_waits_with_imports_that_detection_may_not_need():
    late = ("skimage", "pycocotools", "faster_coco_eval", "mrcnn_keras.visualize", "mrcnn_keras.weights.loading")
    code = f"import sys, mrcnn_keras.model\nassert not {{*{late!r}}} & {{*sys.modules}}, sys.modules.keys()"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert child.returncode == 0, child.stderr


def test_public_names_exist():
    import mrcnn_keras

    for name in mrcnn_keras.__all__:
        assert getattr(mrcnn_keras, name) is not None


def test_makefile_installs_the_tensorflow_that_the_metadata_asks_for():
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    wanted = [line for line in metadata["options"]["install_requires"].split() if line.startswith("tensorflow")]
    assert wanted
    (installed,) = re.findall(r'"(tensorflow[^"]*)"', (ROOT / "Makefile").read_text())
    assert installed == wanted[0]


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "__init__.py"], ids=lambda path: path.name)
def test_files_and_public_functions_say_what_they_are(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}:{node.lineno}: {node.name} has no docstring"
