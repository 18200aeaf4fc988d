"""What an address keeps secret, taken out of it before it is shown."""

from __future__ import annotations

import re

__all__ = ["hide_password", "without_login"]

_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):[^/?#]*@")
_SECRET_NAMES = (
    r"[\w.-]*(?:passw(?:or)?d|pwd|secret|token|signature|credential|apikey|api_key)|pass|pw|sig|key|auth"
)
"""Of parameters that cameras take, and links that were signed for a while."""
_SECRET = re.compile(rf"([?&](?:{_SECRET_NAMES}))=[^&#\s'\"]*", re.IGNORECASE)
_SIGNED = re.compile(rf"(?<=[?&])(?:{_SECRET_NAMES}|x-(?:amz|goog)-[\w-]+)=[^&#]*&?", re.IGNORECASE)
_LOGIN = re.compile(rf"{_PASSWORD.pattern}|(?<=http://)[^/?#]*@|(?<=https://)[^/?#]*@")


def hide_password(text: str) -> str:
    """The text with what an address keeps secret, before its host or in its query, as three asterisks.

    >>> hide_password("rtsp://admin:x@cam/live?user=admin&password=x&channel=1")
    'rtsp://admin:***@cam/live?user=admin&password=***&channel=1'
    """
    return _SECRET.sub(r"\1=***", _PASSWORD.sub(r"\1:***@", text))


def without_login(text: str) -> str:
    """The text with addresses without user and password, and without what a link was signed with: for names of files."""
    return _SIGNED.sub("", _LOGIN.sub("", text)).rstrip("?&")
