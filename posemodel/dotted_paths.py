"""Dotted paths of users' classes and functions: `my_package.module:Class` or `my_package.module.Class`.

Both spellings mean the same for every user-written object: network, optimizer, data set, step, collate function,
workload.
Records and ids hold one spelling per setting, so that changing the spelling does not make a new study.
"""

import importlib
import re
import sys
from contextlib import redirect_stdout, suppress


def is_dotted_path(text: str) -> bool:
    """Return whether a text is a dotted path to something in a module, in either spelling."""
    module, colon, name = text.partition(":")
    parts = [*module.split("."), *name.split(".")] if colon else text.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def with_dots(text: str) -> str:
    """Return a path in the spelling `my_package.Class`; any other text unchanged.

    In a name made of several, `my_package:SAM(my_package:Lion)` or `muon + adamw`, each is spelled so, without spaces.
    """
    parts = [part.strip() for part in re.split(r"([()+])", text)]
    if len(parts) > 1 and all(is_dotted_path(part) or part.isidentifier() for part in parts[::2] if part):
        return "".join(part.replace(":", ".") for part in parts)
    return text.replace(":", ".") if is_dotted_path(text) else text


def with_colon(text: str) -> str:
    """Return a path in the spelling `my_package:Class`; any other text unchanged."""
    return ":".join(split_dotted_path(text)) if is_dotted_path(text) else text


def split_dotted_path(path: str) -> tuple[str, str]:
    """Return module and object name of a dotted path.

    Without a colon the module is all but the last part, except for a nested class (`my_package.module.Outer.Inner`);
    to tell the two apart, the module is imported.
    """
    module, colon, name = path.partition(":")
    if colon:
        return module, name
    module, _, name = path.rpartition(".")
    outer, _, outer_class = module.rpartition(".")
    if outer and module not in sys.modules and isinstance(_attribute(outer, outer_class), type):
        return outer, f"{outer_class}.{name}"
    return module, name


def _attribute(module: str, name: str) -> object:
    """Return a module's attribute or None; errors of the import are left to the later, real import."""
    with suppress(Exception, SystemExit), redirect_stdout(sys.stderr):  # stdout is reserved for JSON
        return getattr(importlib.import_module(module), name, None)
    return None
