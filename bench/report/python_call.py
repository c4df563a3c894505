"""A call in Python that a report gives to paste, in lines that a terminal of 80 columns holds."""

import textwrap

LINE = 76
"""Characters of a line: a terminal indents it."""
INDENT = "    "


def python_call(call: str) -> str:
    """The call on one line, or its arguments below it where they are too long; before it, the import of its class.

    What `import torch` brings needs none.
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
