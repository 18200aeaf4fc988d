"""What decides on the content of a run's outputs."""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = ["Form", "Settings"]


class Form(str, Enum):
    """What the labels of one input are written as."""

    PNG = "png"
    """One PNG a frame, the grey value being the class index: what `tdnet-run --labels` writes."""
    VIDEO = "video"
    """One lossless video, FFV1 in Matroska, of the same grey values."""
    MCAP = "mcap"
    """One log, as `tdnet-run --output mcap:` writes it."""
    NPZ = "npz"
    """One NumPy archive, with an array for each frame, by the frame's name."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A part of each record: outputs that were made with others are made again.

    Attributes:
        form: of the outputs.
        backend: that was asked for; likewise `precision`, None for the backend's own choice.
        on_damage: what becomes of damaged frames; see `tdnet_runtime.media.damage.OnDamage`.
        bit_depth: of images' 16-bit samples; None to detect it.
        cut_frames: into pieces of so many frames longer videos are cut; None for whole ones.
    """

    form: Form = Form.PNG
    backend: str = "auto"
    precision: str | None = None
    on_damage: str = "skip"
    bit_depth: int | None = None
    cut_frames: int | None = None
