import numpy as np
import pytest

from tdnet_runtime.media.orientation import Orientation

# The letter that EXIF's description draws: an F, upright and as each orientation stores it.
UPRIGHT = ["###", "#..", "##.", "#.."]
STORED = {
    1: ["###", "#..", "##.", "#.."],
    2: ["###", "..#", ".##", "..#"],
    3: ["..#", ".##", "..#", "###"],
    4: ["#..", "##.", "#..", "###"],
    5: ["####", "#.#.", "#..."],
    6: ["#...", "#.#.", "####"],
    7: ["...#", ".#.#", "####"],
    8: ["####", ".#.#", "...#"],
}
AXES = {1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1)}
AXES |= {5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0)}


def letter(rows):
    return np.array([[255 * (cell == "#") for cell in row] for row in rows], np.uint8)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_orientation_stands_upright_and_goes_back(number, channels):
    orientation = Orientation(number)
    upright, stored = letter(UPRIGHT), letter(STORED[number])
    if channels == 3:
        upright, stored = (np.dstack([x, x // 2, x // 3]) for x in (upright, stored))
    turned = orientation.apply(stored)
    assert np.array_equal(turned, upright)
    assert turned.flags.c_contiguous
    assert orientation.swaps_sides == (stored.shape != upright.shape)
    assert np.array_equal(orientation.inverse.apply(upright), stored)


@pytest.mark.parametrize("number", range(1, 9))
def test_axes(number):
    """x' = a·x + c·y, y' = b·x + d·y takes each stored pixel to its upright place."""
    a, b, c, d = AXES[number]
    stored, upright = letter(STORED[number]), letter(UPRIGHT)
    rows, columns = np.nonzero(stored)
    x, y = a * columns + c * rows, b * columns + d * rows
    width, height = stored.shape[::-1]
    corners = [(a * i + c * j, b * i + d * j) for i in (0, width - 1) for j in (0, height - 1)]
    moved = np.zeros_like(upright)
    moved[y - min(j for _, j in corners), x - min(i for i, _ in corners)] = 255
    assert np.array_equal(moved, upright)
    assert Orientation.from_axes(*(65536.0 * value for value in AXES[number])) is Orientation(number)
    assert Orientation.from_axes(a + 0.01, b - 0.01, c, d + 0.01) is Orientation(number)


@pytest.mark.parametrize("axes", [(1, 1, -1, 1), (0, 0, 0, 0), (1, 0, 0, 0), (0.7, 0.7, -0.7, 0.7)])
def test_what_is_no_quarter_turn(axes):
    with pytest.raises(ValueError, match="no whole number of quarter turns"):
        Orientation.from_axes(*axes)
