"""What a user says of a data set: where its parts lie, and what its labels mean."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["DataSettings", "Kind"]

Kind = Literal["folder", "camvid", "cityscapes", "nyudv2"]
Channel = Annotated[int, msgspec.Meta(ge=0, le=255)]
Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 15)]  # the most that OpenCV resizes to
Path = Annotated[str, msgspec.Meta(pattern=r"^[^\0]+$")]


class DataSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One data set; all paths but `root` are below `root`, and `{split}` in them stands for the split's name.

    Whatever is None is as the kind has it (see `opening`), for a folder `images/{split}` and `labels/{split}` or
    `{split}/images` and `{split}/labels`.

    Attributes:
        root: folder of the data set.
        kind: which layout, classes and ids; what is given below goes before it.
        name: of the data set, in tables; the folder's name where there is none.
        images: folder of the frames (image files in it and in its sub-folders, and videos), or one video.
        labels: folder of label images, a class in each pixel.
        masks: folder of colour masks, instead of `labels`.
        label_suffix: what the names of label images have after those of their frames, such as `_L`.
        confidence: folder of images that say how sure each label is, named like the label images.
        min_confidence: 0 to 1; labels below it are ignored.
        names: file of the classes' names and colours, or `camvid`, `cityscapes`, `nyudv2` for theirs.
        first_id: label of the first class; labels below it are ignored.
        ignore_ids: more labels that are ignored; 255 always is, unless `map` has it.
        ignore_colors: colours of masks that are ignored.
        map: from labels as stored to classes: `{"7" = "road", "8" = 1, "9" = "ignore"}`; others are errors.
        list_file: text file with the names of the split's frames, one a line; others are left out.
        size_hw: (H, W) to which frames and labels are brought when they are read.
        bit_depth: of frames with 16-bit samples; None to detect it in a few of them.
        single_images: frames of one folder do not follow one another in time; or the splits in which they do not.
        splits: this data set's own names of splits, such as `{val = "validation"}`.
        may_be_empty: classes that need not occur.
        weight: how often each labelled frame comes in an epoch of a `[[stages.data]]`: 0.5 for half of them, 3 for each
            three times.
    """

    root: Path
    kind: Kind = "folder"
    name: Path | None = None
    images: Path | None = None
    labels: Path | None = None
    masks: Path | None = None
    label_suffix: str | None = None
    confidence: Path | None = None
    min_confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    names: Path | None = None
    first_id: Annotated[int, msgspec.Meta(ge=0, le=254)] | None = None
    ignore_ids: tuple[Channel, ...] | None = None
    ignore_colors: tuple[tuple[Channel, Channel, Channel], ...] | None = None
    map: dict[str, int | str] | None = None
    list_file: Path | None = None
    size_hw: tuple[Side, Side] | None = None
    bit_depth: Annotated[int, msgspec.Meta(ge=8, le=16)] | None = None
    single_images: bool | tuple[str, ...] | None = None
    splits: dict[str, str] = {}
    may_be_empty: tuple[str, ...] = ()
    weight: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1.0
