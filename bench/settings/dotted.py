"""Classes and functions of one's own by where they stand: `my_package.module:Class` or `my_package.module.Class`.

Both spellings mean the same wherever something of one's own is named: an optimizer, a data set, a step, a collate
function, a workload. One of them is kept in records and ids, so that the other one is no other study.
"""

import importlib
import sys
from contextlib import redirect_stdout, suppress


def is_path(text: str) -> bool:
    """Whether a text names something in a module, in either spelling."""
    module, colon, name = text.partition(":")
    parts = [*module.split("."), *name.split(".")] if colon else text.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def with_dots(text: str) -> str:
    """A path in the spelling `my_package.Class`; any other text as it is."""
    return text.replace(":", ".") if is_path(text) else text


def with_colon(text: str) -> str:
    """A path in the spelling `my_package:Class`; any other text as it is."""
    return ":".join(split(text)) if is_path(text) else text


def split(path: str) -> tuple[str, str]:
    """Module and name of a path. Without a colon the module is all but the last name.

    Unless that is a class in a class: `my_package.module.Outer.Inner`. What is needed to tell is imported.
    """
    module, colon, name = path.partition(":")
    if colon:
        return module, name
    module, _, name = path.rpartition(".")
    outer, _, holder = module.rpartition(".")
    if outer and module not in sys.modules and isinstance(_found(outer, holder), type):
        return outer, f"{holder}.{name}"
    return module, name


def _found(module: str, name: str) -> object:
    """What a module has under a name, None where nothing; whatever an import raises is told by who imports the path."""
    with suppress(Exception, SystemExit), redirect_stdout(sys.stderr):  # stdout is for a document
        return getattr(importlib.import_module(module), name, None)
    return None
