"""Removes secrets from URLs before they are written to lock files, reports or messages.

A URL or a text goes in; the same without users, passwords, tokens, signatures and keys comes out.
Scheme, host, port, path and a few query keys stay: by an allowlist, since names of secrets cannot
be listed. Pure.
"""

from __future__ import annotations

import re

QUERY = {
    "versionid": re.compile(r"[\w.-]{1,64}"),  # of an object in S3
    "generation": re.compile(r"[0-9]{1,20}"),  # of one in Google's storage
    "dl": re.compile(r"[01]|true"),
    "raw": re.compile(r"[01]|true"),
    "download": re.compile(r"[01]|true"),
}
"""Key of a query, lower case -> the values that it may have."""

CONTAINER = re.compile(r"[a-z0-9-]{3,63}@[\w-]+\.(dfs|blob)\.core\.windows\.net(:\d+)?")
"""Schemes of Azure: where other URLs have a user, these have the name of a container."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+:/{1,2})(?P<authority>[^/?#\\]*)(?P<rest>.*)", re.S
)
"""Also a URL that lost a slash because it was handled as a path; "C:/" is not a URL."""

_AZURE = ("abfs://", "abfss://", "wasb://", "wasbs://", "az://")
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/{1,2}[^\s'\"<>]*")
_PARAMETER = re.compile(r";[^/]*")


def without_secrets(given: str) -> str:
    """The path or URL without secrets; a path stays as it is.

    Handles every part of a chain ("zip::https://HOST/SET.zip").
    """
    shown: list[str] = []
    asked = False
    for part in given.split("::"):
        found = _URL.fullmatch(part)
        if found is not None:
            shown.append(_allowed(found))
            asked = asked or "?" in part or "#" in part
        elif not asked:  # a kind such as zip, or the path of a file
            shown.append(part)
    return "::".join(shown)


def text_without_secrets(text: str) -> str:
    """A message in which every URL is without secrets (`without_secrets`)."""
    return _IN_TEXT.sub(lambda found: without_secrets(found[0]), text)


def _allowed(found: re.Match[str]) -> str:
    scheme, authority = found["scheme"], found["authority"]
    if not (scheme.lower() in _AZURE and CONTAINER.fullmatch(authority)):
        authority = authority.rpartition("@")[2]
    path, _, query = found["rest"].partition("#")[0].partition("?")
    kept = [pair for pair in query.split("&") if _may_stay(pair)]
    # "path;key=value" holds parameters, too.
    path = _PARAMETER.sub("", path)
    return scheme + authority + path + (f"?{'&'.join(kept)}" if kept else "")


def _may_stay(pair: str) -> bool:
    key, _, value = pair.partition("=")
    allowed = QUERY.get(key.lower())
    return allowed is not None and allowed.fullmatch(value) is not None
