"""Passwords and tokens of addresses, kept out of all that is printed or written.

They come with the addresses of databases and tracking servers, and with the variables of these programs.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

MASK = "***"
ADDRESSES = ("POSEBENCH_STORAGE", "MLFLOW_TRACKING_URI")
"""Variables whose address may hold a password."""
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD", "MYSQL_PWD", "DATABRICKS_TOKEN")
"""Variables that are a password or a token."""
SHORTEST = 4
"""Characters of a secret that is looked for outside of addresses: a shorter one stands in many words."""
LIKE_A_TOKEN = 16
"""Characters of a web address's user that make it a token."""

_PART = r"[^\s/?#@\"'<>]"
_WEB_USER = re.compile(rf"(?P<head>https?://)(?:{_PART}*@)+", re.IGNORECASE)
"""Of a web address everything before the host: a token may stand where the user does."""
_PASSWORD = re.compile(rf"(?P<head>[A-Za-z][\w+.-]*://[^\s/?#@:\"'<>]*):(?:{_PART}*@)+")
_LENIENT = re.compile(r"(?P<head>[A-Za-z][\w+.-]*://[^\s/?#@:]*):.*@", re.DOTALL)
"""As SQLAlchemy reads a whole address: its password may hold any character, and ends at the last `@`."""
_NAMED = re.compile(
    r"(?P<head>(?:[?&;]|\b)[\w.-]*(?:pass|pwd|token|secret|credential|signature|api_?key)[\w.-]*=)"
    r"(?P<value>[^&;\s\"'<>]+)",
    re.IGNORECASE,
)
"""`password=...` in the query of an address, and in what database drivers say of a connection."""


def masked(text: object, address: str = "") -> str:
    """``text`` with `***` for each password and token: of any address in it, of ``address``, and of the environment.

    An address by itself is read as leniently as SQLAlchemy does, any other text by the rules of URLs.
    """
    found = str(text)
    for secret in _secrets(address):
        found = found.replace(secret, MASK)
    if "=" in found:
        found = _NAMED.sub(rf"\g<head>{MASK}", found)
    if "://" not in found:
        return found
    found = _WEB_USER.sub(rf"\g<head>{MASK}@", found)
    lenient = None if re.search(r"\s", found) or found.lower().startswith("http") else _LENIENT.match(found)
    if lenient is not None:
        return f"{lenient['head']}:{MASK}@{found[lenient.end() :]}"
    return _PASSWORD.sub(rf"\g<head>:{MASK}@", found)


def _secrets(address: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The secrets of an address and of the environment, as they are written and as they are meant; longest first."""
    found: set[str] = {environ.get(name, "") for name in SECRETS}
    for each in (address, *(environ.get(name, "") for name in ADDRESSES)):
        found |= _of_address(each)
    return sorted((each for each in found if len(each) >= SHORTEST), key=len, reverse=True)


def _of_address(address: str) -> set[str]:
    """An address's secrets; none that it says openly elsewhere, where the password is the name of the user, say."""
    scheme, found_scheme, rest = address.partition("://")
    if not found_scheme:
        scheme, rest = "", address  # mistyped
    user, _, place = rest.rpartition("@")
    name, _, password = user.partition(":")
    found = {match["value"] for match in _NAMED.finditer(place)} | {password}
    openly = {*re.split(r"[/:?&=.@-]", _NAMED.sub("", place))}
    if not scheme.lower().startswith("http"):
        openly.add(name)
    elif not password or len(name) >= LIKE_A_TOKEN:
        found.add(name)
    parts = {part for each in found for part in (each, *each.split("@"))}  # SQLAlchemy takes a later part for the host
    return {form for each in parts for form in (each, unquote(each))} - openly


class MaskedStream:
    """A text stream that writes everything `masked`; in all else the stream itself."""

    def __init__(self, stream: Any) -> None:
        """``stream``: where it is written to."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` without secrets; the number of characters of ``text``."""
        self._stream.write(masked(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of ``lines`` without secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def masked_errors() -> Iterator[None]:
    """In the block, secrets of the environment stay out of standard error: tracebacks and libraries' logs included.

    An error that leaves the block is printed after it, and without them too.
    """
    mask_errors()
    ours = sys.stderr
    try:
        yield
    except Exception:
        raise
    except BaseException:
        _unmask(ours)
        raise
    _unmask(ours)


def _unmask(ours: Any) -> None:
    if sys.stderr is ours and isinstance(ours, MaskedStream):
        sys.stderr = ours._stream


def mask_errors() -> None:
    """As `masked_errors`, for the rest of a process."""
    if sys.stderr is not None and not isinstance(sys.stderr, MaskedStream) and _has_secrets():
        sys.stderr = MaskedStream(sys.stderr)


def _has_secrets() -> bool:
    return any(os.environ.get(name) for name in SECRETS) or any(
        masked(os.environ.get(name, "")) != os.environ.get(name, "") for name in ADDRESSES
    )
