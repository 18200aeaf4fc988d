"""What training adds to the tree of errors."""

from __future__ import annotations

from tdnet_runtime.errors import TdnetError

__all__ = ["TrainingError"]


class TrainingError(TdnetError):
    """A run that cannot go on: it diverged, its folder is another run's, or its ranks disagree."""
