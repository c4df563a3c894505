"""docs/explained.md: every command runs, and prints what the page says.

Programs are forked here; with each importing its own libraries: tests/proofs/test_programs.py.
"""

from pathlib import Path

import pytest

from tests.support.explained_page import PAGE, commands, missing, run
from tests.support.plain_programs import Programs

NOTES = {
    "1 the source": "posemodel/training/loop.py",
    "2 arguments": "--learning-rate",
    "3 image operations": "letterbox",
    "4 main function": "__main__",
    "5 loader": "drop_last",
    "6 shuffling": "in file order",
    "7 OrderedDict": "OrderedDict",
    "8 requires_grad": "requires_grad",
    "9 momentum": "vx = rho * vx + dx",
    "10 packages": "__init__.py",
    "11 layers": "yacs",
    "12 pin_memory": "page-locked",
    "13 COCO": "iscrowd",
    "14 polygons": "polygon",
    "15 Mechanical Turk": "Mechanical Turk",
    "16 RLE": "uncompressed",
    "17 optimizers": "AdaBound as fast as Adam",
}
READING_SPEED = 230
"""Words a minute."""


def prints_what_it_shows(folder: Path, programs: Path | None) -> int:
    """Assert that every command of the page prints what the page shows; how many there are."""
    page = PAGE.read_text()
    found = commands(page)
    assert len(found) == page.count("```sh\n"), "a command without a block of its output"
    for command in found:
        done = run(command.script, folder, programs=programs)
        assert done.returncode == 0, f"{command.script}\n{done.stderr}"
        if command.stable:
            assert missing(command.shown, done.stdout) is None, f"{command.script}\n{done.stdout}"
    return len(found)


def test_every_command_prints_what_the_page_shows(tmp_path):
    with Programs() as programs:
        prints_what_it_shows(tmp_path, programs.folder)


@pytest.mark.parametrize("note", NOTES)
def test_no_note_is_left_out(note):
    assert NOTES[note].lower() in PAGE.read_text().lower()


def test_the_text_is_read_in_ten_minutes():
    prose = "".join(PAGE.read_text().split("```")[::2])
    assert len(prose.split()) <= 10 * READING_SPEED


@pytest.mark.parametrize(
    ("shown", "output", "expected"),
    [
        (("a", "| b |"), "a\n|   b | \n", None),
        (("a",), "a\nb\n", "(the end; there is more: 'b')"),
        (("a", "..."), "a\nb\nc\n", None),
        (("...", "c"), "a\nb\nc\n", None),
        (("b", "c"), "a\nb\nc\n", "b"),
        (("a", "...", "a"), "a\nb\n", "a"),
        (("a", "...", "c", "d"), "a\nb\nc\nx\nd\n", "d"),
    ],
)
def test_lines_are_compared_in_order(shown, output, expected):
    assert missing(shown, output) == expected
