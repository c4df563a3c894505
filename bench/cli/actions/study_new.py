"""Writes a study file to begin with."""

from pathlib import Path

from bench.kinds import study_spec
from bench.kinds.template import template
from bench.storage.printing import print_line
from posemodel.errors import SettingsError


def write_study_file(kind: str, file: Path, preset: str) -> None:
    """Write the file; SettingsError where there is no such kind or preset, or something is there already."""
    study_spec(kind, f"KIND {kind}")
    text = template(kind, file=file.as_posix(), preset=preset)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise SettingsError(f"{file}: exists already, and is left as it is. Give another name.") from error
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be written ({error.strerror}). Give a name in a folder that exists and takes files."
        ) from error
    print_line(f"Wrote {file}: change what you like, then `posebench study {kind} --study {file}`.")
