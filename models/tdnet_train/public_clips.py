"""What a public YAML file says of clips and their pixels: its augmentations."""

from __future__ import annotations

from typing import Any

from tdnet_runtime.errors import OptionError
from tdnet_train.public_entries import PublicEntries

__all__ = ["public_clips", "public_norm"]

_TRAINING = "training.train_augmentations."
_VALIDATING = "validating.val_augmentations."


def public_clips(
    entries: PublicEntries, size: list[float], *, native_hw: list[float] | None
) -> tuple[dict[str, Any], list[str]]:
    """`stages.0.clips`, and notes on what differs, in validation too.

    Args:
        entries: of the file; the augmentations are taken.
        size: (H, W) of the crops.
        native_hw: (H, W) of the data set's frames, which crops are taken from where no `scale` stands before them; None
            where that differs, and `base_hw` is then left out.

    Raises:
        OptionError: a value that cannot be meant.
    """
    notes = []
    clips: dict[str, Any] = {"stage": "video", "gap_min": 1, "gap_max": 2}
    scale = entries.numbers(f"{_TRAINING}scale", 2) or native_hw
    if scale is not None and scale != size:
        clips["base_hw"] = scale
    factors = entries.numbers(f"{_TRAINING}rscale")
    if factors is None:
        clips["scale"] = [1.0, 1.0]
    else:
        clips["scales"] = factors
        if min(factors) < 1:
            notes.append(
                f"{_TRAINING}rscale: a picture scaled below the crop's size is padded here and the padding ignored; the "
                "public code stretches it back to the crop"
            )
    validated = entries.numbers(f"{_VALIDATING}scale", 2)
    if validated is not None and validated != size:
        notes.append(
            f"{_VALIDATING}scale is {validated}: validation brings frames to the network's size, {size}, here"
        )
    clips["rotate"] = entries.take(f"{_TRAINING}rotate", 0.0)
    clips["flip"] = entries.take(f"{_TRAINING}hflip", 0.0)
    colors = entries.numbers(f"{_TRAINING}colorjtr", 3) or [0.0, 0.0, 0.0]
    clips |= dict(zip(("brightness", "contrast", "saturation"), colors, strict=True))
    return clips, notes


def public_norm(entries: PublicEntries) -> tuple[dict[str, Any], list[str]]:
    """`preprocessing`, nothing where the file does not say, and notes.

    Raises:
        OptionError: a value that cannot be meant.
    """
    training, validating = (_norm(entries, f"{prefix}colornorm") for prefix in (_TRAINING, _VALIDATING))
    notes = []
    if validating is not None and validating != training:
        notes.append(
            f"{_VALIDATING}colornorm differs from training's: the network is validated with what it learnt with here"
        )
    return {} if training is None else {"preprocessing": training}, notes


def _norm(entries: PublicEntries, key: str) -> dict[str, Any] | None:
    norm = entries.take(key)
    if norm is None:
        return None
    if not isinstance(norm, list) or len(norm) != 2:
        raise OptionError(
            f"the configuration {entries.name!r}: {key} is {norm!r}, expected [[mean, …], [std, …]], three of each"
        )
    mean, std = (entries.as_numbers(key, each, 3) for each in norm)
    return {"mean": mean, "std": std}
