"""Match file names as tools write them to existing files.

Two names agree if one path is the end of the other, regardless of case, Unicode form and percent codes.
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
"""Maximum number of candidates that a message lists."""
_PERCENT = "percent codes"
_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")

Parts = tuple[str, ...]
"""A path, split into its parts."""


class Match(NamedTuple):
    """A matched file: ``file`` is its path below the image folder, with `/`; ``differences``: how the name differs."""

    file: str
    differences: Parts


class NameIndex:
    """The files below a folder by the ends of their paths, regardless of case, Unicode form and percent codes."""

    def __init__(self, folder: Path) -> None:
        self._by_end: dict[Parts, list[Parts]] = defaultdict(list)
        self._by_path: dict[Parts, list[Parts]] = defaultdict(list)
        self._by_stem: dict[str, list[Parts]] = defaultdict(list)
        for file in files_below(folder):
            for path in {_fold(file), _fold(tuple(map(unquote, file)))}:
                self._by_path[path].append(file)
                for start in range(len(path)):
                    self._by_end[path[start:]].append(file)
            self._by_stem[_stem(file)].append(file)

    def matching_files(self, parts: Parts) -> Iterator[Parts]:
        """Yield files whose path ends with the given path, and files whose whole path is the end of the given path."""
        folded = _fold(parts)
        yield from self._by_end.get(folded, ())
        for start in range(1, len(folded)):
            yield from self._by_path.get(folded[start:], ())

    def similar_files(self, parts: Parts) -> list[Parts]:
        """Return files of the same name in other folders or, if there are none, of that name in another format."""
        return self._by_end.get(_fold(parts[-1:])) or self._by_stem.get(_stem(parts)) or []


def files_below(folder: Path) -> Iterator[Parts]:
    """Yield the path, in parts, of each file below a folder; skip hidden ones, and follow links to folders once."""
    seen: set[str] = set()
    for directory, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        parents = tuple(map(_as_json_text, Path(directory).relative_to(folder).parts))
        yield from ((*parents, _as_json_text(name)) for name in sorted(files) if not name.startswith("."))


def _as_json_text(name: str) -> str:
    """Return a file name as text for JSON: bytes that the system's encoding cannot decode are read as UTF-8."""
    return name if name.isascii() else os.fsencode(name).decode(errors="surrogateescape")


def _fold(parts: Parts) -> Parts:
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)


def _stem(parts: Parts) -> str:
    (own,) = _fold(parts[-1:])
    return own.rpartition(".")[0] or own


def _composed(parts: Parts) -> Parts:
    return tuple(unicodedata.normalize("NFC", part) for part in parts)


def possible_paths(name: str) -> Iterator[tuple[Parts, Parts]]:
    """Yield the paths that a name may mean, in parts, with the names of the conversions applied."""
    text, differences = name, []
    if "://" in text or "?d=" in text:
        with suppress(ValueError):  # a bracket that is not part of an IPv6 address
            url = urlsplit(text)
            of_label_studio = url.path.rstrip("/").endswith("local-files")
            text = parse_qs(url.query).get("d", [url.path])[0] if of_label_studio else url.path
            differences = ["URL"]
    if "\\" in text:
        text, differences = text.replace("\\", "/"), [*differences, "backslashes"]
    text = _DRIVE.sub("", text)
    for candidate, further in ((text, ()), (unquote(text), (_PERCENT,))):
        if not further or candidate != text:
            parts = tuple(part for part in posixpath.normpath(candidate).split("/") if part not in ("", ".", ".."))
            if parts:
                yield parts, (*differences, *further)


def match_names(
    missing: Iterable[str], taken_names: Iterable[str], index: NameIndex
) -> tuple[dict[str, Match], dict[str, str]]:
    """Return name -> matching file, and name -> hint for names that match no file or several.

    A file is not matched if another name already has it, or if two names could mean it.
    """
    taken_files = {tuple(posixpath.normpath(name).split("/")) for name in taken_names}
    matches: dict[str, Match] = {}
    hints: dict[str, str] = {}
    for name in missing:
        candidates = _best_matches(name, index, taken_files)
        if len(candidates) == 1:
            matches[name] = candidates[0]
        elif candidates:
            hints[name] = f"it may be {shorten([each.file for each in candidates], ' or ')}"
        elif similar := next(filter(None, (index.similar_files(parts) for parts, _ in possible_paths(name))), None):
            hints[name] = f"there is {shorten(['/'.join(file) for file in similar[: _SHOWN + 1]])}"
    counts = Counter(each.file for each in matches.values())
    for name, each in list(matches.items()):
        if counts[each.file] > 1:
            hints[name] = f"there is {each.file}, but {counts[each.file]} names could mean it"
            del matches[name]
    return matches, hints


def _best_matches(name: str, index: NameIndex, taken_files: Collection[Parts]) -> list[Match]:
    """Return the files that agree with a name in the largest number of path parts."""
    candidates: dict[Parts, tuple[tuple[int, int, int], Match]] = {}
    for parts, differences in possible_paths(name):
        for file in index.matching_files(parts):
            if file in taken_files:
                continue
            for on_disk, further in {tuple(map(unquote, file)): (_PERCENT,), file: ()}.items():
                shared = min(len(on_disk), len(parts))
                end, wanted = on_disk[-shared:], parts[-shared:]
                if _fold(end) != _fold(wanted):
                    continue
                reasons = [*differences, *further]
                if end != wanted:
                    reasons.append("Unicode form" if _composed(end) == _composed(wanted) else "case")
                if len(on_disk) != len(parts):
                    reasons.append("folders")
                rank = (shared, int(end == wanted), -len(reasons))
                if file not in candidates or candidates[file][0] < rank:
                    candidates[file] = rank, Match("/".join(file), tuple(dict.fromkeys(reasons)))
    highest = max((rank[:2] for rank, _ in candidates.values()), default=None)
    return [match for rank, match in candidates.values() if rank[:2] == highest]


def shorten(texts: Iterable[str], between: str = ", ") -> str:
    """Join the first few of some texts, and say if there are more."""
    texts = list(texts)
    return between.join(texts[:_SHOWN]) + " and more" * (len(texts) > _SHOWN)
