"""Action of `posebench study new`: write a commented study file."""

from pathlib import Path

from bench.kinds import study_spec
from bench.kinds.template import template
from bench.storage.printing import print_line
from posemodel.errors import SettingsError


def write_study_file(kind: str, file: Path, preset: str) -> None:
    """Write the file; SettingsError if there is no such kind or preset, or the file exists."""
    study_spec(kind, f"KIND {kind}")
    text = template(kind, file=file.as_posix(), preset=preset)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise SettingsError(f"{file}: exists; it is not overwritten. Give another name.") from error
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be written ({error.strerror}). Give a name in an existing, writable folder."
        ) from error
    print_line(f"Wrote {file}. Edit it, then run: posebench study {kind} --study {file}")
