"""Format a Python call to paste, in lines that fit a terminal of 80 columns."""

import re
import textwrap

LINE = 76
"""Maximum number of characters of a line; less than 80, because the terminal output indents the call."""
INDENT = "    "
CALLED = re.compile(r"""(?P<path>[\w.]+)(?P<method>\("[^"]*"\)\.\w+)?\(""")
"""What is called: a path, or a method of the result of a call with one text, `optimizer_entry("adam").factory`."""


def python_import(call: str) -> str:
    """Return the import of what is called, followed by the call in a second line; without import for torch's."""
    called = CALLED.match(call)
    module, _, own = called["path"].rpartition(".") if called is not None else ("", "", "")
    if called is None or not module or module.startswith("torch."):
        return call
    return f"from {module} import {own}\n{own}{call[called.end('path') :]}"


def python_call(call: str) -> str:
    """Return the import of the call's class, followed by the call, with the arguments on lines of their own if it is
    too long.

    Classes under `torch` get no import line.
    """
    imported, line_end, call = python_import(call).rpartition("\n")
    called = CALLED.match(call)
    if called is None or len(call) <= LINE or not call.endswith(")"):
        return f"{imported}{line_end}{call}"
    arguments = textwrap.fill(
        call[called.end() : -1],
        LINE,
        initial_indent=INDENT,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{imported}{line_end}{called[0]}\n{arguments}\n)"
