"""What a configuration says of the network: its shape, its input, its first weights, its teacher."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["NetworkSettings", "PreprocessingSettings", "StartSettings", "TeacherSettings"]


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[network]`: what is trained.

    Attributes:
        name: such as td2-psp50, td4-psp18, td2-fa18, psp101.
        size: input [H, W]; also the size of the crops.
        width: all published widths times this.
        stem: channels of the first convolution, instead of `width`'s. So are `planes` (layer1 to layer4), `value` (d_v),
            `head` and `neck`.
        memory_stride: n in training; the public code's is 3.
        propagation: `chain` is TDNet's, and what can be deployed; `one-step` and `none` are for comparisons.
        attention_dropout: share; the public code's is 0.1.
        auxiliary: whether layer3 has an auxiliary head in training (PSP family).
    """

    name: str
    size: tuple[int, int]
    width: float = 1.0
    stem: int | None = None
    planes: tuple[int, int, int, int] | None = None
    value: int | None = None
    head: int | None = None
    neck: int | None = None
    memory_stride: int = 3
    propagation: Literal["chain", "one-step", "none"] = "chain"
    attention_dropout: float = 0.1
    auxiliary: bool = True


class PreprocessingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[preprocessing]`: what images become: (x·scale − mean)/std; `tdnet-export` must be told the same.

    Attributes:
        preset: a name of `tdnet_models.preprocessing.PRESETS`; used where `mean` is not given.
        mean: in the order of the network's channels; with `std`.
        std: likewise.
        scale: of pixels of 0 to 255; with `mean` and `std` alone another one.
        bgr: whether the network takes BGR.
    """

    preset: str = "imagenet"
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    scale: float = 1 / 255
    bgr: bool = False


class StartSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[start]`: the first weights.

    Attributes:
        kind: `scratch`; `imagenet` (a torchvision ResNet's file, onto every trunk); `pspnet` (a public PSPNet or FANet
            checkpoint, onto every sub-network); `tdnet` (any checkpoint of the same network: what does not fit is listed).
        checkpoint: the file.
        weights: which network of the file, where it holds several.
    """

    kind: Literal["scratch", "imagenet", "pspnet", "tdnet"] = "scratch"
    checkpoint: str | None = None
    weights: str | None = None


class TeacherSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[teacher]`: leave the table out to train without distillation.

    Attributes:
        checkpoint: a per-frame PSPNet of the same classes.
        weights: which network of the file, where it holds several.
        temperature: of the softmaxes; 1 in the public code.
    """

    checkpoint: str
    weights: str | None = None
    temperature: float = 1.0
