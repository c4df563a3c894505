"""Write the reference page of all commands, from the signatures that Typer reads."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from bench.cli.app import app
from bench.cli.lazy_group import Verb
from bench.kinds import KIND_OF_VERB, KINDS, study_spec
from bench.kinds.template import SCHEMAS, allowed_values
from bench.settings.declarations import Declaration, alternatives
from bench.settings.layers import ENVIRONMENT_PREFIX
from bench.settings.shared_settings import (
    CHECKPOINT_EVERY_VARIABLE,
    DEFAULT_STORAGE,
    DEFAULT_TRACKING,
    STORAGE_VARIABLE,
    TRACKING_VARIABLE,
)
from bench.storage.patience_setting import DEFAULT_PATIENCE_S, PATIENCE_VARIABLE
from posemodel.config import CACHE_VARIABLE
from tests.support.reference.markdown import anchor, code, page, prose, table
from tests.support.reference.study_files import in_every_preset, setting_default, setting_values

PROGRAM = "posebench"
NUMBERS = {int: "integer", float: "number"}
"""Types whose bounds are shown, as JSON Schema names them."""


@dataclass(frozen=True)
class Command:
    """A verb, or a group of verbs."""

    path: tuple[str, ...]
    """Its words after `posebench`; none: `posebench` itself."""
    help: str
    run: Callable[..., Any] | None = None
    """The function whose signature declares its arguments and options."""
    verbs: list["Command"] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As it is typed."""
        return " ".join((PROGRAM, *self.path))

    @property
    def summary(self) -> str:
        """The first paragraph of its help."""
        return " ".join(self.help.partition("\n\n")[0].split())

    @property
    def kind(self) -> str | None:
        """The kind of study whose settings its options give."""
        words = " ".join(self.path)
        return KIND_OF_VERB.get(words) or next((each for each in KINDS if words == f"study {each}"), None)


def command_tree() -> Command:
    """All of `posebench`."""
    assert app.registered_callback is not None
    return _group((), app, app.registered_callback.callback)


def _group(path: tuple[str, ...], found: typer.Typer, run: Callable[..., Any] | None = None) -> Command:
    verbs = getattr(found.info.cls, "verbs", {})
    commands = [_lazy((*path, name), verb) for name, verb in verbs.items()]
    for each in found.registered_commands:
        assert each.callback is not None
        name = each.name or each.callback.__name__.replace("_", "-")
        commands.append(
            Command((*path, name), inspect.cleandoc(each.help or each.callback.__doc__ or ""), each.callback)
        )
    for group in found.registered_groups:
        assert group.typer_instance is not None
        commands.append(_group((*path, str(group.name)), group.typer_instance))
    return Command(path, inspect.cleandoc(found.info.help or ""), run, commands)


def _lazy(path: tuple[str, ...], verb: Verb) -> Command:
    module, _, attribute = verb.location.partition(":")
    found = getattr(import_module(module), attribute)
    if verb.argument is not None:
        found = found(verb.argument)
    return _group(path, found) if isinstance(found, typer.Typer) else Command(path, inspect.getdoc(found) or "", found)


def parameters(command: Command) -> Iterator[tuple[str, Any, ParameterInfo, Any]]:
    """Name, type, declaration and default of all that a command takes, in the order of its help."""
    for name, each in (inspect.signature(command.run).parameters if command.run else {}).items():
        marks = get_args(each.annotation)[1:] if get_origin(each.annotation) is Annotated else ()
        declared = next((mark for mark in marks if isinstance(mark, ParameterInfo)), None)
        if declared is not None and not declared.hidden:
            default = None if each.default is inspect.Parameter.empty else each.default
            required = each.default is inspect.Parameter.empty
            yield name, get_args(each.annotation)[0], declared, (... if required else default)


def command_line() -> str:
    """The page of all commands."""
    root = command_tree()
    everything = [*_leaves(root)]
    commands = table(
        ["command", "what it does"],
        [[f"[{code(' '.join(each.path))}](#{anchor(each.name)})", prose(each.summary)] for each in everything],
    )
    variables = table(
        ["variable", "default", "meaning"],
        [
            [code(f"{ENVIRONMENT_PREFIX}NAME"), "", "Any setting of a study, by its name in capital letters."],
            [
                code(TRACKING_VARIABLE),
                code(DEFAULT_TRACKING),
                "Where MLflow keeps the results: a database or a server.",
            ],
            [code(STORAGE_VARIABLE), code(DEFAULT_STORAGE), "Where Optuna keeps the state of the plan: a database."],
            [
                code(CHECKPOINT_EVERY_VARIABLE),
                code("5m"),
                "Time between two checkpoints of a trial that is not interrupted, for `--checkpoints`.",
            ],
            [
                code(PATIENCE_VARIABLE),
                code(f"{DEFAULT_PATIENCE_S / 60:.0f}m"),
                "How long a study waits for a database or an MLflow server that is away.",
            ],
            [code(CACHE_VARIABLE), code("~/.cache/posebench"), "Folder of the index of large annotation files."],
        ],
    )
    return page(
        "Command line",
        f"Every command of `{PROGRAM}` with its arguments and options; `{PROGRAM} COMMAND --help` prints the same in a "
        "terminal. Data goes to stdout, progress and messages go to stderr. The guide explains the [exit codes]"
        "(../guide/studies.md#exit-codes).",
        commands,
        "## Options of every command",
        f"These stand directly after `{PROGRAM}`, before the command.",
        _options(root),
        "## Environment variables",
        variables,
        *(_described(each) for each in everything),
    )


