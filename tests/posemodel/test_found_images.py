"""Images by names that are not quite theirs: found where one file alone can be meant, else named with what there is."""

import json
import pickle
import shutil
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posemodel.config import InputSettings, LoaderSettings
from posemodel.data import open_split as split_opening
from posemodel.data.check import check
from posemodel.data.dataset import PoseDataset
from posemodel.data.images import matching
from posemodel.data.images import names as image_names
from posemodel.data.images.matching import find_images
from posemodel.data.layout import DataSet, SplitFiles
from posemodel.data.loader import build_loader
from posemodel.data.open_split import open_split
from posemodel.data.stats import folder_stats
from posemodel.errors import DataError
from tests.support.coco_builder import CocoBuilder

FIRST, SECOND = f"{1:012d}.jpg", f"{2:012d}.jpg"


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"pixels")


def located(root: Path, *names: str, images: str = "images") -> matching.Images:
    """What names mean in a data set whose image folder is `images` of a folder."""
    files = SplitFiles("train", root / "annotations/t.json", root / images)
    return find_images(files, list(names), DataSet(root))


FOUND = {
    "backslashes": ("upload\\4\\a.jpg", "upload/4/a.jpg"),
    "case": ("d.jpg", "d.JPG"),
    "case of a folder": ("Cam1/d.jpg", "cam1/d.jpg"),
    "Unicode form": (unicodedata.normalize("NFC", "Überholung.jpg"), unicodedata.normalize("NFD", "Überholung.jpg")),
    "Unicode form, the other way": (unicodedata.normalize("NFD", "é.jpg"), unicodedata.normalize("NFC", "é.jpg")),
    "a leading folder": ("images/g.jpg", "g.jpg"),
    "several leading folders": ("data/train2017/cam 1/j.jpg", "cam 1/j.jpg"),
    "one folder deeper": ("k.jpg", "default/k.jpg"),
    "percent codes": ("a%20b%231.jpg", "a b#1.jpg"),
    "percent codes on disk": ("a b.jpg", "a%20b.jpg"),
    "out of the folder and back": ("..\\..\\media\\upload\\b.jpg", "b.jpg"),
    "an absolute path": ("/home/someone/project/images/i.jpg", "i.jpg"),
    "an absolute path of Windows": ("C:\\Users\\x\\cam1\\i.jpg", "cam1/i.jpg"),
    "a signed URL": ("https://storage.example.org/bucket/h%20h.jpg?sig=x&d=5", "h h.jpg"),
    "a URL": ("https://storage.example.org/bucket/h%20h.jpg?X-Amz-Date=1", "h h.jpg"),
    "a local URL of a labelling tool": ("/data/local-files/?d=people%5Ca.jpg", "a.jpg"),
    "a folder and back": ("./x/../y/a.jpg", "y/a.jpg"),
}


@pytest.mark.parametrize("kind", FOUND)
def test_one_file_that_is_plainly_meant_is_found(tmp_path: Path, kind: str) -> None:
    listed, on_disk = FOUND[kind]
    put(tmp_path / "images", on_disk, "another.jpg")
    images = located(tmp_path, listed, "another.jpg")
    assert images.path(listed) == tmp_path / "images" / on_disk
    assert images.path("another.jpg") == tmp_path / "images/another.jpg"
    (note,) = images.notes
    assert (note.kind, note.count, note.acts) == ("file-name", 1, False)
    assert f"`{listed}` is read from {on_disk}" in note.text


LOST = {
    "two of another case": (["D.JPG", "d.Jpg"], "d.jpg", "it may be D.JPG or d.Jpg"),
    "two deeper": (["cam1/x.jpg", "cam2/x.jpg"], "x.jpg", "it may be cam1/x.jpg or cam2/x.jpg"),
    "another folder's": (["cam1/x.jpg"], "cam3/x.jpg", "there is cam1/x.jpg"),
    "another format": (["x.png"], "x.jpg", "there is x.png"),
    "nothing": (["y.jpg"], "x.jpg", None),
}


@pytest.mark.parametrize("kind", LOST)
def test_what_is_not_plain_stays_missing_with_what_there_is(tmp_path: Path, kind: str) -> None:
    there, listed, hint = LOST[kind]
    put(tmp_path / "images", *there, "another.jpg")
    images = located(tmp_path, listed, "another.jpg")
    assert images.file_of_name == {}
    assert images.path(listed) == tmp_path / "images" / listed
    assert images.hints.get(listed) == hint
    assert images.notes == ()


