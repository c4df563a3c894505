"""The `posebench` command: its verbs, and how its errors reach the person who typed it."""

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
from bench.cli.home import expand_homes
from bench.cli.lazy_group import LazyGroup, Verb
from bench.engines import interruption
from bench.engines.interruption import INTERRUPTED
from bench.storage import streams
from bench.storage.masking import masked, masked_errors
from bench.storage.printing import log, log_text, print_line
from bench.storage.user_environment import stand_in
from bench.storage.visible import visible_lines
from posemodel import __version__
from posemodel.data.worker_faults import explained
from posemodel.errors import PosemodelError, SettingsError
from posemodel.launch import is_first

VERBS = {
    "train": Verb(
        "bench.cli.train:train",
        "Train a network; writes last.safetensors, best.safetensors, resume.pt and metrics.jsonl to --out.",
    ),
    "eval": Verb("bench.cli.evaluate:evaluate", "Score by pycocotools over all images of a split."),
    "predict": Verb(
        "bench.cli.predict:predict",
        "Find people in pictures of any size; pixels as stored, unless --exif or the network's training turns them.",
    ),
    "info": Verb("bench.cli.info:info", "Parameters, and GMACs of one forward pass, counted on the network itself."),
    "networks": Verb(
        "bench.cli.networks:networks",
        "Train every network for equal time; AP, images/s, curves, drawn samples as a report.",
    ),
    "report": Verb(
        "bench.cli.report:report",
        "Analyse the records of a study again and write reports/STUDY/report.html and report.md.",
    ),
    "compare": Verb(
        "bench.cli.compare:compare",
        "Say which differences between two studies (machine, version, schedule, ...) are beyond noise.",
    ),
    "ui": Verb(
        "bench.cli.ui:ui",
        "Serve this folder's studies on loopback: their reports, and MLflow's pages on all runs.",
    ),
    "data": Verb("bench.cli.data:app", "Check data sets, describe them, make synthetic ones."),
    "study": Verb("bench.cli.study_verbs:app", "Run studies."),
    "loader": Verb("bench.cli.loaders:app", "Loader settings for this machine."),
    "config": Verb("bench.cli.config:app", "Show settings."),
    "speed": Verb("bench.cli.speed:app", "Measure the speed of samples, decoding, training, scoring ..."),
    "weights": Verb("bench.cli.weights:app", "Weights of other programs."),
}
"""In the order of the help."""


class Verbs(LazyGroup):
    """All of `posebench`."""

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
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    _shown["tracebacks"] = debug
    if debug:
        sys.excepthook = _print_traceback


_shown = {"tracebacks": False}


def main() -> None:
    """Run the command line; exit codes are listed in docs/guide/studies.md."""
    try:
        with streams.kept_open(), masked_errors(), interruption.handled():
            _run()
    except streams.OutputLostError as error:
        log_text(f"posebench: {error}")
        sys.exit(FAILED)


def _explain(error: Exception) -> int:
    """Say what went wrong, in the words of Typer where it found a wrong usage; returns the exit code."""
    # Newer Typers carry a click of their own, older ones use the package: a usage error is known by its methods.
    if hasattr(error, "show") and hasattr(error, "exit_code"):
        if isinstance(getattr(error, "message", None), str):
            error.message = visible_lines(error.message)  # type: ignore[attr-defined]  # it quotes what was typed
        error.show()
        return int(error.exit_code)
    if _shown["tracebacks"]:
        raise error
    message = explained(error) or disk_error(error)
    if message is not None:
        _let_go(error)
    else:
        message = f"{type(error).__name__}: {masked(error)}\nRun `posebench --debug ...` for details."
    log_text(f"posebench: {message}")
    return FAILED


def _print_traceback(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    log_text("".join(traceback.format_exception(error)).rstrip("\n"))


def _let_go(error: Exception) -> None:
    """Drop what an error holds, quietly: loaders complain when they are taken down half made, and of their workers."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _found: None
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's raises for each worker that ends
    try:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = error.__context__ = error.__cause__ = None
        gc.collect()
    finally:
        sys.unraisablehook = hook


def _run() -> None:
    stand_in()
    # The working directory is importable, in spawned workers too; last, so that nothing there hides a library.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # a broken image is reported in our own words
    here = os.getcwd()  # noqa: PTH109 (sys.path holds text)
    if here not in sys.path:
        sys.path.append(here)
    try:
        code = expand_homes(typer.main.get_command(app))(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED  # Typer turns Ctrl-C into a result of this value, or into one of these, by version
    except PosemodelError as error:
        if _shown["tracebacks"]:
            raise
        log_text(f"posebench: {masked(error)}")
        sys.exit(WRONG_USAGE if isinstance(error, SettingsError) else FAILED)
    except Exception as error:
        if not interruption.asked():
            sys.exit(_explain(error))
        code = (
            INTERRUPTED  # a library that is interrupted may make an error of its own of it, in an import for instance
        )
    if code == INTERRUPTED and is_first():
        log("posebench: interrupted; what was done is kept, the same command goes on (train: with --resume).")
    sys.exit(code if isinstance(code, int) else DONE)
