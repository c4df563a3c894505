"""Create, find and extend a study's entry in an Optuna storage; refuse studies that posebench did not create."""

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


def find_or_create_study(storage: RDBStorage, url: str, name: str, identity: dict[str, Any], *, objectives: int) -> int:
    """Return the storage's id of a study; create the study if there is none of that name.

    Raises SettingsError if the name belongs to a posebench study with another identity (the difference is shown), or
    to a study that posebench did not create, which is left unchanged.
    """
    study_id = _find(storage, name)
    if study_id is None:
        _create(storage, name, identity, objectives)
        study_id = _find(storage, name)
        assert study_id is not None
    stored_identity = storage.get_study_user_attrs(study_id).get(STUDY)
    if stored_identity is None:
        _refuse(url, name, storage.get_n_trials(study_id))
    refuse_difference(name, stored_identity, identity)
    return study_id


def replace_identity(storage: RDBStorage, study: int, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Replace a study's identity in one transaction, and append the old one to its earlier identities.

    Raises SettingsError, and changes nothing, if another process has changed the identity since it was read.
    """
    attributes = models.StudyUserAttributeModel
    with sqlalchemy.orm.Session(storage.engine) as session, session.begin():
        study_attributes = session.query(attributes).filter_by(study_id=study)
        identity = study_attributes.filter_by(key=STUDY).with_for_update().one()
        stored_identity = json.loads(str(identity.value_json))
        if stored_identity == json.loads(json.dumps(new)):
            return  # done before, by a call whose answer was lost
        if stored_identity != json.loads(json.dumps(old)):
            raise SettingsError(
                f"study {stored_identity['name']}: another process has extended it meanwhile. Check its status before "
                "you try again."
            )
        earlier = study_attributes.filter_by(key=EARLIER).one_or_none()
        if earlier is None:
            earlier = attributes(study_id=study, key=EARLIER, value_json="[]")
            session.add(earlier)
        earlier.value_json = json.dumps([*json.loads(str(earlier.value_json)), stored_identity])
        identity.value_json = json.dumps(new)


def refuse_foreign(foreign: Collection[str], url: str, name: str) -> None:
    """Raise SettingsError if ``name`` is among ``foreign``, the storage's studies that posebench did not create."""
    if name in foreign:
        _refuse(url, name)


def _refuse(url: str, name: str, trials: int | None = None) -> NoReturn:
    trial_count = "" if trials is None else f" ({trials} trial{'' if trials == 1 else 's'})"
    raise SettingsError(
        f"name: the storage {masked(url)} holds a study {name!r}{trial_count} that posebench did not make, and does "
        "not write into. Give another --name, or set POSEBENCH_STORAGE to another database."
    )


def _find(storage: RDBStorage, name: str) -> int | None:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return None


def _create(storage: RDBStorage, name: str, identity: dict[str, Any], objectives: int) -> None:
    """Create a study with its identity in one transaction: Optuna needs two, and a kill may come in between.

    Does nothing if another process has created it first.
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
