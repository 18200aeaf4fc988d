"""Whether a network's labels mean a data set's classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tdnet_eval.sides import Side
from tdnet_runtime.errors import OptionError

if TYPE_CHECKING:
    from tdnet_data.dataset import DataSet

__all__ = ["check_classes"]

_NUMBERED = re.compile(r"class ?[0-9]+")
_SHOWN = 3  # names in a message


def check_classes(side: Side, dataset: DataSet) -> str | None:
    """That a side's labels mean the data set's classes; a remark where names differ, None where they agree.

    Raises:
        OptionError: there are more or fewer of them, or the same names in another order.
    """
    data, theirs = f"{dataset.name}, split {dataset.split!r},", dataset.classes.names
    advice = (
        "say what each label of the data set is with `names` and `map` in a TOML file (docs/evaluation.md) and give it as "
        "--data"
    )
    if side.classes != len(theirs):
        raise OptionError(f"{side.name} has {side.classes} classes, {data} has {len(theirs)}; {advice}")
    known = {_plain(name): index for index, name in enumerate(theirs)}
    for index, name in enumerate(side.names):
        place = known.get(_plain(name), index)
        if place != index:
            raise OptionError(
                f"{side.name} has {name!r} as class {index}, {data} as {place}: their orders differ; {advice}, or "
                "export the bundle again with --names where its names were the exporter's guess"
            )
    if all(_NUMBERED.fullmatch(name) for name in side.names):
        return None
    differing = [
        f"{index} {ours!r} is {name!r}"
        for index, (ours, name) in enumerate(zip(side.names, theirs, strict=True))
        if _plain(ours) != _plain(name)
    ]
    if not differing:
        return None
    more = f", and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return (
        f"{side.name} and the data set call classes by different names: {', '.join(differing[:_SHOWN])}{more}"
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
