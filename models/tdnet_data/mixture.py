"""Several data sets that are trained on together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tdnet_data.dataset import DataSet
from tdnet_data.opening import open_dataset
from tdnet_data.settings import DataSettings
from tdnet_runtime.errors import DataError

__all__ = ["Mixture", "open_mixture"]


@dataclass(frozen=True, slots=True)
class Mixture:
    """Data sets of the same classes, and how often each labelled frame of each comes in an epoch.

    Raises:
        DataError: there is none, or classes differ.
    """

    parts: tuple[tuple[DataSet, float], ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise DataError("mixing data sets: there is none; name one, with its root")
        first = self.parts[0][0]
        for other, _ in self.parts[1:]:
            if other.classes.names != first.classes.names:
                raise DataError(
                    f"mixing data sets: {other.name!r} has the classes {', '.join(other.classes.names)}; expected those "
                    f"of {first.name!r}, {', '.join(first.classes.names)}; names and map bring them together"
                )


def open_mixture(
    settings: tuple[DataSettings, ...], split: str, *, beside: Iterable[str | None] = ()
) -> Mixture:
    """The split of each of these data sets; `beside`: see `open_dataset`.

    Raises:
        DataError: one cannot be opened, or classes differ.
        MediaError: a video cannot be read.
    """
    return Mixture(tuple((open_dataset(each, split, beside=beside), each.weight) for each in settings))