def test_the_longest_end_in_common_decides(tmp_path: Path) -> None:
    put(tmp_path / "images", "cam1/x.jpg", "x.jpg", "o.jpg")
    images = located(tmp_path, "train2017/cam1/x.jpg", "o.jpg")
    assert images.file_of_name == {"train2017/cam1/x.jpg": "cam1/x.jpg"}
    put(tmp_path / "images", "A.jpg", "a.jpg")
    assert located(tmp_path, "images/a.jpg", "o.jpg").file_of_name == {"images/a.jpg": "a.jpg"}, (
        "its own case before another"
    )


def test_a_file_is_never_two_images(tmp_path: Path) -> None:
    """Frames of two cameras in one flat folder: only one can be there."""
    put(tmp_path / "images", "x.jpg", "o.jpg")
    images = located(tmp_path, "cam1/x.jpg", "cam3/x.jpg", "o.jpg")
    assert images.file_of_name == {}
    assert images.hints["cam1/x.jpg"] == "there is x.jpg, but 2 names could mean it"
    assert located(tmp_path, "x.jpg", "cam3/x.jpg", "o.jpg").file_of_name == {}, "x.jpg is taken"


def test_nothing_outside_the_image_folder_is_read(tmp_path: Path) -> None:
    put(tmp_path, "secret/s.jpg")
    put(tmp_path / "images", "o.jpg")
    for name in ("../secret/s.jpg", str(tmp_path / "secret/s.jpg")):
        images = located(tmp_path, name, "o.jpg")
        assert images.file_of_name == {}


def test_folders_are_not_listed_where_all_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "images", "a.jpg")
    listed: list[Path] = []
    walk = matching.os.walk
    monkeypatch.setattr(matching.os, "walk", lambda top, **more: listed.append(top) or walk(top, **more))
    located(tmp_path, "a.jpg")
    assert listed == []
    located(tmp_path, *[f"x{number}.jpg" for number in range(50)], "a.jpg")
    assert sorted(map(str, listed)) == sorted([str(tmp_path / "images"), str(tmp_path)]), "each once"


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    put(tmp_path / "images", "sub/a.jpg")
    (tmp_path / "images/sub/again").symlink_to(tmp_path / "images")
    assert located(tmp_path, "A.jpg", "sub/a.jpg").file_of_name == {}
    assert located(tmp_path, "x/sub/A.JPG").file_of_name == {"x/sub/A.JPG": "sub/a.jpg"}


names = st.lists(
    st.text(st.sampled_from("abcäÜ人 #%1"), min_size=1, max_size=6).filter(lambda part: part.strip() == part),
    min_size=1,
    max_size=3,
).map(lambda parts: "/".join(parts) + ".jpg")


@settings(max_examples=60)
@given(st.lists(names, min_size=2, max_size=5, unique_by=lambda name: unicodedata.normalize("NFC", name).casefold()))
def test_whatever_is_found_is_there_and_belongs_to_one_name(
    tmp_path_factory: pytest.TempPathFactory, files: list[str]
) -> None:
    root = tmp_path_factory.mktemp("names")
    put(root / "images", *files)
    listed = [files[0], *(changed(name, number) for number, name in enumerate(files[1:]))]
    images = located(root, *listed)
    targets = [images.path(name) for name in listed]
    there = [target for target in targets if target.is_file()]
    assert targets[0] == root / "images" / files[0]
    assert len(there) == len({*there})
    for name in listed:
        assert images.path(name).is_file() or name in images.hints


def changed(name: str, number: int) -> str:
    """A name as a tool might write it."""
    ways = (str.upper, lambda n: n.replace("/", "\\"), quote, lambda n: f"images/{n}", lambda n: f"/abs/{n}")
    return ways[number % len(ways)](name)


# In a data set


def renamed(builder: CocoBuilder, split: str, number: int, listed: str, on_disk: str) -> None:
    """Give an image another name in the file and on disk."""
    entry = builder.split(split)["images"][number]
    path = builder.folder(split) / on_disk
    path.parent.mkdir(parents=True, exist_ok=True)
    (builder.folder(split) / entry["file_name"]).rename(path)
    entry["file_name"] = listed


