"""Find mirror pairs by the names of points: `left_x` and `right_x`, `l_x`, `x_L`, `LKnee`, `leftX`, `L.Knee`, `L1`.

A pair counts only if both names are there. Names that say the side as a word or letter of its own are looked for
first; a side glued to the rest of a name (`lefteye`, `lknee`) counts only in a list without such names, so that `lip`
or `rear` are not taken for a side.
"""

import re
from collections.abc import Callable, Sequence

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
"""Words of a name: runs of letters of one case, with one capital before lower case, and runs of digits."""
_OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}
_LEFT = ("left", "l")
_GLUED_WORD = re.compile("left|right")

Side = tuple[str, str, bool]
"""A name in a form that is equal however it is written, its mirror image in the same form, and whether it is left."""


def mirror_pairs(names: Sequence[str]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the pairs (left, right) that names say, in the order of the left ones, and remarks on doubtful names.

    A name that two others could mirror is left without a partner, with a remark.

    Example:
        mirror_pairs(["nose", "left_eye", "right_eye"])  # ((("left_eye", "right_eye"),), ())
    """
    for side_of in (_by_words, _by_glued_word, _by_glued_letter):
        pairs, remarks = _pairs(names, side_of)
        if pairs or remarks:
            return pairs, remarks
    return (), ()


def _pairs(
    names: Sequence[str], side_of: Callable[[str], Side | None]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    sides = {name: side for name in names if (side := side_of(name)) is not None}
    by_form: dict[str, list[str]] = {}
    for name, (form, _, _) in sides.items():
        by_form.setdefault(form, []).append(name)
    pairs, doubtful = [], []
    for name, (form, image, is_left) in sides.items():
        partners, rivals = by_form.get(image, []), by_form[form]
        if is_left and len(partners) == 1 and len(rivals) == 1:
            pairs.append((name, partners[0]))
        elif partners and (len(partners) > 1 or len(rivals) > 1):
            doubtful.append(name)
    if not doubtful:
        return tuple(pairs), ()
    named = ", ".join(doubtful)
    return tuple(pairs), (f"no mirror pairs of {named}: more than one name could be the other side. Give `mirror`.",)


def _by_words(name: str) -> Side | None:
    """Read a side that is a word of its own; a name with several sides is mirrored in all of them."""
    words = [word.casefold() for word in _WORDS.findall(name)]
    sides = [word for word in words if word in _OTHER_SIDE]
    if not sides or words in (["l"], ["r"]):  # points may be named by letters
        return None
    # l_eye and left_eye are different forms: a list that has both would otherwise hold four names for two points.
    return " ".join(words), " ".join(_OTHER_SIDE.get(word, word) for word in words), sides[0] in _LEFT


def _by_glued_word(name: str) -> Side | None:
    form = name.casefold()
    sides = _GLUED_WORD.findall(form)
    if not sides:
        return None
    return form, _GLUED_WORD.sub(lambda found: _OTHER_SIDE[found[0]], form), sides[0] == "left"


def _by_glued_letter(name: str) -> Side | None:
    form = name.casefold()
    if len(form) < 2 or form[0] not in ("l", "r"):
        return None
    return form, _OTHER_SIDE[form[0]] + form[1:], form[0] == "l"
