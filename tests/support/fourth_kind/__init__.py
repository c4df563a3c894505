"""An example of adding a study kind (`sizes`) to the suite: a specification, a kind, an analysis, a study file.

`tests/end_to_end/test_fourth_kind.py` puts them into a copy of the suite, with one line in the registry, and runs it.
"""
