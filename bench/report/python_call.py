"""Format a Python call to paste, in lines that fit a terminal of 80 columns."""

import textwrap

LINE = 76
"""Maximum number of characters of a line; less than 80, because the terminal output indents the call."""
INDENT = "    "


def python_call(call: str) -> str:
    """Return the import of the call's class, followed by the call, with the arguments on lines of their own if it is
    too long.

    Classes under `torch` get no import line.
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
