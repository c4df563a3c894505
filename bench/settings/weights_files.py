"""Weights files that a study's trials start from: their paths and digests."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from bench.settings.layers import Setting, errors_about
from posemodel.errors import SettingsError

WEIGHTS = ("weights", "backbone_weights")
"""Settings that name a weights file."""
BACKBONE = "vgg19-"
"""Prefix of the digest of a `backbone_weights` file."""
DIGEST_LENGTH = 16
"""Length of a digest, in hexadecimal digits."""


def absolute_weights(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return those settings that name a weights file, with absolute paths, which hold in any worker's folder."""
    named = {name: settings[name] for name in WEIGHTS if name in settings and settings[name].value is not None}
    return {name: Setting(Path(setting.value).resolve(), setting.origin) for name, setting in named.items()}


def weights_digest(settings: Mapping[str, Setting]) -> str:
    """Return the digest of the weights file's content, "" if none is set; SettingsError for an unreadable file."""
    for name, setting in absolute_weights(settings).items():
        with errors_about(settings, name):
            try:
                with setting.value.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_LENGTH]
            except OSError as error:
                raise SettingsError(f"{name}: {setting.value}: cannot be read ({error.strerror}).") from error
        return digest if name == "weights" else f"{BACKBONE}{digest}"
    return ""
