"""`posebench study KIND`: the verb of a kind of study, with a flag for each of its settings."""

import inspect
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from bench.cli.setting_flags import setting_flags
from bench.cli.stores import stores
from bench.cli.study_again import actions
from bench.kinds import KINDS, study_spec
from bench.settings.presets import presets

BUDGET_HELP = (
    "Time for the whole command (10m, 90s, 1h30m): measures for 30 s at most, and chooses a size that fits; settings "
    "that are given stay."
)
INTERRUPTED_NOTE = "Interrupted, the same command goes on, or `posebench study resume NAME`."


def study_verb(kind: str) -> Callable[..., None]:
    """The command that runs a study of a kind, goes on with it, or shows its result again."""
    named = ", ".join(presets(kind))
    own = [
        option("study", Path | None, typer.Option("--study", metavar="FILE", help="A TOML study file.")),
        option(
            "preset",
            str | None,
            typer.Option("--preset", metavar="NAME", help=f"{named}; without one, what fits this machine."),
        ),
        option("dry_run", bool, typer.Option("--dry-run", help="Print the plan and stop."), default=False),
    ]
    if study_spec(kind).estimates:
        own.append(option("budget", str | None, typer.Option("--budget", metavar="DURATION", help=BUDGET_HELP)))
    if study_spec(kind).takes_more_optimizers:
        own = [*own, *ADDING]

    def run(**typed: Any) -> None:
        begun, added = typed.pop("begun", None), typed.pop("add", None)
        if begun is not None or added:
            _add(kind, begun, added, typed)
            return
        options = {
            name: typed.pop(name) for name in ("study", "preset", "dry_run", "budget", "as_json") if name in typed
        }
        _run(kind, typed, **options)

    return as_command(run, kind, own, f"{KINDS[kind].help}\n\n{INTERRUPTED_NOTE}")


def preset_verb(kind: str, text: str, preset: str, settings: Collection[str]) -> Callable[..., None]:
    """A command that runs a study of a preset, or of its form for a GPU, with flags for some of its settings.

    Args:
        kind: Of the study.
        text: The command's help.
        preset: Name of the preset.
        settings: Names of those that have a flag.
    """

    def run(**typed: Any) -> None:
        _run(kind, typed, preset=preset, by_device=True, as_json=typed.pop("as_json"))

    return as_command(run, kind, [], text, settings)


def option(name: str, kind: Any, flag: Any, *, default: Any = None) -> inspect.Parameter:
    """A parameter of a command; ``flag``: of `typer.Option`."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, flag])


ADDING = [
    inspect.Parameter(
        "begun",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, typer.Argument(metavar="[STUDY]", help="With --add: the study to add to.")],
    ),
    option(
        "add",
        list[str] | None,
        typer.Option(
            "--add",
            metavar="OPTIMIZER",
            help="Add an optimizer to a STUDY that was run: its trials run, all pairs are compared anew; repeatable.",
        ),
    ),
]
"""Of a kind whose studies take further optimizers."""


def as_command(
    run: Callable[..., None],
    kind: str,
    own: list[inspect.Parameter],
    text: str,
    settings: Collection[str] | None = None,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> Callable[..., None]:
    """``run`` with the signature and the help that Typer reads.

    Args:
        run: Gets what was typed, by name.
        kind: Whose settings have flags.
        own: Further parameters.
        text: The command's help.
        settings: Names of those that have a flag; None: all.
        renamed: Flags that are not a setting's own, by its name.
    """
    as_json = option("as_json", bool, typer.Option("--json", help="One JSON document on stdout."), default=False)
    parameters = [*own, *setting_flags(study_spec(kind).declarations(), settings, renamed), as_json]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = text
    return run


def _add(kind: str, begun: str | None, added: list[str] | None, typed: Mapping[str, Any]) -> None:
    """`posebench study KIND --add OPTIMIZER STUDY`: what else was typed of the study's settings is refused."""
    if begun is None:
        raise typer.BadParameter(
            "names the study that it is added to at the end: --add my.Lion STUDY", param_hint="--add"
        )
    if not added:
        raise typer.BadParameter(
            f"goes with --add; to go on with a study: posebench study resume {begun}", param_hint="STUDY"
        )
    untyped = {"dry_run": False}
    others = [
        name
        for name, value in typed.items()
        if name not in ("spaces", "data", "workers", "as_json") and value != untyped.get(name)
    ]
    if others:
        flag = others[0].replace("_", "-")
        raise typer.BadParameter(f"has the study's settings: leave --{flag} out", param_hint="--add")
    own = {name: typed[name] for name in ("data", "workers", "as_json")}
    actions().add(begun, added, typed["spaces"], kind=kind, **own)


def _run(kind: str, typed: dict[str, Any], *, dry_run: bool = False, **options: Any) -> None:
    began = time.time()
    if not dry_run:
        stores().require(kind)
    from bench.cli.actions.study import run_study  # PyTorch and MLflow take seconds; the help does without

    run_study(kind, typed, dry_run=dry_run, began=began, **options)
