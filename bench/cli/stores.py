"""Access to the checks of this folder's stores, which commands run before they import slow libraries."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.cli.actions.stores import StoreChecks


def stores() -> "StoreChecks":
    """Return the checks of both stores; run them before importing libraries, which takes seconds."""
    from bench.cli.actions.stores import StoreChecks, study_paths  # SQLAlchemy takes 0.3 s; the help does without

    return StoreChecks(study_paths())
