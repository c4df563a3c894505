"""Texts of `posebench optimizers`: a line for each of many, a paragraph for each of few, commands to type next."""

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.cli.actions.train_settings import SEPARATE_OPTIONS
from bench.optimizers.check import ORDINARY_STEP
from bench.optimizers.description import STEPS_OF_TRAINING, Description, Examined, space_text, value_text
from bench.optimizers.entry import WEIGHT_DECAY, Fillable
from bench.report.driving_note import driving_note
from bench.report.python_call import python_import
from bench.report.text import plain

LABEL = 17
"""Columns of a label and the space before its text."""
MIN_REMARK = 20
"""Columns of a remark beside long names, on a narrow terminal."""
SCHEDULES = {
    None: "that of the study",
    "constant": "its own: constant after the warm-up",
    "fixed": "its own: the method sets its rate itself, and posebench does not change it",
}
"""Schedule of an optimizer -> how it is told."""
AS_PLANNED = "(the training)"
"""Stands for a value that the training fills in."""


def group_lines(group: str, descriptions: Sequence[Description], width: int) -> Iterator[str]:
    """Yield a heading and a line for each optimizer of a group: its name, and what is to know of it."""
    passed = sum(each.check.passes for each in descriptions)
    count = len(descriptions)
    yield f"{group}: {f'all {count}' if passed == count > 1 else f'{passed} of {count}'} pass"
    column = max(len(each.name) for each in descriptions)
    for each in descriptions:
        remark = ": ".join(filter(None, ("passes", each.short_driving)))
        if not each.check.passes:
            remark = f"no: {each.short_reason}"
        remark = textwrap.shorten(remark, max(width - column - 4, MIN_REMARK), placeholder="...")
        yield f"  {each.name:{column}}  {remark}"


def paragraph(description: Description, width: int, *, space_label: str = "default space") -> Iterator[str]:
    """Yield the lines that describe one optimizer in full."""
    yield description.name
    entry, check = description.entry, description.check
    if not check.passes:
        yield from _labelled("fails", description.reason, width)
    if entry is None:
        return
    if check.passes:
        yield from _labelled("passes", _findings(description), width)
    defaults = ((name, text or _without_default(entry.fillable, name)) for name, text in description.defaults.items())
    yield from _labelled("hyperparameters", ", ".join(f"{name}={text}" for name, text in defaults) or "none", width)
    text = space_text(description.space)
    yield from _labelled(space_label, text.replace("),", "), ") if text else "none: give a study one", width)
    yield from _labelled("source", entry.source, width)
    if entry.kind != entry.source:
        yield from _labelled("class", entry.kind, width)
    yield from _labelled("schedule", SCHEDULES[entry.schedule], width)


def next_lines(examined: Examined, width: int) -> Iterator[str]:
    """Yield the line of Python that builds an optimizer that passes, and the commands to type next."""
    imports, _, call = python_import(examined.line).rpartition("\n")
    if imports:
        yield f"  {'Python':{LABEL}}{imports}"  # in one line, or it would not run
    yield from _filled("" if imports else "Python", re.split(r"(?<=\()(?!\))|(?<= )", call), width)
    driving = examined.description.check.driving
    if note := driving_note(examined.line, None if driving == ORDINARY_STEP else driving):
        yield from _labelled("", plain(note), width)
    for label, words in (("train", train_words(examined)), ("study", study_words(examined))):
        if words:
            yield from command_lines(label, words, width)


def train_words(examined: Examined) -> list[str]:
    """Return the words of the command that trains with an optimizer."""
    words = ["posebench", "train", "--optimizer", examined.description.name]
    for name, value in examined.values.items():
        if name in SEPARATE_OPTIONS:
            words += [SEPARATE_OPTIONS[name], value_text(value)]
        else:
            words += ["-O", f"{name}={value_text(value)}"]
    return [*words, "--data", "DIR", "--steps", str(STEPS_OF_TRAINING)]


def study_words(examined: Examined) -> list[str]:
    """Return the words of the command that compares an optimizer with Adam; none if it needs a space first."""
    name = examined.description.name
    if not examined.description.space:
        return []
    others = [each for each in ("adam",) if each != name]
    words = ["posebench", "study", "optimizers", "--optimizers", ",".join([*others, name])]
    if examined.changed is not None:
        words += ["--space", f"{name}:{space_text(examined.changed)}"]
    if WEIGHT_DECAY in examined.values:
        words += ["--wd", value_text(examined.values[WEIGHT_DECAY])]
    return words


def command_lines(label: str, words: Sequence[str], width: int) -> Iterator[str]:
    """Yield a command in lines that a shell takes as one."""
    parts: list[str] = []
    for word in map(shlex.quote, words):
        if parts and parts[-1].startswith("-") and " " not in parts[-1]:
            parts[-1] += f" {word}"  # a flag stays with its value
        else:
            parts.append(word)
    line = f"  {label:{LABEL}}{parts[0]}"
    for part in parts[1:]:
        if len(line) + len(part) + len("  \\") <= width:
            line += f" {part}"
            continue
        yield f"{line} \\"
        *filled, line = _filled("", re.split(r"(?<=,)(?=\w+=)", part), width - 2)  # a quoted space may have line ends
        yield from filled
    yield line


def commands(examined: Examined) -> Mapping[str, Any]:
    """Return the line of Python and the commands for JSON; None if it fails or needs more."""
    passes = examined.description.check.passes
    return {
        "line": examined.line or None,
        "train_command": shlex.join(train_words(examined)) if passes else None,
        "study_command": shlex.join(study_words(examined)) or None if passes else None,
    }


def _findings(description: Description) -> str:
    """Return what the check found of an optimizer that passes."""
    check = description.check
    gradients = check.gradients_per_step or 0.0
    resumes = "resumes to the bit" if check.resumes else "does not resume to the bit"
    return ", ".join(
        [
            check.driving,
            f"{gradients:.3g} {'gradient' if gradients == 1 else 'gradients'} a step",
            resumes,
            f"{check.state_bytes_per_weight:.3g} bytes of state a weight",
        ]
    )


def _without_default(fillable: Mapping[str, Fillable], name: str) -> str:
    return AS_PLANNED if name in fillable else "(required)"


def _filled(label: str, pieces: Sequence[str], width: int) -> Iterator[str]:
    """Yield lines of whole pieces, as many as fit."""
    line, empty = f"  {label:{LABEL}}", True
    for piece in pieces:
        if not empty and len(line) + len(piece.rstrip()) > width:
            yield line.rstrip()
            line = " " * (LABEL + 2)
        line, empty = line + piece, False
    yield line.rstrip()


def _labelled(label: str, text: str, width: int) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        width,
        initial_indent=f"  {label:{LABEL}}",
        subsequent_indent=" " * (LABEL + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
