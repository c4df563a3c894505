"""The `posebench` command: the table of its verbs, its entry point, and how errors are printed."""

import gc
import os
import signal
import sys
import traceback
from types import TracebackType
from typing import Annotated

import typer

from bench.cli.disk_errors import disk_error
from bench.cli.exit_codes import DONE, FAILED, WRONG_USAGE
from bench.cli.home_paths import expand_homes
from bench.cli.lazy_group import LazyGroup, Verb
from bench.engines import interruption
from bench.engines.interruption import INTERRUPTED
from bench.storage import streams
from bench.storage.masking import masked, masked_errors
from bench.storage.printing import log, log_text, print_line
from bench.storage.user_environment import provide_user_environment
from bench.storage.visible import visible_lines
from posemodel import __version__
from posemodel.data.worker_faults import explain_loader_error
from posemodel.errors import PosemodelError, SettingsError
from posemodel.launch import is_rank_zero

VERBS = {
    "train": Verb(
        "bench.cli.train:train",
        "Train a network and save its checkpoints.",
    ),
    "eval": Verb("bench.cli.evaluate:evaluate", "Score a checkpoint or a predictions file by COCO keypoint AP."),
    "predict": Verb(
        "bench.cli.predict:predict",
        "Find people in pictures; write COCO results or drawings.",
    ),
    "info": Verb("bench.cli.info:info", "Show the number of parameters and GMACs of a network."),
    "networks": Verb(
        "bench.cli.networks:networks",
        "Train every network for the same time and compare them.",
    ),
    "report": Verb(
        "bench.cli.report:report",
        "Write the report of a study again from its records.",
    ),
    "compare": Verb(
        "bench.cli.compare:compare",
        "Compare two studies and say which differences exceed noise.",
    ),
    "ui": Verb(
        "bench.cli.ui:ui",
        "Show this folder's reports and MLflow's pages in a browser.",
    ),
    "data": Verb("bench.cli.data:app", "Check, describe, draw or generate data sets."),
    "study": Verb("bench.cli.study_verbs:app", "Run studies and follow their progress."),
    "worker": Verb("bench.cli.worker:worker", "Run trials of a begun study, from any machine."),
    "optimizers": Verb("bench.cli.optimizers:app", "List the optimizers that can be named, and check them."),
    "loader": Verb("bench.cli.loaders:app", "Find fast data loader settings for this machine."),
    "config": Verb("bench.cli.config:app", "Show the settings of a study."),
    "speed": Verb("bench.cli.speed:app", "Measure the speed of posebench's parts against yardsticks."),
    "weights": Verb("bench.cli.weights:app", "Convert weights of other programs."),
}
"""Verbs in the order of the help; each line is the first sentence of the verb's own help."""


class Verbs(LazyGroup):
    """The verbs of `posebench`."""

    verbs = VERBS


app = typer.Typer(
    name="posebench",
    cls=Verbs,
    help="Which optimizer and which loader settings train an OpenPose-style network best on this machine?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"posebench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    _options_set["tracebacks"] = debug
    if debug:
        sys.excepthook = _print_traceback


_options_set = {"tracebacks": False}


def main() -> None:
    """Run the command line; docs/guide/studies.md lists the exit codes."""
    try:
        with streams.surviving_streams(), masked_errors(), interruption.handle_signals():
            _run()
    except streams.OutputLostError as error:
        log_text(f"posebench: {error}")
        sys.exit(FAILED)


def _print_error(error: Exception) -> int:
    """Print what went wrong (usage errors in Typer's words) and return the exit code."""
    # Newer Typers bundle click, older ones import it: recognise a usage error by its methods, not by its class.
    if hasattr(error, "show") and hasattr(error, "exit_code"):
        if isinstance(getattr(error, "message", None), str):
            error.message = visible_lines(error.message)  # type: ignore[attr-defined]  # it quotes user input
        error.show()
        return int(error.exit_code)
    if _options_set["tracebacks"]:
        raise error
    message = explain_loader_error(error) or disk_error(error)
    if message is not None:
        _free(error)
    else:
        message = f"{type(error).__name__}: {masked(error)}\nRun `posebench --debug ...` for details."
    log_text(f"posebench: {message}")
    return FAILED


def _print_traceback(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    log_text("".join(traceback.format_exception(error)).rstrip("\n"))


def _free(error: Exception) -> None:
    """Free the objects that an error's traceback references; partly built data loaders would print warnings later."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _unraisable: None
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler raises for each worker that ends
    try:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = error.__context__ = error.__cause__ = None
        gc.collect()
    finally:
        sys.unraisablehook = hook


def _run() -> None:
    provide_user_environment()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # posebench reports broken images itself
    # Users' modules in the working folder are importable, in spawned workers too; last, so that none hides a library.
    here = os.getcwd()  # noqa: PTH109 (sys.path holds text)
    if here not in sys.path:
        sys.path.append(here)
    try:
        code = expand_homes(typer.main.get_command(app))(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED  # depending on its version, Typer returns this value or raises one of these on Ctrl-C
    except PosemodelError as error:
        if _options_set["tracebacks"]:
            raise
        log_text(f"posebench: {masked(error)}")
        sys.exit(WRONG_USAGE if isinstance(error, SettingsError) else FAILED)
    except Exception as error:
        if not interruption.stop_requested():
            sys.exit(_print_error(error))
        code = INTERRUPTED  # a library may turn the interrupt into an error of its own, for instance during an import
    if code == INTERRUPTED and is_rank_zero():
        log("posebench: interrupted; finished work is kept, the same command goes on (train: with --resume).")
    sys.exit(code if isinstance(code, int) else DONE)
