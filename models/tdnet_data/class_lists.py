"""Classes and ids of the public data sets: Cityscapes' 19, CamVid's 11, NYUDv2's 40."""

from __future__ import annotations

from tdnet_data.dataset import IGNORE, Classes

__all__ = ["CAMVID", "CAMVID_COLORS", "CITYSCAPES", "CITYSCAPES_IDS", "KNOWN", "NYUDV2"]

Color = tuple[int, int, int]


def _classes(text: str) -> Classes:
    entries = [entry.strip().rsplit(maxsplit=3) for entry in text.split(",")]
    return Classes(
        names=tuple(name for name, *_ in entries),
        colors=tuple((int(red), int(green), int(blue)) for _, red, green, blue in entries),
    )


CITYSCAPES = _classes("""
road 128 64 128, sidewalk 244 35 232, building 70 70 70, wall 102 102 156, fence 190 153 153, pole 153 153 153,
traffic light 250 170 30, traffic sign 220 220 0, vegetation 107 142 35, terrain 152 251 152, sky 70 130 180,
person 220 20 60, rider 255 0 0, car 0 0 142, truck 0 0 70, bus 0 60 100, train 0 80 100, motorcycle 0 0 230,
bicycle 119 11 32
""")

_CITYSCAPES_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_IDS = dict.fromkeys(range(34), IGNORE) | {
    label: index for index, label in enumerate(_CITYSCAPES_LABEL_IDS)
}
"""From the ids of `*_gtFine_labelIds.png` to train ids; the others of the 34 are void, as in the public loader."""

CAMVID = _classes("""
sky 128 128 128, building 128 0 0, pole 192 192 128, road 128 64 128, pavement 60 40 222, tree 128 128 0,
sign 192 128 128, fence 64 64 128, car 64 0 128, pedestrian 64 64 0, bicyclist 0 128 192
""")

_CAMVID_32 = {
    "sky": "128 128 128",  # Sky
    "building": "128 0 0, 192 0 128, 0 128 64, 64 0 64, 64 192 0",  # Building, Archway, Bridge, Tunnel, Wall
    "pole": "192 192 128, 0 0 64",  # Column_Pole, TrafficCone
    "road": "128 64 128, 128 0 192, 192 0 64",  # Road, LaneMkgsDriv, LaneMkgsNonDriv
    "pavement": "0 0 192, 64 192 128, 128 128 192",  # Sidewalk, ParkingBlock, RoadShoulder
    "tree": "128 128 0, 192 192 0",  # Tree, VegetationMisc
    "sign": "192 128 128, 128 128 64, 0 64 64",  # SignSymbol, Misc_Text, TrafficLight
    "fence": "64 64 128",  # Fence
    "car": "64 0 128, 64 128 192, 192 128 192, 192 64 128, 128 64 64",  # Car, SUV, Truck_Bus, Train, OtherMoving
    "pedestrian": "64 64 0, 192 128 64, 64 0 192, 64 128 64",  # Pedestrian, Child, CartLuggagePram, Animal
    "bicyclist": "0 128 192, 192 0 192",  # Bicyclist, MotorcycleScooter
}


def _color(text: str) -> Color:
    red, green, blue = (int(part) for part in text.split())
    return red, green, blue


CAMVID_COLORS: dict[Color, int] = {(0, 0, 0): IGNORE} | {
    _color(text): index for index, name in enumerate(CAMVID.names) for text in _CAMVID_32[name].split(",")
}
"""From the 32 colours of CamVid's 720p masks to the 11 classes, grouped as SegNet's authors did; black is void."""

_NYUDV2_NAMES = """
wall, floor, cabinet, bed, chair, sofa, table, door, window, bookshelf, picture, counter, blinds, desk, shelves,
curtain, dresser, pillow, mirror, floor mat, clothes, ceiling, books, refrigerator, television, paper, towel,
shower curtain, box, whiteboard, person, night stand, toilet, sink, lamp, bathtub, bag, otherstructure,
otherfurniture, otherprop
"""


def _bit_color(label: int) -> Color:
    """The usual palette: bits 0, 1, 2 of the label, and then 3, 4, 5, give the highest bits of R, G, B."""
    red, green, blue = (
        sum(((label >> (3 * j + channel)) & 1) << (7 - j) for j in range(3)) for channel in range(3)
    )
    return red, green, blue


NYUDV2 = Classes(
    names=tuple(name.strip() for name in _NYUDV2_NAMES.split(",")),
    colors=tuple(_bit_color(label) for label in range(1, 41)),
)

KNOWN = {"camvid": CAMVID, "cityscapes": CITYSCAPES, "nyudv2": NYUDV2}
"""By the names that `DataSettings.names` takes."""
