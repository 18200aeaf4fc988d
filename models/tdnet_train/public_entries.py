"""The entries of a public YAML file, taken one by one: what is left at the end was not taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tdnet_runtime.errors import OptionError

__all__ = ["PublicEntries"]


class PublicEntries:
    """Takes entries, called `training.optimizer.lr0`, out of a file's content.

    Args:
        content: as read from the file.
        name: of the file, for messages.

    Raises:
        OptionError: it is not of the public training code.
    """

    def __init__(self, content: Any, name: str) -> None:
        self.name = name
        self.left: dict[str, Any] = {}
        if not isinstance(content, Mapping) or not isinstance(content.get("model"), Mapping):
            raise OptionError(
                f"the configuration {name!r} is no YAML file of the public training code: it has no `model`"
            )
        self._flatten("", content)

    def take(self, key: str, default: Any = None) -> Any:
        """Whatever it is; `default` where there is none."""
        value = self.left.pop(key, None)
        return default if value is None else value

    def number(self, key: str, default: float) -> float:
        """One number, also written as YAML 1.1 takes for text (`1e-4`).

        Raises:
            OptionError: it is none.
        """
        return float(self._number(key, self.take(key, default), "a number"))

    def numbers(self, key: str, count: int | None = None, *, keep: bool = False) -> list[float] | None:
        """So many numbers, as they are; None where there is no such entry.

        Args:
            key: of the entry.
            count: None for any number of them. A single one in their place stands for all.
            keep: leave the entry where it is.

        Raises:
            OptionError: something else.
        """
        value = self.left.get(key) if keep else self.take(key)
        return None if value is None else self.as_numbers(key, value, count)

    def as_numbers(self, key: str, value: Any, count: int | None) -> list[float]:
        """`value` of the entry `key`, see `numbers`."""
        expected = f"a list of {count or 'some'} numbers, or one"
        if not isinstance(value, list):
            return [self._number(key, value, expected)] * (count or 1)
        if not value or (count is not None and len(value) != count):
            raise self._error(key, value, expected)
        return [self._number(key, each, expected, value) for each in value]

    def _number(self, key: str, value: Any, expected: str, whole: Any = None) -> float:
        try:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return value
            if isinstance(value, str):
                return float(value)
        except ValueError:
            pass
        raise self._error(key, value if whole is None else whole, expected)

    def _error(self, key: str, value: Any, expected: str) -> OptionError:
        return OptionError(f"the configuration {self.name!r}: {key} is {value!r}, expected {expected}")

    def _flatten(self, prefix: str, value: Mapping[Any, Any]) -> None:
        for key, inner in value.items():
            if isinstance(inner, Mapping):
                self._flatten(f"{prefix}{key}.", inner)
            else:
                self.left[f"{prefix}{key}"] = inner
