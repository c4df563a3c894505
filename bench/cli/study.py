"""`posebench study KIND`: makes the verb of a kind of study, with a flag for each of its settings."""

import inspect
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from bench.cli.setting_flags import parse_workload_options, setting_flags
from bench.cli.stores import stores
from bench.cli.study_continue import actions
from bench.kinds import KINDS, study_spec
from bench.settings.presets import presets
from bench.settings.shared_settings import PLACE_SETTINGS

BUDGET_HELP = (
    "Time for the whole command (10m, 90s, 1h30m): measures for at most 30 s, then chooses a study size that fits; "
    "settings that you give are kept."
)
INTERRUPTED_NOTE = "After an interruption, the same command or `posebench study resume NAME` goes on."


def study_verb(kind: str) -> Callable[..., None]:
    """Make the command that runs a study of a kind, goes on with it, or shows its result again."""
    preset_names = ", ".join(presets(kind))
    own = [
        option(
            "study",
            Path | None,
            typer.Option("--study", metavar="FILE", help="Study file (TOML) to read settings from."),
        ),
        option(
            "preset",
            str | None,
            typer.Option(
                "--preset", metavar="NAME", help=f"Preset: {preset_names} (default: chosen for this machine)."
            ),
        ),
        option(
            "dry_run",
            bool,
            typer.Option("--dry-run", help="Print the plan of the study and run nothing."),
            default=False,
        ),
    ]
    if study_spec(kind).estimates:
        own.append(option("budget", str | None, typer.Option("--budget", metavar="DURATION", help=BUDGET_HELP)))
    if study_spec(kind).takes_more_optimizers:
        own = [*own, *ADDING]
    if WORKLOAD in study_spec(kind).declarations():
        own.append(WORKLOAD_SETTING)

    if study_spec(kind).runner == "measurement":
        own += [NO_ENGINE]

    def run(**typed: Any) -> None:
        if study_spec(kind).runner == "measurement" and typed.pop("engine") not in (None, "local"):
            raise typer.BadParameter(ONE_MACHINE, param_hint="--engine")
        begun, added = typed.pop("begun", None), typed.pop("add", None)
        if WORKLOAD in typed:
            typed[WORKLOAD] = parse_workload_options(typed[WORKLOAD], typed.pop("workload_setting") or ())
        if begun is not None or added:
            _add(kind, begun, added, typed)
            return
        options = {
            name: typed.pop(name) for name in ("study", "preset", "dry_run", "budget", "as_json") if name in typed
        }
        _run(kind, typed, **options)

    return as_command(run, kind, own, f"{KINDS[kind].help}\n\n{study_spec(kind).question()}\n\n{INTERRUPTED_NOTE}")


def preset_verb(kind: str, text: str, preset: str, settings: Collection[str]) -> Callable[..., None]:
    """Make a command that runs a preset of a kind (on a GPU, the preset's GPU form), with flags for some settings.

    Args:
        kind: Kind of the study.
        text: Help of the command.
        preset: Name of the preset.
        settings: Names of the settings that have a flag.
    """

    def run(**typed: Any) -> None:
        _run(kind, typed, preset=preset, by_device=True, as_json=typed.pop("as_json"))

    return as_command(run, kind, [], text, settings)


def option(name: str, kind: Any, flag: Any, *, default: Any = None) -> inspect.Parameter:
    """Return a parameter of a command; ``flag`` is its `typer.Option`."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, flag])


ADDING = [
    inspect.Parameter(
        "begun",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            str | None, typer.Argument(metavar="[STUDY]", help="Name of the study to add an optimizer to, with --add.")
        ],
    ),
    option(
        "add",
        list[str] | None,
        typer.Option(
            "--add",
            metavar="OPTIMIZER",
            help="Add this optimizer to an existing STUDY: run its trials and compare all pairs again; repeatable. "
            "A name as `posebench optimizers` lists them, my_package.SAM(adamw) or muon+adamw.",
        ),
    ),
]
"""Further parameters of a kind to whose studies optimizers can be added."""
ONE_MACHINE = "a loader study is about the machine that it runs on: start it on a node of the cluster"
NO_ENGINE = option("engine", str | None, typer.Option("--engine", hidden=True))
"""Further parameter of a kind that measures one machine, which refuses it in words."""
WORKLOAD = "workload"
"""Setting whose flag holds the name alone."""
WORKLOAD_SETTING = option(
    "workload_setting",
    list[str] | None,
    typer.Option(
        "--workload-setting", metavar="NAME=VALUE", help="A setting of your own workload's, as `hidden=32`; repeatable."
    ),
)
"""Further parameter of a kind whose studies can train any workload."""


def as_command(
    run: Callable[..., None],
    kind: str,
    own: list[inspect.Parameter],
    text: str,
    settings: Collection[str] | None = None,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> Callable[..., None]:
    """Give ``run`` the signature and the help that Typer reads, and return it.

    Args:
        run: Function that gets all arguments by name.
        kind: Kind of study whose settings become flags.
        own: Parameters of the command itself.
        text: Help of the command.
        settings: Names of the settings that have a flag; None: all.
        renamed: Flags that differ from the setting's own, by setting.
    """
    as_json = option(
        "as_json", bool, typer.Option("--json", help="Print the result as one JSON document on stdout."), default=False
    )
    parameters = [*own, *setting_flags(study_spec(kind).declarations(), settings, renamed), as_json]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = text
    return run


def _add(kind: str, begun: str | None, added: list[str] | None, typed: Mapping[str, Any]) -> None:
    """Run `posebench study KIND --add OPTIMIZER STUDY`; refuses flags of the study's settings."""
    if begun is None:
        raise typer.BadParameter("needs the name of the study at the end: --add my.Lion STUDY", param_hint="--add")
    if not added:
        raise typer.BadParameter(
            f"needs --add; to go on with the study: posebench study resume {begun}", param_hint="STUDY"
        )
    defaults = {"dry_run": False}
    others = [
        name
        for name, value in typed.items()
        if name not in ("spaces", "data", "as_json", *PLACE_SETTINGS) and value != defaults.get(name)
    ]
    if others:
        flag = others[0].replace("_", "-")
        raise typer.BadParameter(f"keeps the study's settings: leave --{flag} out", param_hint="--add")
    places = {name: typed[name] for name in PLACE_SETTINGS}
    own = {name: typed[name] for name in ("data", "as_json")}
    actions().add(begun, added, typed["spaces"], kind=kind, places=places, **own)


def _run(kind: str, typed: dict[str, Any], *, dry_run: bool = False, **options: Any) -> None:
    began = time.time()
    if not dry_run:
        stores().require(kind)
    from bench.cli.actions.study import run_study  # PyTorch and MLflow take seconds; the help does without

    run_study(kind, typed, dry_run=dry_run, began=began, **options)
