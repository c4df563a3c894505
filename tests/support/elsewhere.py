"""A working directory on another machine, as far as a test can have one: it shares only a study's stores."""

from pathlib import Path

from tests.support.place import WORKERS, Place


class Elsewhere(Place):
    """Where `posebench worker` runs; its study's stores are in another place."""

    def __init__(self, folder: Path, study: Place, **stores: str) -> None:
        """``study``: the place of the study; ``stores``: addresses of its stores, by variable, if not its own files."""
        super().__init__(folder, used=False)
        self.forked_starts = WORKERS
        self.stores = stores or {
            "POSEBENCH_STORAGE": f"sqlite:///{study.folder}/optuna.db",
            "MLFLOW_TRACKING_URI": f"sqlite:///{study.folder}/mlflow.db",
        }

    @property
    def environment(self):
        """The same person's, with the addresses of the stores."""
        return super().environment | self.stores
