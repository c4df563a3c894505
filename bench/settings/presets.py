"""The study files that ship in `studies/`: KIND.toml is a kind's preset `full`, KIND-NAME.toml its preset NAME."""

import tomllib
from functools import cache
from pathlib import Path

import studies
from posemodel.errors import SettingsError, nearest

FULL = "full"
FIRST = ("smoke", "small", FULL)
"""Presets in the order in which they are named; others follow by name."""


@cache
def kinds() -> tuple[str, ...]:
    """The kinds of study that ship: each has a file of its own name that says so."""
    files = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(_folder().glob("*.toml"))}
    return tuple(name for name, document in files.items() if document.get("kind") == name)


def presets(kind: str) -> dict[str, Path]:
    """The file of each preset of a kind; `full` is among them. SettingsError where it has none."""
    others = {path.stem.removeprefix(f"{kind}-"): path for path in sorted(_folder().glob(f"{kind}-*.toml"))}
    full = _folder() / f"{kind}.toml"
    if not full.is_file():
        raise SettingsError(f"kind {kind}: ships no study file; it needs studies/{kind}.toml, its preset {FULL}.")
    found = {FULL: full, **others}
    return {name: found[name] for name in sorted(found, key=lambda name: (name not in FIRST, _place(name), name))}


def preset_path(kind: str, preset: str) -> Path:
    """Path of a preset's file; SettingsError names the nearest preset."""
    known = presets(kind)
    if preset not in known:
        raise SettingsError(
            f"preset: there is no preset {preset!r}.{nearest(preset, known)} There are: {', '.join(known)}."
        )
    return known[preset]


def _place(name: str) -> int:
    return FIRST.index(name) if name in FIRST else 0


def _folder() -> Path:
    return Path(studies.__file__).parent
