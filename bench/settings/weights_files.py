"""Files of weights that a study's trials start from: where they stand, and their fingerprint."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from bench.settings.layers import Setting, about
from posemodel.errors import SettingsError

WEIGHTS = ("weights", "backbone_weights")
"""Settings that name such a file."""
BACKBONE = "vgg19-"
"""What the digest of a file of `backbone_weights` begins with."""
CHARACTERS = 16
"""Of a digest."""


def absolute_weights(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Files of weights, by paths that hold wherever a worker runs; of the settings those that name one."""
    given = {name: settings[name] for name in WEIGHTS if name in settings and settings[name].value is not None}
    return {name: Setting(Path(setting.value).resolve(), setting.origin) for name, setting in given.items()}


def weights_digest(settings: Mapping[str, Setting]) -> str:
    """Of the content of the file that is named; empty where none is. SettingsError names one that cannot be read."""
    for name, setting in absolute_weights(settings).items():
        with about(settings, name):
            try:
                with setting.value.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()[:CHARACTERS]
            except OSError as error:
                raise SettingsError(f"{name}: {setting.value}: cannot be read ({error.strerror}).") from error
        return found if name == "weights" else f"{BACKBONE}{found}"
    return ""