def test_a_set_with_such_names_trains_with_the_right_pixels(coco_builder: CocoBuilder, tmp_path: Path) -> None:
    coco_builder.fill("train", images=4)
    plain = CocoBuilder(tmp_path / "plain")
    plain.fill("train", images=4)
    renamed(coco_builder, "train", 0, "up\\a.jpg", "up/a.jpg")
    renamed(coco_builder, "train", 1, "/somewhere/b.jpg", "b.JPG")
    split, wanted = open_split(coco_builder.write(), "train"), open_split(plain.write(), "train")
    assert len(split) == len(wanted) == 4
    loaders = []
    for each in (wanted, split, pickle.loads(pickle.dumps(split))):
        dataset = PoseDataset(each, InputSettings(size=32))
        loaders.append(build_loader(dataset, LoaderSettings(batch_size=4), training=False)[0])
    batches = [next(iter(loader)).images for loader in loaders]
    assert all((batch == batches[0]).all() for batch in batches), "also of what a spawned worker gets"
    (note,) = [note for note in split.notes if note.kind == "file-name"]
    assert note.count == 2


def test_names_are_found_beside_a_mapped_index(
    coco_builder: CocoBuilder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The index keeps the file's own names: workers that map it must be told where the images are."""
    monkeypatch.setenv("POSEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(split_opening, "SMALLEST_CACHED", 0)
    coco_builder.fill("train", images=3)
    renamed(coco_builder, "train", 1, "B.jpg", "b.JPG")
    root = coco_builder.write()
    for _ in range(2):
        split = open_split(root, "train")
        assert split.mapped_from is not None
        assert split.path(1).name == "b.JPG"
    dataset = pickle.loads(pickle.dumps(PoseDataset(split, InputSettings(size=32))))  # as a spawned worker gets it
    loader, _ = build_loader(dataset, LoaderSettings(batch_size=3), training=False)
    assert next(iter(loader)).images.shape[0] == 3


def test_a_missing_image_is_named_with_what_is_near(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=3)
    (coco_builder.folder("train") / FIRST).rename(coco_builder.folder("train") / FIRST.replace("jpg", "png"))
    root = coco_builder.write()
    with pytest.raises(DataError, match=rf"{FIRST}: no such file; there is {FIRST.replace('jpg', 'png')}"):
        open_split(root, "train")
    (problem,) = check(root).problems
    assert problem.problem == f"no such file; there is {FIRST.replace('jpg', 'png')}"
    split = open_split(root, "train", skip_bad=True)
    assert (len(split), split.left_out.images) == (2, 1)


def test_all_images_in_another_folder_are_read_there(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=3)
    coco_builder.fill("val", images=2, first_id=50)
    root = coco_builder.write()
    for split in ("train", "val"):
        coco_builder.folder(split).rename(root / f"pictures_{split}")
    (split, other) = (open_split(root, name) for name in ("train", "val"))
    assert split.path(0) == root / "pictures_train" / FIRST
    assert other.path(0).parent == root / "pictures_val"
    (note,) = split.notes
    assert (note.kind, note.count) == ("images-elsewhere", 3)
    result = check(root)
    assert result.problems == []
    assert [note.count for note in result.notes if note.kind == "images-elsewhere"] == [3, 2]


def test_all_images_in_two_other_folders_are_an_error_that_names_both(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=3)
    root = coco_builder.write()
    shutil.copytree(coco_builder.folder("train"), root / "a")
    coco_builder.folder("train").rename(root / "b")
    (root / "b" / FIRST).unlink()
    assert open_split(root, "train").path(0).parent == root / "a", "only one has all"
    (root / "a" / FIRST).unlink()
    with pytest.raises(DataError) as caught:
        open_split(root, "train")
    message = str(caught.value)
    assert "1 problem\n" in message
    assert f"{coco_builder.folder('train')}: all 3 images are missing, no such folder; " in message
    assert f"{root / 'a'} has 2 of them" in message
    assert f"{root / 'b'} has 2 of them" in message
    assert "--train-images DIR" in message
    (problem,) = check(root).problems
    assert problem.problem in message
    with pytest.raises(DataError, match="Nothing is left"):
        open_split(root, "train", skip_bad=True)


def test_images_of_another_split_are_not_taken_for_ones_own(coco_builder: CocoBuilder) -> None:
    """Frames of two clips have the same names: val's, missing, are not train's."""
    for split in ("train", "val"):
        coco_builder.fill(split, images=2)
    root = coco_builder.write()
    shutil.rmtree(coco_builder.folder("val"))
    with pytest.raises(DataError, match=rf"all 2 images are missing.*{coco_builder.folder('train')} has all"):
        open_split(root, "val")


def test_what_reads_no_image_asks_for_none(coco_builder: CocoBuilder) -> None:
    """Statistics and scores of a file whose names are paths of another machine."""
    coco_builder.fill("train", images=2)
    for entry in coco_builder.split("train")["images"]:
        entry["file_name"] = "/elsewhere/" + entry["file_name"]
    root = coco_builder.write()
    shutil.rmtree(root / "images")
    assert len(folder_stats(root)["train"].sizes) == 2
    assert len(open_split(root, "train", look_at_images=False)) == 2
    with pytest.raises(DataError, match="inside the image folder"):
        open_split(root, "train")


def test_entries_without_names_are_told_as_such(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=3)
    coco_builder.split("train")["images"][0]["file_name"] = 7
    root = coco_builder.write()
    renamed_entry = json.loads(coco_builder.file("train").read_text())["images"][1]
    (coco_builder.folder("train") / renamed_entry["file_name"]).rename(coco_builder.folder("train") / "x.jpg")
    problems = [problem.problem for problem in check(root).problems]
    assert any("`file_name`" in problem for problem in problems)
    assert any(problem.startswith("no such file") for problem in problems)


def test_a_file_whose_name_holds_a_percent_code_is_found_by_it(tmp_path: Path) -> None:
    """Its name is meant as it stands, though other tools mean a space by it."""
    put(tmp_path / "images", "a%20b.jpg")
    found, _ = image_names.match_names(["old/a%20b.jpg"], [], image_names.NameIndex(tmp_path / "images"))
    assert found == {"old/a%20b.jpg": image_names.Match("a%20b.jpg", ("folders",))}


def test_many_names_alike_take_no_longer_than_there_are_files(tmp_path: Path) -> None:
    """A frame of the same name in each of many folders, listed below one more: no name is held against each file."""
    cameras = [f"cam{number}/frame.jpg" for number in range(400)]
    put(tmp_path / "images", *cameras)
    compared = 0
    whole = image_names._fold

    def counting(parts: image_names.Parts) -> image_names.Parts:
        nonlocal compared
        compared += 1
        return whole(parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_names, "_fold", counting)
        images = located(tmp_path, *(f"export/{name}" for name in cameras))
        assert images.file_of_name == {f"export/{name}": name for name in cameras}
        lost = located(tmp_path, *(f"other{number}/frame.jpg" for number in range(400)), cameras[0])
    assert lost.file_of_name == {}
    assert compared < 20 * 2 * len(cameras)


def test_a_note_tells_percent_codes_only_where_there_are_some(coco_builder: CocoBuilder) -> None:
    coco_builder.image("train", 1)
    entry = coco_builder.split("train")["images"][0]
    entry["file_name"] = f"C:\\data\\train\\{entry['file_name']}"
    coco_builder.person("train", 1)
    coco_builder.write()
    (note,) = [note for note in check(coco_builder.root).notes if note.kind == "file-name"]
    assert "(backslashes: 1, folders: 1)" in note.text


def listing(folder: Path) -> list[str]:
    return ["/".join(parts) for parts in image_names.files_below(folder)]


def test_files_are_listed_once_in_order_and_hidden_ones_not_at_all(tmp_path: Path) -> None:
    put(tmp_path / "images", "b/2.jpg", "b/1.jpg", "a/3.jpg", "c.jpg", ".hidden.jpg", ".cache/4.jpg", "z/5.jpg")
    (tmp_path / "images/m").symlink_to(tmp_path / "images/b")
    (tmp_path / "images/a/back").symlink_to(tmp_path / "images")
    assert listing(tmp_path / "images") == ["c.jpg", "a/3.jpg", "b/1.jpg", "b/2.jpg", "z/5.jpg"]
    put(tmp_path / "far", "6.jpg")
    (tmp_path / "images/y").symlink_to(tmp_path / "far")
    assert listing(tmp_path / "images")[-2:] == ["y/6.jpg", "z/5.jpg"], "as a link it is a folder like others"


POSSIBLE = {
    "a/b.jpg": [(("a", "b.jpg"), ())],
    "./a//b.jpg": [(("a", "b.jpg"), ())],
    "../a/../../b.jpg": [(("b.jpg",), ())],
    "a%20b.jpg": [(("a%20b.jpg",), ()), (("a b.jpg",), ("percent codes",))],
    "C:\\a\\b.jpg": [(("a", "b.jpg"), ("backslashes",))],
    "C:b.jpg": [(("C:b.jpg",), ())],
    "https://h/a/b.jpg?x=1": [(("a", "b.jpg"), ("URL",))],
    "https://h/a%5Cb.jpg": [(("a%5Cb.jpg",), ("URL",)), (("a\\b.jpg",), ("URL", "percent codes"))],
    "https://h/local-files/?d=a%5Cb.jpg": [(("a", "b.jpg"), ("URL", "backslashes"))],
    "/data/local-files/?d=a/b.jpg": [(("a", "b.jpg"), ("URL",))],
    "/data/local-files/?d=&x=1": [(("data", "local-files"), ("URL",))],
    "https://[h/b.jpg": [(("https:", "[h", "b.jpg"), ())],
    "..": [],
    "%2E": [(("%2E",), ())],
}


@pytest.mark.parametrize("name", POSSIBLE)
def test_the_paths_that_a_name_may_mean(name: str) -> None:
    assert [*image_names.possible_paths(name)] == POSSIBLE[name]


BEST = {
    "all the ways in which it differs": (
        ["Cam 1/É.jpg"],
        "https://h/x/cam%201/e\u0301.jpg",
        [("Cam 1/É.jpg", ("URL", "percent codes", "case", "folders"))],
    ),
    "only its Unicode form": (["é.jpg"], "e\u0301.jpg", [("é.jpg", ("Unicode form",))]),
    "fewer folders on disk": (["b/c.jpg"], "a/b/c.jpg", [("b/c.jpg", ("folders",))]),
    "as it stands and decoded": (
        ["a%20b.jpg", "a b.jpg"],
        "x/a%20b.jpg",
        [("a b.jpg", ("percent codes", "folders")), ("a%20b.jpg", ("folders",))],
    ),
    "the longer end first": (["c.jpg", "B/c.jpg"], "a/b/c.jpg", [("B/c.jpg", ("case", "folders"))]),
    "its own case first": (["b/C.jpg", "B/c.jpg", "b/c.jpg"], "a/b/c.jpg", [("b/c.jpg", ("folders",))]),
    "several alike": (
        ["x/c.jpg", "y/c.jpg", "z/d.jpg"],
        "c.jpg",
        [("x/c.jpg", ("folders",)), ("y/c.jpg", ("folders",))],
    ),
    "none": (["x/c.jpg"], "y/c.jpg", []),
}


@pytest.mark.parametrize("kind", BEST)
def test_the_files_that_agree_best_with_a_name(tmp_path: Path, kind: str) -> None:
    on_disk, name, wanted = BEST[kind]
    put(tmp_path, *on_disk)
    index = image_names.NameIndex(tmp_path)
    assert sorted(image_names._best_matches(name, index, set())) == wanted


def test_a_file_that_is_taken_does_not_hide_the_others(tmp_path: Path) -> None:
    put(tmp_path, "A.jpg", "a.JPG", "aa.jpg")
    index = image_names.NameIndex(tmp_path)
    for taken, free in (("A.jpg", "a.JPG"), ("a.JPG", "A.jpg")):
        assert image_names._best_matches("a.jpg", index, {(taken,)}) == [image_names.Match(free, ("case",))]
    assert image_names.match_names(["a.jpg"], ["./A.jpg"], index)[0] == {"a.jpg": image_names.Match("a.JPG", ("case",))}


def test_candidates_beyond_three_are_only_mentioned(tmp_path: Path) -> None:
    put(tmp_path, *(f"cam{number}/x.jpg" for number in range(4)), "y.png", "y.bmp", "y.gif")
    index = image_names.NameIndex(tmp_path)
    _, hints = image_names.match_names(["x.jpg", "away/x.jpg", "y.jpg"], [], index)
    assert hints == {
        "x.jpg": "it may be cam0/x.jpg or cam1/x.jpg or cam2/x.jpg and more",
        "away/x.jpg": "there is cam0/x.jpg, cam1/x.jpg, cam2/x.jpg and more",
        "y.jpg": "there is y.bmp, y.gif, y.png",
    }
