"""A checkpoint's file: what is in it, and every reason not to use one."""

import json
import tarfile
import zlib

import pytest

from bench.engines import checkpoint_archive
from bench.engines.checkpoint_archive import MANIFEST, pack, unpack
from bench.engines.checkpoint_places import _Remote
from posemodel.errors import CheckpointError

ABOUT = {"study": "a study", "trial": "feed"}
WEIGHTS = bytes(range(250)) * 10


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A folder with files, which are larger than what is read at once; one of them is a link."""
    monkeypatch.setattr(checkpoint_archive, "_CHUNK", 1000)
    folder = tmp_path / "state"
    (folder / "within").mkdir(parents=True)
    (folder / "weights").write_bytes(WEIGHTS)
    (tmp_path / "elsewhere").write_bytes(b"linked")
    (folder / "within" / "link").symlink_to(tmp_path / "elsewhere")
    return folder


def archive_of(tmp_path, *members, manifest=None):
    """A tar file with these empty members, after a manifest of them or of other files."""
    tar = tmp_path / "made.tar"
    with tarfile.open(tar, "w") as archive:
        for name in ([] if manifest is None else [MANIFEST]) + [*members]:
            file = tmp_path / "member"
            file.write_text(json.dumps(manifest) if name == MANIFEST else "")
            archive.add(file, name)
    return tar


def test_a_file_begins_with_sizes_and_sums_of_all_others_in_their_order(state, tmp_path):
    pack(state, tmp_path / "it.tar", ABOUT)
    with tarfile.open(tmp_path / "it.tar") as archive:
        assert archive.getnames() == [MANIFEST, "weights", "within/link"]
        assert all(member.isfile() for member in archive.getmembers()), "a link is what it leads to"
        manifest = json.loads(archive.extractfile(MANIFEST).read())
    sums = {"weights": [2500, zlib.crc32(WEIGHTS)], "within/link": [6, zlib.crc32(b"linked")]}
    assert manifest == {**ABOUT, "files": sums}
    unpack(tmp_path / "it.tar", tmp_path / "there", ABOUT)
    assert (tmp_path / "there" / "weights").read_bytes() == WEIGHTS
    assert (tmp_path / "there" / "within" / "link").read_bytes() == b"linked"


@pytest.mark.parametrize(
    ("members", "manifest", "words"),
    [
        ([], None, "is no checkpoint of a trial"),
        (["weights"], None, "is no checkpoint of a trial"),
        (["weights"], {**ABOUT, "trial": "beef", "files": {}}, "is another one's (trial 'beef')"),
        ([], {"files": {}}, "is another one's (study None, trial None)"),
        (["weights"], {**ABOUT, "files": {"weights": [1, 0]}}, "is damaged (in weights)"),
        (["weights"], {**ABOUT, "files": {}}, "is damaged (in weights)"),
        (["one"], {**ABOUT, "files": {"one": [0, 0], "two": [0, 0], "three": [0, 0]}}, "(it lacks two, three)"),
        (["a/../../b"], {**ABOUT, "files": {"a/../../b": [0, 0]}}, "is damaged (in a/../../b)"),
    ],
)
def test_what_is_no_whole_checkpoint_of_the_trial_is_refused(tmp_path, members, manifest, words):
    with pytest.raises(CheckpointError) as refused:
        unpack(archive_of(tmp_path, *members, manifest=manifest), tmp_path / "there", ABOUT)
    assert str(refused.value).endswith(words)


def test_a_member_that_is_no_file_is_damage(tmp_path):
    member = tarfile.TarInfo("folder")
    member.type = tarfile.DIRTYPE
    with tarfile.open(archive_of(tmp_path, manifest={**ABOUT, "files": {}}), "a") as archive:
        archive.addfile(member)
    with pytest.raises(CheckpointError, match=r"is damaged \(folder is no file\)"):
        unpack(tmp_path / "made.tar", tmp_path / "there", ABOUT)


class Bucket:
    """A file system that keeps what it is told; listing or renaming would cost an object store a copy of each file."""

    def __init__(self, protocol):
        self.protocol, self.asked = protocol, []

    def __getattr__(self, name):
        return lambda *arguments, **_how: self.asked.append((name, *arguments)) or []


@pytest.mark.parametrize("protocol", ["s3", ("gcs", "gs")])
def test_an_object_store_is_written_to_and_cleared_at_once(protocol, tmp_path):
    bucket = Bucket(protocol)
    place = _Remote(bucket, "shared/")
    place.write("a study/feed.tar", tmp_path / "it.tar")
    place.remove("a study/feed.tar")
    path = "shared/a study/feed.tar"
    assert bucket.asked == [("put_file", str(tmp_path / "it.tar"), path), ("rm_file", path)]


def test_another_file_system_gets_a_file_under_its_name_once_it_is_whole(tmp_path):
    files = Bucket(("sftp", "ssh"))
    _Remote(files, "shared").write("a study/feed.tar", tmp_path / "it.tar")
    (_, made), (put, source, part), (renamed, begun, target) = files.asked
    assert (made, put, renamed) == ("shared/a study", "put_file", "mv")
    assert (source, begun, target) == (str(tmp_path / "it.tar"), part, "shared/a study/feed.tar")
    assert part.startswith(f"{target}.") and part.endswith(".part")
