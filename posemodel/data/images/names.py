"""Names of files as tools write them, and the files that they may mean.

Two names agree where one path is the end of the other, whatever the case, the Unicode form and percent codes.
"""

import os
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

_SHOWN = 3
"""Candidates that a message lists."""
_PERCENT = "percent codes"
_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")

Parts = tuple[str, ...]
"""A path, part by part."""


class Match(NamedTuple):
    """``file``: its path below the image folder, with `/`; ``why``: in what the name differs from it."""

    file: str
    why: Parts


class NameIndex:
    """The files below a folder by the ends of their paths, in one case and Unicode form, without percent codes too."""

    def __init__(self, folder: Path) -> None:
        self._by_end: dict[Parts, list[Parts]] = defaultdict(list)
        self._by_path: dict[Parts, list[Parts]] = defaultdict(list)
        self._by_stem: dict[str, list[Parts]] = defaultdict(list)
        for file in files_below(folder):
            for path in {_all_folded(file), _all_folded(tuple(map(unquote, file)))}:
                self._by_path[path].append(file)
                for place in range(len(path)):
                    self._by_end[path[place:]].append(file)
            self._by_stem[_stem(file)].append(file)

    def agreeing(self, parts: Parts) -> Iterator[Parts]:
        """Files whose path ends as a path does, and files whose whole path is the end of it."""
        folded = _all_folded(parts)
        yield from self._by_end.get(folded, ())
        for place in range(1, len(folded)):
            yield from self._by_path.get(folded[place:], ())

    def near(self, parts: Parts) -> list[Parts]:
        """Files of a path's own name in other folders, else of the same name in another format."""
        return self._by_end.get(_all_folded(parts[-1:])) or self._by_stem.get(_stem(parts)) or []


def files_below(folder: Path) -> Iterator[Parts]:
    """Each file below a folder, in the parts of its path, without hidden ones; links to folders are followed once."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        above = tuple(map(_text, Path(place).relative_to(folder).parts))
        yield from ((*above, _text(name)) for name in sorted(files) if not name.startswith("."))


def _text(name: str) -> str:
    """A file name as JSON has it: bytes that the system's encoding does not know are UTF-8."""
    return name if name.isascii() else os.fsencode(name).decode(errors="surrogateescape")


def _all_folded(parts: Parts) -> Parts:
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)


def _stem(parts: Parts) -> str:
    (own,) = _all_folded(parts[-1:])
    return own.rpartition(".")[0] or own


def _composed(parts: Parts) -> Parts:
    return tuple(unicodedata.normalize("NFC", part) for part in parts)


def forms(name: str) -> Iterator[tuple[Parts, Parts]]:
    """What a name may mean, in parts, and how it was read for that."""
    text, how = name, []
    if "://" in text or "?d=" in text:
        with suppress(ValueError):  # a bracket that opens no address
            url = urlsplit(text)
            of_label_studio = url.path.rstrip("/").endswith("local-files")
            text = parse_qs(url.query).get("d", [url.path])[0] if of_label_studio else url.path
            how = ["URL"]
    if "\\" in text:
        text, how = text.replace("\\", "/"), [*how, "backslashes"]
    text = _DRIVE.sub("", text)
    for form, more in ((text, ()), (unquote(text), (_PERCENT,))):
        if not more or form != text:
            parts = tuple(part for part in posixpath.normpath(form).split("/") if part not in ("", ".", ".."))
            if parts:
                yield parts, (*how, *more)


def match_names(
    missing: Iterable[str], taken: Iterable[str], index: NameIndex
) -> tuple[dict[str, Match], dict[str, str]]:
    """The file that each missing name means, and hints for those that mean none or several.

    A file that another name has already is not taken, nor one that two names could mean.
    """
    of_others = {tuple(posixpath.normpath(name).split("/")) for name in taken}
    found: dict[str, Match] = {}
    hints: dict[str, str] = {}
    for name in missing:
        best = _best(name, index, of_others)
        if len(best) == 1:
            found[name] = best[0]
        elif best:
            hints[name] = f"it may be {listed([each.file for each in best], ' or ')}"
        elif near := next((near for parts, _ in forms(name) if (near := index.near(parts))), None):
            hints[name] = f"there is {listed(['/'.join(file) for file in near[: _SHOWN + 1]])}"
    counts = Counter(each.file for each in found.values())
    for name, each in list(found.items()):
        if counts[each.file] > 1:
            hints[name] = f"there is {each.file}, but {counts[each.file]} names could mean it"
            del found[name]
    return found, hints


def _best(name: str, index: NameIndex, of_others: Collection[Parts]) -> list[Match]:
    """The files that agree with a name in most parts of their paths, one being the end of the other."""
    candidates: dict[Parts, tuple[tuple[int, int, int], Match]] = {}
    for parts, how in forms(name):
        for file in index.agreeing(parts):
            if file in of_others:
                continue
            for on_disk, more in {tuple(map(unquote, file)): (_PERCENT,), file: ()}.items():
                shared = min(len(on_disk), len(parts))
                end, wanted = on_disk[-shared:], parts[-shared:]
                if _all_folded(end) != _all_folded(wanted):
                    continue
                why = [*how, *more]
                if end != wanted:
                    why.append("Unicode form" if _composed(end) == _composed(wanted) else "case")
                if len(on_disk) != len(parts):
                    why.append("folders")
                rank = (shared, int(end == wanted), -len(why))
                if file not in candidates or candidates[file][0] < rank:
                    candidates[file] = rank, Match("/".join(file), tuple(dict.fromkeys(why)))
    highest = max((rank[:2] for rank, _ in candidates.values()), default=None)
    return [match for rank, match in candidates.values() if rank[:2] == highest]


def listed(texts: Iterable[str], between: str = ", ") -> str:
    """The first few of some texts, and whether there are more."""
    texts = list(texts)
    return between.join(texts[:_SHOWN]) + " and more" * (len(texts) > _SHOWN)
