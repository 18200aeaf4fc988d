"""What is known of each kind of data set: where its files lie, its classes and its ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tdnet_data.class_lists import CAMVID, CAMVID_COLORS, CITYSCAPES, CITYSCAPES_IDS, NYUDV2
from tdnet_data.dataset import Classes
from tdnet_data.sequencing import numbered

__all__ = ["KINDS", "KindFacts", "Layout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a split's files lie below the data set's folder; `{split}` stands for the split's name.

    Attributes:
        images: folder of frames.
        labels: folder of label images; None where there are only masks.
        masks: folder of colour masks; None where there are only label images.
        label_suffix: after the frame's name in a label image's.
        list_file: of the split's frames; None where the folder has them all, and no others.
        holds: whether a frame, by its name, is in a split; None where they have folders of their own.
        shares_labels: the labels' folder has other splits' labels as well.
    """

    images: str
    labels: str | None = None
    masks: str | None = None
    label_suffix: str = ""
    list_file: str | None = None
    holds: Callable[[str, str], bool] | None = None
    shares_labels: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KindFacts:
    """A kind of data set.

    Attributes:
        layouts: in which it is found, the usual one first.
        classes: None where the user names them.
        ids: from labels as stored to train ids; None to count from `first_id`.
        colors: from colours of masks to train ids; None for the classes' own.
        first_id: label of the first class.
        ignore_ids: labels that are ignored.
        single_images: no frame follows another.
    """

    layouts: tuple[Layout, ...]
    classes: Classes | None = None
    ids: Mapping[int, int] | None = None
    colors: Mapping[tuple[int, int, int], int] | None = None
    first_id: int = 0
    ignore_ids: tuple[int, ...] = ()
    single_images: bool = False


def _in_camvid_split(name: str, split: str) -> bool:
    """SegNet's splits, which all papers use: 367 frames, 101 and 233."""
    drive, number = numbered(name.rpartition("/")[2].removesuffix("_L")) or ("", 0)
    if drive == "0016E5" and 7959 <= number <= 8159:
        return split == "val"
    if drive.startswith("Seq05VD") or (drive == "0001TP" and number >= 8550):
        return split == "test"
    return split == "train"


KINDS: Mapping[str, KindFacts] = {
    "folder": KindFacts(
        layouts=(
            Layout(images="images/{split}", labels="labels/{split}", masks="masks/{split}"),
            Layout(images="{split}/images", labels="{split}/labels", masks="{split}/masks"),
        ),
    ),
    "camvid": KindFacts(
        layouts=(
            Layout(images="{split}", labels="{split}annot"),
            Layout(images="{split}", masks="{split}_labels", label_suffix="_L"),
            Layout(
                images="701_StillsRaw_full",
                masks="LabeledApproved_full",
                label_suffix="_L",
                holds=_in_camvid_split,
            ),
        ),
        classes=CAMVID,
        colors=CAMVID_COLORS,
        ignore_ids=(11,),
    ),
    "cityscapes": KindFacts(
        layouts=(Layout(images="leftImg8bit/{split}", labels="gtFine/{split}"),),
        classes=CITYSCAPES,
        ids=CITYSCAPES_IDS,
    ),
    "nyudv2": KindFacts(
        layouts=(
            Layout(images="images/{split}", labels="labels/{split}"),
            Layout(images="{split}/rgb", labels="{split}/labels_40"),
            Layout(images="RGB", labels="Label", list_file="{split}.txt"),
        ),
        classes=NYUDV2,
        first_id=1,
        single_images=True,
    ),
}
"""By the names that `DataSettings.kind` takes."""
