"""Output that loses its reader, or whose encoding lacks characters: real descriptors, pipes that are really closed."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.storage.streams import ENCODING_ERRORS, reader_is_gone

PROGRAM = """
import sys
from bench.storage import streams
from posemodel.errors import PosemodelError
with streams.surviving_streams():
    for number in range({lines}):
        print("line", number, flush={flush})
        print("said", number, file=sys.stderr)
    {more}
open("went on.txt", "w").write(str(streams.reader_is_gone(sys.stdout)))
"""


def program(folder, *, lines=2000, flush=True, more="pass", **streams):
    """A process that prints, as it is started by a shell."""
    text = PROGRAM.format(lines=lines, flush=flush, more=more)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    environment.pop("PYTHONUTF8", None)
    return subprocess.Popen(
        [sys.executable, "-c", text], cwd=folder, env=environment | streams.pop("env", {}), **streams
    )


@pytest.mark.parametrize("flush", [True, False])
def test_a_closed_pipe_is_no_end(tmp_path, flush):
    process = program(tmp_path, flush=flush, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"line 0\n"
    process.stdout.close()
    process.stderr.close()
    assert process.wait(60) == 0
    assert (tmp_path / "went on.txt").is_file()


def test_what_is_read_is_whole(tmp_path):
    process = program(tmp_path, lines=300, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    assert out == b"".join(b"line %d\n" % number for number in range(300))
    assert err == b"".join(b"said %d\n" % number for number in range(300))


def test_processes_started_later_have_somewhere_to_write(tmp_path):
    more = "import subprocess; code = subprocess.call([sys.executable, '-c', 'print(1, flush=True)']); sys.exit(code)"
    process = program(tmp_path, more=more, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_for_what_is_asked_for_and_none_for_progress(tmp_path):
    with Path("/dev/full").open("w") as full:
        process = program(tmp_path, lines=1, flush=False, stdout=full, stderr=subprocess.PIPE)
        err = process.communicate(timeout=60)[1]
        assert b"OutputLostError: stdout: what was printed could not be written: No space left on device." in err
        process = program(tmp_path, lines=1, flush=True, stdout=full, stderr=subprocess.PIPE)
        assert b"No space left on device: 'stdout'" in process.communicate(timeout=60)[1], "of which a line is made"
        process = program(
            tmp_path, lines=1, flush=False, more="raise KeyError('own')", stdout=full, stderr=subprocess.PIPE
        )
        err = process.communicate(timeout=60)[1]
        assert b"KeyError: 'own'" in err and b"OutputLostError" not in err, "the block's own error says more"
        process = program(tmp_path, lines=1, stdout=subprocess.PIPE, stderr=full)
        assert process.communicate(timeout=60)[0] == b"line 0\n"
        assert process.returncode == 0


def test_streams_that_are_closed_from_the_start(tmp_path):
    command = f'exec {sys.executable} -c "$PROGRAM" >&- 2>&-'
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PROGRAM": PROGRAM.format(lines=3, flush=True, more="sys.stdout.write('x'); sys.stderr.write('x')"),
    }
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, check=False).returncode == 0
    assert (tmp_path / "went on.txt").is_file()


@pytest.mark.parametrize(
    ("encoding", "text", "written"),
    [
        ("ascii", "5 µs × 2 → ±1", "5 us x 2 -> +-1"),
        ("cp1252", "5 µs × 2 → Müller", "5 µs × 2 -> Müller"),
        ("ascii", "Müller 日本", "M\\xfcller \\u65e5\\u672c"),
        ("utf-8", "a\udce4b", "a\\udce4b"),
        ("latin-1", "☺ “so”", '\\u263a "so"'),
    ],
)
def test_what_an_encoding_lacks_is_written_in_another_way(encoding, text, written):
    assert text.encode(encoding, ENCODING_ERRORS).decode(encoding) == written


@given(st.text(), st.sampled_from(["ascii", "cp1252", "latin-1", "utf-8", "cp437", "shift_jis"]))
def test_nothing_is_beyond_any_encoding(text, encoding):
    text.encode(encoding, ENCODING_ERRORS).decode(encoding)


def test_ascii_output_of_a_process(tmp_path):
    process = program(
        tmp_path,
        lines=0,
        more='print("5 \\u00b5s \\u00d7 M\\u00fcller"); print("\\u2192", file=sys.stderr)',
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONIOENCODING": "ascii"},
    )
    assert process.communicate(timeout=60) == (b"5 us x M\\xfcller\n", b"->\n")


def test_a_pipe_without_a_reader_is_seen_before_anything_is_written():
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        assert not reader_is_gone(stream)
        os.close(read)
        assert reader_is_gone(stream)
    assert not reader_is_gone(io.StringIO())
