"""Work in two halves, one of them by a thread that lives as long as it takes: for what is long, and rare."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["TwoThreads"]


class TwoThreads:
    """Runs two calls at once; for one thread at a time."""

    def __init__(self) -> None:
        self._helper: threading.Thread | None = None

    def run(self, own: Callable[[], None], other: Callable[[], None]) -> None:
        """Both, `other` by a thread of its own; one after the other where the system gives none.

        When this returns, or raises what one of them raised, both have ended; after an interrupt `other` may go on, and the
        next call waits for its end.
        """
        if self._helper is not None:
            self._helper.join()
        errors: list[BaseException] = []

        def noted() -> None:
            try:
                other()
            except BaseException as error:
                errors.append(error)

        helper = threading.Thread(target=noted, name="tdnet-labels", daemon=True)
        try:
            helper.start()
        except RuntimeError:  # the system gives no more
            own()
            other()
            return
        self._helper = helper
        own()
        helper.join()
        self._helper = None
        if errors:
            raise errors[0]
