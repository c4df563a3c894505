"""Settings typed by their names, `--set NAME=VALUE`."""

from collections.abc import Collection, Iterable, Mapping


def given_by_name(pairs: Iterable[str], known: Collection[str]) -> Mapping[str, str]:
    """Settings typed as NAME=VALUE; SettingsError names the option and the nearest name."""
    from bench.settings.validation import nearest
    from posemodel.errors import SettingsError

    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set {pair}: must be NAME=VALUE.")
        if name not in known:
            raise SettingsError(f"--set {pair}: there is no such setting.{nearest(name, known)}")
        if name in given:
            raise SettingsError(f"--set {pair}: {name} is given twice.")
        given[name] = value
    return given
