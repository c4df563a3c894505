"""Mask passwords and tokens in everything that is printed or written.

They are in the addresses of databases and tracking servers, and in environment variables of these programs.
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
"""Environment variables whose address may contain a password."""
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD", "MYSQL_PWD", "DATABRICKS_TOKEN")
"""Environment variables that are a password or token."""
SHORTEST = 4
"""Smallest length in characters of a secret that is masked outside addresses; shorter ones occur in many words."""
LIKE_A_TOKEN = 16
"""Smallest length in characters at which the user name in a web address is taken for a token, beside a
password; without a password any user name is."""

_PART = r"[^\s/?#@\"'<>]"
_WEB_USER = re.compile(rf"(?P<head>https?://)(?:{_PART}*@)+", re.IGNORECASE)
"""Everything before the host of a web address: a token may be in the place of the user name."""
_PASSWORD = re.compile(rf"(?P<head>[A-Za-z][\w+.-]*://[^\s/?#@:\"'<>]*):(?:{_PART}*@)+")
_LENIENT = re.compile(r"(?P<head>[A-Za-z][\w+.-]*://[^\s/?#@:]*):.*@", re.DOTALL)
"""Password as SQLAlchemy reads an address: it may contain any character, and ends at the last `@`."""
_NAMED = re.compile(
    r"(?P<head>(?:[?&;]|\b)[\w.-]*(?:pass|pwd|token|secret|credential|signature|api_?key)[\w.-]*=)"
    r"(?P<value>[^&;\s\"'<>]+)",
    re.IGNORECASE,
)
"""`password=...` in the query of an address, and in error messages of database drivers."""


def masked(text: object, address: str = "") -> str:
    """Return ``text`` with `***` for each password and token of addresses in it, of ``address`` and the environment.

    A text that is only an address is read as leniently as SQLAlchemy does, any other text by the rules of URLs.

    Example:
        >>> masked("postgresql://me:secret@host/base")
        'postgresql://me:***@host/base'
    """
    result = str(text)
    for secret in _secrets(address):
        result = result.replace(secret, MASK)
    if "=" in result:
        result = _NAMED.sub(rf"\g<head>{MASK}", result)
    if "://" not in result:
        return result
    result = _WEB_USER.sub(rf"\g<head>{MASK}@", result)
    lenient = None if re.search(r"\s", result) or result.lower().startswith("http") else _LENIENT.match(result)
    if lenient is not None:
        return f"{lenient['head']}:{MASK}@{result[lenient.end() :]}"
    return _PASSWORD.sub(rf"\g<head>:{MASK}@", result)


def _secrets(address: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the secrets of an address and of the environment, URL-encoded and decoded, longest first."""
    secrets: set[str] = {environ.get(name, "") for name in SECRETS}
    for each in (address, *(environ.get(name, "") for name in ADDRESSES)):
        secrets |= _secrets_of_address(each)
    return sorted((each for each in secrets if len(each) >= SHORTEST), key=len, reverse=True)


def _secrets_of_address(address: str) -> set[str]:
    """Return an address's secrets, without those that are also a public part of it, such as the user name."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address  # mistyped
    user, _, location = rest.rpartition("@")
    name, _, password = user.partition(":")
    secrets = {match["value"] for match in _NAMED.finditer(location)} | {password}
    public_parts = {*re.split(r"[/:?&=.@-]", _NAMED.sub("", location))}
    if not scheme.lower().startswith("http"):
        public_parts.add(name)
    elif not password or len(name) >= LIKE_A_TOKEN:
        secrets.add(name)
    # SQLAlchemy may take the part after an `@` in the password for the host.
    parts = {part for each in secrets for part in (each, *each.split("@"))}
    return {form for each in parts for form in (each, unquote(each))} - public_parts


class MaskedStream:
    """A wrapper of a text stream that masks secrets in everything written; other attributes are those of the stream."""

    def __init__(self, stream: Any) -> None:
        """``stream``: the stream to write to."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` without secrets; return the number of characters of the original text."""
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
    """Mask secrets of the environment on standard error in the block, also in tracebacks and libraries' logs.

    If an ``Exception`` leaves the block, the masking stays, since its traceback is printed later; it ends after Ctrl-C.
    """
    mask_errors()
    masked_stderr = sys.stderr
    try:
        yield
    except Exception:
        raise
    except BaseException:
        _unmask(masked_stderr)
        raise
    _unmask(masked_stderr)


def _unmask(masked_stderr: Any) -> None:
    if sys.stderr is masked_stderr and isinstance(masked_stderr, MaskedStream):
        sys.stderr = masked_stderr._stream


def mask_errors() -> None:
    """Mask secrets of the environment on standard error for the rest of the process."""
    if sys.stderr is not None and not isinstance(sys.stderr, MaskedStream) and _has_secrets():
        sys.stderr = MaskedStream(sys.stderr)


def _has_secrets() -> bool:
    return any(os.environ.get(name) for name in SECRETS) or any(
        masked(os.environ.get(name, "")) != os.environ.get(name, "") for name in ADDRESSES
    )