def _leaves(command: Command) -> Iterator[Command]:
    if not command.verbs:
        yield command
    for each in command.verbs:
        yield from _leaves(each)


def _described(command: Command) -> str:
    paragraphs = [prose(" ".join(each.split())) for each in command.help.split("\n\n") if each.strip()]
    arguments = [
        [code(_metavar(name, declared)), prose(declared.help or "")]
        for name, _, declared, _ in parameters(command)
        if isinstance(declared, ArgumentInfo)
    ]
    words = [command.name, "[OPTIONS]", *(_usage(*each) for each in parameters(command))]
    usage = " ".join(word for word in words if word)
    blocks = [f"## {command.name}", f"```\n{usage}\n```", *paragraphs]
    if arguments:
        blocks.append(table(["argument", "meaning"], arguments))
    options = _options(command)
    if command.kind is not None:
        note = (
            f"Options with a variable are settings of the kind `{command.kind}`: "
            f"[study-files.md](study-files.md#{command.kind}) has the values of the presets."
        )
        blocks.append(note)
    return "\n\n".join([*blocks, options])


def _metavar(name: str, declared: ParameterInfo) -> str:
    return (declared.metavar or name.upper()).strip("[]")


def _usage(name: str, kind: Any, declared: ParameterInfo, default: Any) -> str:
    if not isinstance(declared, ArgumentInfo):
        return ""
    word = _metavar(name, declared)
    word += "..." if _is_list(kind) and not word.endswith("...") else ""
    return word if default is ... else f"[{word}]"


def _options(command: Command) -> str:
    settings = study_spec(command.kind).declarations() if command.kind else {}
    given = in_every_preset(command.kind) if command.kind else frozenset()
    rows = []
    for name, kind, declared, default in parameters(command):
        if not isinstance(declared, OptionInfo):
            continue
        typed = ", ".join(map(code, flags(name, declared)))
        if name in settings:
            variable = code(ENVIRONMENT_PREFIX + name.upper())
            values, shown = _typed_values(name, settings[name], declared), _typed_default(name, settings[name], given)
            rows.append([f"{typed}<br>{variable}", values, shown, prose(declared.help or "")])
        else:
            typed += "".join(f"<br>{code(each)}" for each in _words(declared.envvar))
            rows.append([typed, _values(kind, declared), _default(kind, default), prose(declared.help or "")])
    return table(["option", "value", "default", "meaning"], rows)


def flags(name: str, declared: OptionInfo) -> list[str]:
    """All names of an option; in `Annotated` Typer keeps the first of them where a default would be."""
    marks = [each for each in (declared.default, *(declared.param_decls or ())) if isinstance(each, str)]
    return [flag for each in marks for flag in each.split("/")] or [f"--{name.replace('_', '-')}"]


def _typed_values(name: str, setting: Declaration, declared: OptionInfo) -> str:
    """What may be typed for a setting: lists and tables are written otherwise than in a study file."""
    if alternatives(setting.type) == [bool]:
        return ""
    written_otherwise = setting.list_item_type is not None or setting.is_table or bool(setting.flag.metavar)
    if written_otherwise and declared.metavar and name not in SCHEMAS:
        return code(declared.metavar)
    return setting_values(name, setting)


def _typed_default(name: str, setting: Declaration, given: frozenset[str]) -> str:
    """A setting's default as it would be typed."""
    default = setting.default
    if isinstance(default, bool):
        return "on" if default else "off"
    if default is None or isinstance(default, (int, float)):
        return setting_default(name, setting, given)
    if isinstance(default, (list, tuple)):
        default = ",".join(str(each).lower() if isinstance(each, bool) else str(each) for each in default)
    return code(str(default)) if default else "none"


def _words(texts: str | list[str] | None) -> list[str]:
    return [texts] if isinstance(texts, str) else [*(texts or [])]


def _is_list(kind: Any) -> bool:
    return any(get_origin(each) is list for each in alternatives(kind))


def _values(kind: Any, declared: ParameterInfo) -> str:
    """What an option's value may be."""
    inner = [part for each in alternatives(kind) for part in (get_args(each) if get_origin(each) is list else [each])]
    if inner == [bool]:
        return ""
    if inner[0] in NUMBERS:
        limits = {"minimum": declared.min, "maximum": declared.max}
        schema = {"type": NUMBERS[inner[0]], **{key: each for key, each in limits.items() if each is not None}}
        text = allowed_values(schema)
    elif get_origin(inner[0]) is Literal:
        text = allowed_values({"enum": get_args(inner[0])})
    elif declared.metavar:
        text = code(declared.metavar)
    else:
        text = "a path" if inner[0] is Path else "text"
    return f"{text}; repeatable" if _is_list(kind) else text


def _default(kind: Any, default: Any) -> str:
    if default is ...:
        return "required"
    if default is None:
        return ""
    if alternatives(kind) == [bool]:
        return "on" if default else "off"
    return code(str(default))
