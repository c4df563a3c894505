"""Format a Python call to paste, in lines that fit a terminal of 80 columns."""

import textwrap

LINE = 76
"""Most characters of a line: a terminal indents it."""
INDENT = "    "


def python_call(call: str) -> str:
    """Return the call, arguments on lines of their own if it is too long, after the import of its class.

    Classes under `torch` need no import of their own.
    """
    name, bracket, rest = call.partition("(")
    module, _, own = name.rpartition(".")
    if module and not module.startswith("torch."):
        return f"from {module} import {own}\n{python_call(f'{own}{bracket}{rest}')}"
    if len(call) <= LINE or not bracket or not rest.endswith(")"):
        return call
    arguments = textwrap.fill(
        rest[:-1],
        LINE,
        initial_indent=INDENT,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{name}(\n{arguments}\n)"
