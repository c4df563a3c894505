"""Conversion to plain JSON values: null for NaN and infinity, Python numbers for NumPy's."""

import dataclasses
import datetime
import enum
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def to_json_safe(value: Any) -> Any:
    """Convert a value so that ``json.dumps(..., allow_nan=False)`` takes it.

    Args:
        value: Numbers, text, mappings, sequences, sets, dataclasses, enums, dates, NumPy arrays and scalars, pandas
            frames (a list of rows) and series (a list), nested as deep as you like.

    Returns:
        The same content as dict, list, str, int, float, bool and None. NaN, infinity, NaT and NA become None; keys
        become text; sets become lists, sorted by the text of their elements.

    Raises:
        TypeError: A value has no plain form.
    """
    match value:
        case None | bool() | str() if not isinstance(value, enum.Enum):
            return value
        case enum.Enum():
            return to_json_safe(value.value)
        case int() | np.integer():
            return int(value)
        case np.bool_():
            return bool(value)
        case float() | np.floating():
            return float(value) if math.isfinite(value) else None
        case _ if value is pd.NA or value is pd.NaT:
            return None
        case datetime.date():
            return value.isoformat()
        case Mapping():
            return {str(key): to_json_safe(item) for key, item in value.items()}
        case pd.DataFrame():
            return [to_json_safe(row) for row in value.to_dict(orient="records")]
        case pd.Series() | np.ndarray():
            return to_json_safe(value.tolist())
        case set() | frozenset():
            return [to_json_safe(item) for item in sorted(value, key=str)]
        case list() | tuple():
            return [to_json_safe(item) for item in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: to_json_safe(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            raise TypeError(f"{type(value).__name__} has no plain JSON form")
