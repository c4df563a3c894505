"""The migration scripts of Optuna and MLflow are read once a process; each opening of a store would read all again."""

from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory

_READ: dict[str | None, ScriptDirectory] = {}
"""By the folder of the scripts."""


def remember_migrations(*, read_now: bool = False) -> None:
    """Keep what is read from now on. ``read_now``: for processes that are forked from this one."""
    if _READ:
        return
    read = ScriptDirectory.from_config.__func__

    def remembered(cls: type[ScriptDirectory], config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in _READ:
            _READ[place] = read(cls, config)
        return _READ[place]

    patched: Any = ScriptDirectory
    patched.from_config = classmethod(remembered)
    if read_now:
        from mlflow.store.db.utils import _get_alembic_config
        from optuna.storages._rdb.storage import _VersionManager

        optunas = object.__new__(_VersionManager)
        optunas.url = "sqlite://"
        for config in (optunas._create_alembic_config(), _get_alembic_config("sqlite://")):
            ScriptDirectory.from_config(config).get_heads()
