"""The base of everything that is written down."""

from __future__ import annotations

import msgspec

__all__ = ["Record"]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything that ends up in the JSON document: immutable, unknown fields refused."""
