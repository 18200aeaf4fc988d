"""What a user says of the training's preprocessing, and whether it can be meant."""

from __future__ import annotations

import math

from tdnet_models.preprocessing import PRESETS, Preprocessing
from tdnet_runtime.errors import OptionError

__all__ = ["check_preprocessing", "parse_preprocessing"]

_SLACK = 1.01  # 0.0039 is meant for 1/255
_FAINT = 0.01  # a mean below this share of the range is one of another scale
_LARGEST = 256.0  # of what a network may be given: pixels as they are


def parse_preprocessing(
    *, preset: str | None, mean: str | None, std: str | None, scale: str | None, bgr: bool
) -> Preprocessing | None:
    """`--preprocessing`, or `--mean`, `--std` and `--scale`, as they were typed; None where none was.

    Args:
        preset: a key of `PRESETS`.
        mean: three numbers or one for all channels, with commas or spaces between; in the order of the network's
            channels, on the scale that `scale` leaves.
        std: likewise.
        scale: a number or a fraction such as 1/255, which it is if None.
        bgr: the order in which `mean` and `std` are. (A preset knows its own.)

    Raises:
        OptionError: not of that form, an unknown preset, one half without the other, or values that cannot be meant.
    """
    given = {"--mean": mean, "--std": std, "--scale": scale}
    named = [option for option, value in given.items() if value is not None]
    if preset is not None:
        if preset not in PRESETS:
            raise OptionError(
                f"--preprocessing is {preset!r}; expected {', '.join(PRESETS)}, or values with --mean and --std"
            )
        if named:
            raise OptionError(f"--preprocessing names all values; leave it out, or {', '.join(named)}")
        return PRESETS[preset]
    if not named:
        return None
    if mean is None or std is None:
        missing = [option for option in ("--mean", "--std") if given[option] is None]
        raise OptionError(
            f"{', '.join(named)} needs {' and '.join(missing)}: what the training code subtracted and divided by after "
            "scaling; 0 and 1 if it did not"
        )
    return Preprocessing(
        mean=_channels("--mean", mean),
        std=_channels("--std", std),
        scale=1 / 255 if scale is None else _number("--scale", scale),
        color_order="BGR" if bgr else "RGB",
    )


def check_preprocessing(preprocessing: Preprocessing) -> None:
    """Raise OptionError for values that no training can have used, with what was probably meant.

    Pixels are 0 to 255, so after `scale` 0 to 255·scale: a mean lies between, a std is no larger, and what a network
    is given is not beyond the pixels themselves.
    """
    scale, mean, std = preprocessing.scale, preprocessing.mean, preprocessing.std
    top = 255 * scale
    if not 0 < scale <= 1:  # NaN too
        raise OptionError(
            f"--scale is {scale:g}; expected what the training code multiplies pixels of 0 to 255 by: 1/255, or 1 for "
            "pixels as they are"
        )
    for option, values in (("--mean", mean), ("--std", std)):
        if not all(map(math.isfinite, values)):
            raise OptionError(f"{option} is {_listed(values)}; expected finite numbers")
    if min(mean) < 0:
        raise OptionError(
            f"--mean is {_listed(mean)}; it is subtracted from pixels of 0 and more: leave out the sign"
        )
    if min(std) <= 0:
        raise OptionError(
            f"--std is {_listed(std)}; it is divided by, so expected positive numbers, 1 for none"
        )
    pixels = f"pixels are 0 to {top:.4g} after --scale {_fraction(scale)}"
    large = {option: v for option, v in (("--mean", mean), ("--std", std)) if max(v) > _SLACK * top}
    if large:
        option, values = next(iter(large.items()))
        raise OptionError(
            f"{option} is {_listed(values)}, but {pixels}: divide {'both, --mean and --std,' if len(large) > 1 else 'it'} "
            "by 255, or give --scale 1 if the training code does not divide pixels by 255"
        )
    largest = max(max(m, top - m) / s for m, s in zip(mean, std, strict=True))
    small = {"--mean": (mean, 0 < max(mean) < _FAINT * top), "--std": (std, largest > _LARGEST)}
    other = ", or give --scale 1/255 if the training code divides pixels by 255 first" if top > _SLACK else ""
    for option, (values, is_small) in small.items():
        if is_small:
            raise OptionError(
                f"{option} is {_listed(values)}, which is next to nothing where {pixels}: multiply it by 255{other}"
            )


def _channels(option: str, text: str) -> tuple[float, float, float]:
    values = [_number(option, part) for part in text.replace(",", " ").split()]
    if len(values) not in (1, 3):
        raise OptionError(
            f"{option} is {text!r}, {len(values)} numbers; expected three, of the network's channels in its order, for "
            "instance 0.485,0.456,0.406, or one for all"
        )
    first, second, third = values * (3 // len(values))
    return first, second, third


def _number(option: str, text: str) -> float:
    """`0.485` or `1/255`."""
    top, slash, bottom = text.partition("/")
    try:
        return float(top) / (float(bottom) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        raise OptionError(f"{option} has {text!r}; expected a number or a fraction such as 1/255") from None


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.6g}" for value in values)


def _fraction(scale: float) -> str:
    return "1/255" if scale == 1 / 255 else f"{scale:g}"
