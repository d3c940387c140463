"""The command `mrcnn-keras`.

Exit status: 0 done, 1 the work found faults or failed for some inputs (named), 2 wrong usage.
"""

import argparse
import importlib
import re
import sys
from collections.abc import Sequence

_COMMANDS = {
    "demo": "mrcnn_keras.demo",
    "train": "mrcnn_keras.commands.train",
    "evaluate": "mrcnn_keras.commands.evaluate",
    "detect": "mrcnn_keras.commands.detect",
    "distill": "mrcnn_keras.commands.distill",
    "proposals": "mrcnn_keras.commands.proposals",
    "validate": "mrcnn_keras.commands.validate",
    "export": "mrcnn_keras.commands.export",
    "convert": "mrcnn_keras.commands.convert",
    "presets": "mrcnn_keras.commands.presets",
    "list-weights": "mrcnn_keras.commands.list_weights",
    "doctor": "mrcnn_keras.commands.doctor",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    TensorFlow is imported when a command needs it, not for help or wrong options.

    Args:
        argv: the words after `mrcnn-keras`; None: those of this process.

    Returns:
        The exit status.
    """
    try:
        args = make_parser().parse_args(argv)
    except SystemExit as exit:  # argparse has printed the help or what is wrong
        return int(exit.code or 0)
    return run_command(args, f"mrcnn-keras {args.command}")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from mrcnn_keras import __version__

    parser = argparse.ArgumentParser(
        prog="mrcnn-keras", description="Mask R-CNN for TensorFlow and Keras 3: train, evaluate, detect, export."
    )
    parser.add_argument("--version", action="version", version=f"mrcnn_keras {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module_name in _COMMANDS.items():
        module = importlib.import_module(module_name)
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__.partition(": ")[2])
        module.add_arguments(command)
        command.add_argument("--traceback", action="store_true", help="show where an error arose")
        command.set_defaults(run=module.run)
    return parser


def run_command(args: argparse.Namespace, name: str) -> int:
    """Run a parsed command; a mistake becomes one line on standard error and an exit status.

    Args:
        args: has `run`, a function of `args` that returns an exit status, and maybe `traceback`.
        name: what the message starts with.
    """
    from mrcnn_keras.commands.options import UsageError

    try:
        return args.run(args)
    except KeyboardInterrupt:
        print(f"\n{name}: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        message = _explain(error)
        if message is None or getattr(args, "traceback", False):
            raise
        print(f"{name}: error: {message}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _explain(error: Exception) -> str | None:
    """What to tell about a mistake in the input; None for a fault of the program, which needs its traceback."""
    if isinstance(error, (ValueError, OSError, ArithmeticError)):
        return str(error)
    # An error in reading an image comes through tf.data, wrapped in a traceback as text.
    inner = re.findall(r"^(?:ValueError|OSError): (.+)$", str(error), flags=re.MULTILINE)
    return inner[-1] if inner and type(error).__module__.startswith("tensorflow.") else None


if __name__ == "__main__":
    sys.exit(main())
