"""What a run writes down: its configuration and sides, what setting up took, every frame that was timed.

Data and no arithmetic. Every other room reads them, and this one knows none of the others.
"""

from __future__ import annotations

import msgspec

__all__ = ["Record"]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything that ends up in the JSON document: immutable, unknown fields refused."""
