"""From a comparison to its runs: equal configurations are one run, in whichever comparison they occur."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tdnet_runtime.errors import OptionError
from tdnet_train.comparison.settings import ComparisonSettings, HelperSettings, VariantSettings
from tdnet_train.config_file import digest, read_settings
from tdnet_train.running.folder import RunFolder
from tdnet_train.settings import TrainSettings

__all__ = ["Member", "Plan", "Row", "planned"]

_HELPER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One run.

    Attributes:
        settings: its configuration.
        folder: where it is trained; its name follows from the configuration.
        seed: `run.seed`.
        needs: folders of the runs whose checkpoints it uses.
    """

    settings: TrainSettings
    folder: Path
    seed: int
    needs: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A variant, or a helper, and its runs.

    Attributes:
        label: of the row.
        overrides: of the configuration.
        members: one for each seed.
        stride: n of the stream that they are judged by.
        against: label of the row that it is compared with; None for none.
    """

    label: str
    overrides: tuple[str, ...]
    members: tuple[Member, ...]
    stride: int
    against: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A comparison's rows, helpers first.

    Attributes:
        rows: in the table's order.
    """

    rows: tuple[Row, ...]

    @property
    def strides(self) -> dict[Path, tuple[int, ...]]:
        """By the runs' folders, in an order in which they can be trained: the strides that they are judged by."""
        found: dict[Path, tuple[int, ...]] = {}
        for row in self.rows:
            for member in row.members:
                found[member.folder] = tuple(dict.fromkeys((*found.get(member.folder, ()), row.stride)))
        return found

    @property
    def members(self) -> dict[Path, Member]:
        """By their folders."""
        return {member.folder: member for row in self.rows for member in row.members}


def planned(path: Path, comparison: ComparisonSettings, out: Path, overrides: Iterable[str] = ()) -> Plan:
    """The runs of a comparison.

    Args:
        path: of its file.
        comparison: what is in it.
        out: the folder that the runs' folders are in.
        overrides: of the configuration, for all of them.

    Raises:
        OptionError: the configuration, or what a variant sets of it, cannot be meant.
    """
    config, overrides = path.parent / comparison.config, tuple(overrides)
    helpers: dict[str, Path] = {}
    rows: list[Row] = []
    first = comparison.variants[0].label
    for name, helper in comparison.helpers.items():
        row = _row(config, helper, (helper.seed,), out, overrides, helpers, against=None)
        helpers[name] = row.members[0].folder
        rows.append(row)
    for variant in comparison.variants:
        against = variant.against or first
        rows.append(
            _row(
                config,
                variant,
                comparison.seeds,
                out,
                overrides,
                helpers,
                against=None if against == variant.label else against,
            )
        )
    return Plan(rows=tuple(rows))


def _row(
    config: Path,
    variant: VariantSettings | HelperSettings,
    seeds: tuple[int, ...],
    out: Path,
    overrides: tuple[str, ...],
    helpers: Mapping[str, Path],
    *,
    against: str | None,
) -> Row:
    needs: dict[str, Path] = {}

    def checkpoint(found: re.Match[str]) -> str:
        if found[1] not in helpers:
            raise OptionError(
                f"the variant {variant.label!r}: {found[0]} is no helper before it; there are "
                f"{', '.join(helpers) or 'none'}"
            )
        needs[found[1]] = helpers[found[1]]
        return str(RunFolder(helpers[found[1]]).best)

    filled = [_HELPER.sub(checkpoint, override) for override in variant.set]
    members = []
    for seed in seeds:
        try:
            settings = read_settings(config, (*overrides, *filled, f"run.seed={seed}"))
        except OptionError as error:
            raise OptionError(f"the variant {variant.label!r}: {error}") from error
        folder = out / f"{settings.network.name}-seed{seed}-{digest(settings)}"
        members.append(Member(settings=settings, folder=folder, seed=seed, needs=tuple(needs.values())))
    stride = variant.memory_stride if isinstance(variant, VariantSettings) else None
    return Row(
        label=variant.label,
        overrides=variant.set,
        members=tuple(members),
        stride=stride or members[0].settings.network.memory_stride,
        against=against,
    )
