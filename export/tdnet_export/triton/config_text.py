"""Protobuf's text format, as far as a model's `config.pbtxt` needs it: without protobuf.

>>> print(config_text({"name": "a", "input": [{"data_type": Word("TYPE_UINT8"), "dims": [1, -1]}]}), end="")
name: "a"
input {
  data_type: TYPE_UINT8
  dims: 1
  dims: -1
}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["Config", "Word", "config_text"]

Config = Mapping[str, object]
"""Fields by name: text, numbers, truth values, `Word`s, mappings (a message each), and lists of these."""
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


class Word(str):
    """The name of an enumeration's value, which has no quotes."""


def config_text(config: Config) -> str:
    """All fields in their order; ASCII where the texts are."""
    return "".join(f"{line}\n" for line in _lines(config))


def _lines(config: Config) -> Iterator[str]:
    for name, value in config.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                yield f"{name} {{"
                yield from (f"  {line}" for line in _lines(each))
                yield "}"
            else:
                yield f"{name}: {_scalar(each)}"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not isinstance(value, Word):
        return f'"{value.translate(_ESCAPES)}"'
    return str(value)
