"""The errors of files and of the servers that hold them, and how they read in a message."""

from __future__ import annotations

import sys

from edge.contract.urls import text_without_secrets

REMOTE = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("zipfile", "BadZipFile"),
    ("zlib", "error"),
    ("builtins", "EOFError"),
    ("builtins", "RuntimeError"),
    ("fsspec.exceptions", "FSTimeoutError"),
    ("paramiko", "SSHException"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
)
"""What fsspec's packages raise beside OSError where a server, a connection or credentials fail, or
an archive is damaged, locked by a password or packed in a way that Python does not know."""


def file_errors() -> tuple[type[Exception], ...]:
    """OSError, and the errors of REMOTE whose packages are loaded: others cannot occur."""
    loaded = ((sys.modules.get(module), name) for module, name in REMOTE)
    return (OSError, *(getattr(module, name) for module, name in loaded if module is not None))


def readable_error(error: Exception) -> str:
    """What went wrong, in one line, without the signatures of URLs that a server redirects to."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    text = text_without_secrets(str(text))
    line = " ".join(text.splitlines()[0].split())[:300]
    # A bucket gives the missing name alone, without a sentence.
    if isinstance(error, FileNotFoundError) and " " not in line:
        return f"nothing by the name of {line}"
    return line
