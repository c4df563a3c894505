"""Write the reference page of `TrainSettings`, for users of `posemodel` as a library."""

import inspect
from collections.abc import Iterator

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined

from bench.kinds.template import allowed_values
from bench.settings.layers import field_type
from posemodel.config import TrainSettings
from tests.support.reference.markdown import anchor, code, page, prose, table


def train_settings() -> str:
    """The page of TrainSettings and the models in it."""
    models = [*_models(TrainSettings)]
    introduction = (
        "The first argument of `posemodel.train(settings, make_optimizer)`. Every field is a keyword argument of its "
        "class, and an unknown one is an error. `from posemodel import TrainSettings` imports the first class, "
        "`from posemodel.config import ...` all of them. The options of [`posebench train`]"
        "(command-line.md#posebench-train) set the same fields."
    )
    listed = " · ".join(f"[`{model.__name__}`](#{anchor(model.__name__)})" for model in models)
    return page("Settings of a training", introduction, f"{listed}.", *map(_model, models))


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and all that its fields hold, each once."""
    yield model
    for each in model.model_fields.values():
        if isinstance(each.annotation, type) and issubclass(each.annotation, BaseModel):
            yield from _models(each.annotation)


def _model(model: type[BaseModel]) -> str:
    rows = []
    for name, each in model.model_fields.items():
        if isinstance(each.annotation, type) and issubclass(each.annotation, BaseModel):
            nested = each.annotation.__name__
            values, default = f"[`{nested}`](#{anchor(nested)})", code(f"{nested}()")
        else:
            values = prose(allowed_values(TypeAdapter(field_type(model, name)).json_schema()))
            if each.default is None:
                values += ", or `None`"
            default = "required" if each.default is PydanticUndefined else code(repr(each.default))
        rows.append([code(name), values, default, prose(each.description or "")])
    summary = prose((inspect.getdoc(model) or "").partition("\n\n")[0])
    return "\n\n".join([f"## {model.__name__}", summary, table(["field", "value", "default", "meaning"], rows)])
