"""Make study settings and prepare studies as a user would request them, by the name of the kind."""

from bench.kinds import refuse_variables, study_kind, study_spec
from bench.settings.layers import build_model
from bench.study import prepare as study_prepare
from bench.study.settings import StudyRequest
from bench.study.settings import resolve as resolve_layers


def resolved(kind, command_line=(), study_file=None, preset="smoke", environ=()):
    """Every setting of a study, with its origin."""
    refuse_variables(dict(environ))
    return resolve_layers(study_spec(kind), StudyRequest(dict(command_line), study_file, preset), preset, dict(environ))


def prepared(kind, command_line=(), study_file=None, preset="smoke", make_data=None, on_open=None):
    """A study of the process's own environment, prepared."""
    return study_prepare.prepare(
        study_kind(kind), StudyRequest(dict(command_line), study_file, preset), make_data, on_open
    )


def built(kind, settings, **derived):
    """The specification of these settings."""
    spec = study_spec(kind)
    values = {name: settings[name].value for name in spec.model_fields if name in settings}
    return build_model(spec, {**values, **derived}, settings)
