"""Presets: study files shipped in `studies/`. KIND.toml is a kind's preset `full`, KIND-NAME.toml its preset NAME."""

import tomllib
from functools import cache
from pathlib import Path

import studies
from posemodel.errors import SettingsError, did_you_mean

FULL = "full"
FIRST = ("smoke", "small", FULL)
"""Presets listed first, in this order; others follow by name."""


@cache
def kinds() -> tuple[str, ...]:
    """Return the kinds of study that have a shipped study file of the kind's own name."""
    files = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(_folder().glob("*.toml"))}
    return tuple(name for name, document in files.items() if document.get("kind") == name)


def presets(kind: str) -> dict[str, Path]:
    """Return the file of each preset of a kind, by preset name; SettingsError if the kind ships no `full`."""
    others = {path.stem.removeprefix(f"{kind}-"): path for path in sorted(_folder().glob(f"{kind}-*.toml"))}
    full = _folder() / f"{kind}.toml"
    if not full.is_file():
        raise SettingsError(f"kind {kind}: has no study file; add studies/{kind}.toml, its preset {FULL}.")
    files = {FULL: full, **others}
    return {name: files[name] for name in sorted(files, key=lambda name: (name not in FIRST, _rank(name), name))}


def preset_path(kind: str, preset: str) -> Path:
    """Return the path of a preset's file; SettingsError names the nearest preset."""
    known = presets(kind)
    if preset not in known:
        raise SettingsError(
            f"preset: there is no preset {preset!r}.{did_you_mean(preset, known)} There are: {', '.join(known)}."
        )
    return known[preset]


def _rank(name: str) -> int:
    return FIRST.index(name) if name in FIRST else 0


def _folder() -> Path:
    return Path(studies.__file__).parent
