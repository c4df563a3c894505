"""List what is wrong with the image files that an annotation file names."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from posemodel.data.annotations.problems import Problem, image_faults
from posemodel.data.images.files import MISSING, Examined, examine
from posemodel.data.images.matching import Images

OnExamined = Callable[[Path, Examined], object]
"""Function that is called with each checked file and the result of the check."""


def image_problems(
    document: dict[str, Any], images: Images, *, decode: bool, on_examined: OnExamined | None = None
) -> Iterator[Problem]:
    """Yield images that are missing, unreadable, truncated or not of the annotated size.

    If all files are missing, a single problem is yielded. ``decode``: decode each file (milliseconds an image) instead
    of reading its header and end (tens of microseconds).
    """
    entries = document["images"]
    if images.all_missing:
        every = tuple(range(len(entries)))
        yield Problem(str(images.folder), None, images.all_missing, images=every, reason=MISSING)
        return
    for position, image in enumerate(entries):
        if next(image_faults(image), None) is not None:
            continue
        name = image["file_name"]
        path = images.path(name)
        examined = examine(path, image["width"], image["height"], decode=decode, exif=images.exif)
        if on_examined is not None:
            on_examined(path, examined)
        if (fault := examined.fault) is not None:
            hint = f"; {images.hints[name]}" if fault.reason == MISSING and name in images.hints else ""
            yield Problem(str(path), image["id"], f"{fault.text}{hint}", images=(position,), reason=fault.reason)
