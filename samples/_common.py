"""What the samples share: their command line, and a schedule that ends after so many steps or minutes."""

import argparse
import time
from collections.abc import Callable, Sequence

from mrcnn_keras.cli import run_command
from mrcnn_keras.commands.quiet import import_tensorflow

Command = tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]


def main(description: str, commands: dict[str, Command], argv: Sequence[str] | None = None) -> int:
    """Run one of a sample's commands.

    Args:
        description: of the sample.
        commands: for each name its help, a function that adds its options and one that runs it.
        argv: the words after the file's name; None: those of this process.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong usage.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (text, add_arguments, run) in commands.items():
        command = subparsers.add_parser(name, help=text, description=text)
        add_arguments(command)
        command.add_argument("--traceback", action="store_true", help="show where an error arose")
        command.set_defaults(run=run)
    return _run(parser, argv)


def main_of_one(
    description: str,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
) -> int:
    """Run a sample that does one thing; arguments and result as of `main`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")
    parser.set_defaults(run=run)
    return _run(parser, argv)


def _run(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    try:
        args = parser.parse_args(argv)
    except SystemExit as exit:
        return int(exit.code or 0)
    return run_command(args, " ".join([parser.prog, *([args.command] if "command" in args else [])]))


def limited_schedule(steps: int, minutes: float, rate: float, warmup_steps: int, drops: Sequence[float]):
    """A callback that sets the learning rate of each step and ends the training.

    The rate rises over the first steps and falls tenfold at each of `drops`, fractions of the run. The run is over
    after `steps` or `minutes`, whichever comes first, and a slow machine still gets to the low rates.

    Args:
        steps: 1 or more.
        minutes: above 0; evaluations count.
        rate: the full learning rate. The model must be compiled with a number, not a schedule.
        warmup_steps: of the linear rise.
        drops: in (0, 1), ascending.
    """
    import_tensorflow()
    import keras

    class LimitedSchedule(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.started = time.monotonic()

        def on_train_batch_begin(self, batch, logs=None):
            step = int(self.model.optimizer.iterations.numpy())
            risen = min(1.0, (step + 1) / max(1, warmup_steps))
            done = self.progress(step)
            self.model.optimizer.learning_rate = rate * risen * 0.1 ** sum(done >= drop for drop in drops)

        def on_train_batch_end(self, batch, logs=None):
            if self.progress(int(self.model.optimizer.iterations.numpy())) >= 1:
                self.model.stop_training = True

        def progress(self, step):
            return max(step / steps, (time.monotonic() - self.started) / (60 * minutes))

    return LimitedSchedule()
