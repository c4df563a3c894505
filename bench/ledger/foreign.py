"""A study's entry in an Optuna storage: made whole or not at all, and never taken over from somebody else."""

import json
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

import sqlalchemy
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection

from bench.ledger.format import EARLIER, STUDY
from bench.storage.masking import masked
from bench.trials.study_base import refuse_difference
from posemodel.errors import SettingsError


def study_in(storage: RDBStorage, url: str, name: str, identity: dict[str, Any], *, objectives: int) -> int:
    """The id of a study in the storage at ``url``, which is made if there is none of that name.

    SettingsError where the name stands for another study of ours (it shows the difference), or for one that posebench
    did not make, which is left as it is.
    """
    found = _find(storage, name)
    if found is None:
        _make(storage, name, identity, objectives)
        found = _find(storage, name)
        assert found is not None
    known = storage.get_study_user_attrs(found).get(STUDY)
    if known is None:
        _refuse(url, name, len(storage.get_all_trials(found, deepcopy=False)))
    refuse_difference(name, known, identity)
    return found


def replace_identity(storage: RDBStorage, study: int, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Make a study another one, and keep what it was, in one transaction; nothing is changed where it is not ``old``.

    SettingsError where somebody else has changed it meanwhile.
    """
    attributes = models.StudyUserAttributeModel
    with sqlalchemy.orm.Session(storage.engine) as session, session.begin():
        own = session.query(attributes).filter_by(study_id=study)
        identity = own.filter_by(key=STUDY).with_for_update().one()
        known = json.loads(str(identity.value_json))
        if known != json.loads(json.dumps(old)):
            raise SettingsError(f"study {known['name']}: another process has extended it meanwhile: look at it again.")
        earlier = own.filter_by(key=EARLIER).one_or_none()
        if earlier is None:
            earlier = attributes(study_id=study, key=EARLIER, value_json="[]")
            session.add(earlier)
        earlier.value_json = json.dumps([*json.loads(str(earlier.value_json)), known])
        identity.value_json = json.dumps(new)


def refuse_foreign(foreign: Collection[str], url: str, name: str) -> None:
    """SettingsError where ``name`` is among the studies of a storage that posebench did not make."""
    if name in foreign:
        _refuse(url, name)


def _refuse(url: str, name: str, trials: int | None = None) -> NoReturn:
    of_them = "" if trials is None else f" ({trials} trial{'' if trials == 1 else 's'})"
    raise SettingsError(
        f"name: the storage {masked(url)} holds a study {name!r}{of_them} that posebench did not make, and does not "
        "write into. Give another --name, or set POSEBENCH_STORAGE to another database."
    )


def _find(storage: RDBStorage, name: str) -> int | None:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return None


def _make(storage: RDBStorage, name: str, identity: dict[str, Any], objectives: int) -> None:
    """Make a study and say whose it is in one transaction: Optuna's own way needs two, and a kill may come between.

    Does nothing where another process was first.
    """
    study = models.StudyModel(
        study_name=name,
        directions=[
            models.StudyDirectionModel(objective=number, direction=StudyDirection.MAXIMIZE)
            for number in range(objectives)
        ],
        user_attributes=[models.StudyUserAttributeModel(key=STUDY, value_json=json.dumps(identity))],
    )
    try:
        with sqlalchemy.orm.Session(storage.engine) as session, session.begin():
            session.add(study)
    except sqlalchemy.exc.IntegrityError:
        return
