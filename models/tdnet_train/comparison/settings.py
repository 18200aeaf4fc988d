"""What a comparison is made of: one typed TOML file beside the configuration that its variants change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from tdnet_runtime.errors import OptionError
from tdnet_train.config_file import converted, read_table

__all__ = ["ComparisonSettings", "HelperSettings", "VariantSettings", "read_comparison"]

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class VariantSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[variants]]`: a row of the table.

    Attributes:
        label: of the row.
        set: fields of the configuration, as `tdnet-train --set` takes them; `{name}` is the checkpoint of that helper.
        memory_stride: n of the stream that it is judged by; as it was trained if None.
        against: label of the variant that it is compared with; the first one if None.
    """

    label: _Text
    set: tuple[_Text, ...] = ()
    memory_stride: Annotated[int, msgspec.Meta(ge=1)] | None = None
    against: str | None = None


class HelperSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[helpers.NAME]`: a run whose checkpoint variants use, a teacher; trained once and judged as they are.

    Attributes:
        label: of its row.
        set: see `VariantSettings`.
        seed: of its only run.
    """

    label: _Text
    set: tuple[_Text, ...] = ()
    seed: int = 0


class ComparisonSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file.

    Attributes:
        question: that it answers.
        config: file of the configuration, beside this one.
        variants: the first is what others are compared with.
        seeds: each variant is trained with each; differences are taken seed by seed.
        splits: of the data set, in which all are judged.
        consistent: those of them in which temporal consistency is measured as well: videos.
        helpers: by name; each may use those before it.
    """

    question: _Text
    config: _Text
    variants: Annotated[tuple[VariantSettings, ...], msgspec.Meta(min_length=1)]
    seeds: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)] = (0,)
    splits: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)] = ("val",)
    consistent: tuple[str, ...] = ()
    helpers: dict[str, HelperSettings] = {}


def read_comparison(path: Path) -> ComparisonSettings:
    """The comparison in a TOML file.

    Raises:
        OptionError: unreadable, a field that there is not, labels or seeds that occur twice, or one that is not there.
    """
    content = read_table(path, what="comparison")
    settings = converted(content, ComparisonSettings, name=str(path), what="comparison")
    labels = [variant.label for variant in settings.variants] + [h.label for h in settings.helpers.values()]
    for name, values in (("label", labels), ("seed", settings.seeds), ("split", settings.splits)):
        twice = [value for value in dict.fromkeys(values) if list(values).count(value) > 1]
        if twice:
            raise OptionError(f"the comparison {str(path)!r}: the {name} {twice[0]!r} occurs twice")
    for variant in settings.variants:
        if variant.against is not None and variant.against not in labels[: len(settings.variants)]:
            raise OptionError(
                f"the comparison {str(path)!r}: {variant.label!r} is compared with {variant.against!r}, which is the label "
                "of no variant"
            )
    strange = [split for split in settings.consistent if split not in settings.splits]
    if strange:
        raise OptionError(
            f"the comparison {str(path)!r}: consistent names the split {strange[0]!r}, which is not among its splits "
            f"{', '.join(settings.splits)}"
        )
    return settings
