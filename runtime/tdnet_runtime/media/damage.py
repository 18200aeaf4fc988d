"""What is done about damaged frames, and the account of them."""

from __future__ import annotations

from enum import Enum

from tdnet_runtime.errors import MediaError

__all__ = ["DamageLog", "OnDamage"]

_EXAMPLES = 8


class OnDamage(str, Enum):
    """What becomes of a frame whose data are damaged."""

    SKIP = "skip"
    """It is left out and counted, and reading goes on; its number stays free."""
    FAIL = "fail"
    """Reading ends with it, as an error; the frames before it were given."""
    USE = "use"
    """What the decoder made of it is given, and counted; left out where that is nothing."""


class DamageLog:
    """Damage met so far, counted, with a few examples.

    Args:
        policy: what is done about it.

    Attributes:
        policy: as given.
        skipped: frames left out.
        used: damaged frames that were given all the same.
        examples: what was wrong, in a sentence for each of the first few.
    """

    def __init__(self, policy: OnDamage) -> None:
        self.policy = policy
        self.skipped = 0
        self.used = 0
        self.examples: list[str] = []

    def meet(self, what: str, *, usable: bool) -> bool:
        """Take note of one damaged frame; True where it is to be given.

        Args:
            what: where and what, such as `frame 12: 3 damaged blocks`.
            usable: the decoder made a picture of it.

        Raises:
            MediaError: `what`, as an error that ends reading, where the policy is to fail.
        """
        if self.policy is OnDamage.FAIL:
            raise MediaError(what)
        if len(self.examples) < _EXAMPLES:
            self.examples.append(what)
        if usable and self.policy is OnDamage.USE:
            self.used += 1
            return True
        self.skipped += 1
        return False
