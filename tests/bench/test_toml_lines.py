"""Lines of keys: by hand where TOML has several layouts, and for generated documents in all of them."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.settings.toml_lines import key_lines, line_of

BY_HAND = '''\
# a comment = 1
steps = 5 # another = 2
"quoted.key" = [
  1,   # batch_size = 3
  { lr = 2, betas = [
    0.9,
    0.99], note = """
seeds = 1
""", last = 3 },
]
'a "b"'.c.d = 1

[spaces.adam]
lr = { log = [1e-5, 1e-2] }   # [spaces.sgd]
text = \'\'\'
[spaces.sgd]
lr = 1\'\'\'
[spaces."my.Lion"]
lr.log = [1979-05-27 07:32:00, 1]
[[fixed]]
lr = 1
[fixed.more]
x = 1
[[fixed]]
  [[fixed.deep]]
  y = 1
  [[fixed.deep]]
  y = 2'''


def test_the_line_of_each_key_by_hand():
    assert key_lines(BY_HAND) == {
        ("steps",): 2,
        ("quoted.key",): 3,
        ("quoted.key", 0): 4,
        ("quoted.key", 1): 5,
        ("quoted.key", 1, "lr"): 5,
        ("quoted.key", 1, "betas"): 5,
        ("quoted.key", 1, "betas", 0): 6,
        ("quoted.key", 1, "betas", 1): 7,
        ("quoted.key", 1, "note"): 7,
        ("quoted.key", 1, "last"): 9,
        ('a "b"',): 11,
        ('a "b"', "c"): 11,
        ('a "b"', "c", "d"): 11,
        ("spaces",): 13,
        ("spaces", "adam"): 13,
        ("spaces", "adam", "lr"): 14,
        ("spaces", "adam", "lr", "log"): 14,
        ("spaces", "adam", "lr", "log", 0): 14,
        ("spaces", "adam", "lr", "log", 1): 14,
        ("spaces", "adam", "text"): 15,
        ("spaces", "my.Lion"): 18,
        ("spaces", "my.Lion", "lr"): 19,
        ("spaces", "my.Lion", "lr", "log"): 19,
        ("spaces", "my.Lion", "lr", "log", 0): 19,
        ("spaces", "my.Lion", "lr", "log", 1): 19,
        ("fixed",): 20,
        ("fixed", 0): 20,
        ("fixed", 0, "lr"): 21,
        ("fixed", 0, "more"): 22,
        ("fixed", 0, "more", "x"): 23,
        ("fixed", 1): 24,
        ("fixed", 1, "deep"): 25,
        ("fixed", 1, "deep", 0): 25,
        ("fixed", 1, "deep", 0, "y"): 26,
        ("fixed", 1, "deep", 1): 27,
        ("fixed", 1, "deep", 1, "y"): 28,
    }


@pytest.mark.parametrize("text", ["", "# only a comment", "\n\n"])
def test_a_document_without_keys_has_no_lines(text):
    assert key_lines(text) == {}


def test_strings_that_end_in_quotes_end_where_they_end():
    text = 'a = """x""""\nb = \'\'\'y\'\'\'\'\nc = """\n\\""""\nd = 1'
    assert key_lines(text) == {("a",): 1, ("b",): 2, ("c",): 3, ("d",): 5}


def test_a_key_that_is_not_there_is_at_the_line_of_what_it_would_stand_in():
    lines = key_lines("\n[spaces.adam]\nlr = 1")
    assert line_of(lines, ("spaces", "adam", "eps")) == 2
    assert line_of(lines, ("steps",)) == 1


# --- generated documents ----------------------------------------------------------------------------------------------

NAMES = st.text(alphabet="ab_-.= #[]{}\"'\\\n\té", min_size=0, max_size=4)
SCALARS = st.one_of(st.integers(-9, 9), st.booleans(), st.just(0.5), st.text(alphabet="ab\n\"'#=[]{},\\ ", max_size=6))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)


class Writer:
    """Writes a document in layouts that a strategy draws, and keeps the line of each key that it writes."""

    def __init__(self, draw):
        self.draw = draw
        self.text = ""
        self.lines = {}

    def chance(self):
        return self.draw(st.booleans())

    def mark(self, path):
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self.text.count("\n") + 1)

    def key(self, name):
        bare = name and all(each.isascii() and (each.isalnum() or each in "_-") for each in name)
        return name if bare and self.chance() else json.dumps(name, ensure_ascii=False)

    def gap(self):
        """What may stand between the elements of an array."""
        self.text += self.draw(st.sampled_from(["", " ", "\n", " # x = [\n\n\t"]))

    def value(self, path, value):
        if isinstance(value, dict):
            self.text += "{"
            for place, (name, inner) in enumerate(value.items()):
                self.text += ", " if place else " "
                self.pair((*path, name), [name], inner)
            self.text += "}"
        elif isinstance(value, list):
            self.text += "["
            for place, inner in enumerate(value):
                self.gap()
                self.mark((*path, place))
                self.value((*path, place), inner)
                self.gap()
                if place < len(value) - 1 or self.chance():
                    self.text += ","
            self.gap()
            self.text += "]"
        elif isinstance(value, str) and "'" not in value and "\t" not in value and self.chance():
            self.text += f"'''\n{value}'''"
        elif isinstance(value, str) and self.chance():
            self.text += '"""\n' + value.replace("\\", "\\\\").replace('"', '\\"') + '"""'
        else:
            self.text += json.dumps(value)

    def pair(self, path, names, value):
        """`names`: those of `path` that the key itself spells out; a table of one key may be one name more of it."""
        if isinstance(value, dict) and len(value) == 1 and self.chance():
            ((name, inner),) = value.items()
            self.pair((*path, name), [*names, name], inner)
            return
        self.mark(path)
        self.text += " . ".join(map(self.key, names)) + " = "
        self.value(path, value)

    def table(self, path, names, table):
        """Keys first, then the tables that get a header of their own."""
        later = []
        for name, value in table.items():
            headed = isinstance(value, dict) or (
                isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
            )
            if headed and self.chance():
                later.append((name, value))
                continue
            self.text += self.draw(st.sampled_from(["", "\n", "  # [no.table]\n", "\t"]))
            self.pair((*path, name), [name], value)
            self.text += self.draw(st.sampled_from(["\n", " # a = 1\n"]))
        for name, value in later:
            header = ".".join(map(self.key, [*names, name]))
            if isinstance(value, dict):
                self.mark((*path, name))
                self.text += f"[{header}]\n"
                self.table((*path, name), [*names, name], value)
            else:
                for place, inner in enumerate(value):
                    self.mark((*path, name, place))
                    self.text += f"[[ {header} ]] # [x]\n"
                    self.table((*path, name, place), [*names, name], inner)


@given(st.data(), DOCUMENTS)
def test_the_line_found_is_the_line_of_the_key_in_every_layout(data, document):
    writer = Writer(data.draw)
    writer.table((), [], document)
    assert tomllib.loads(writer.text) == document
    assert key_lines(writer.text) == writer.lines
