"""Frames in, labels out: what is refused, and how sizes are changed."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import ClassVar

import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import FrameError
from tdnet_runtime.preprocess import Resizer, check_frame, check_out

RNG = np.random.default_rng(0)
SIZES = [((37, 53), (16, 24)), ((9, 11), (16, 24)), ((1, 1), (5, 7)), ((1, 40), (7, 5)), ((17, 24), (16, 24))]
"""Frame sizes and network sizes: odd ones, larger, smaller, and one side alike."""


def _frame(height: int = 4, width: int = 6) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size_hw", [(1, 1), (4, 6), (481, 641)])
def test_a_good_frame(size_hw: tuple[int, int]) -> None:
    assert check_frame(_frame(*size_hw)) == size_hw


def test_a_read_only_frame_will_do() -> None:
    frame = np.frombuffer(bytes(4 * 6 * 3), np.uint8).reshape(4, 6, 3)
    assert check_frame(frame) == (4, 6)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"\0" * 72, r" bytes; expected a NumPy array, uint8 \[H, W, 3\], RGB. Convert .* numpy.asarray"),
        (_frame().tolist(), " list; expected a NumPy array"),
        (None, " NoneType; expected a NumPy array"),
        (_frame().astype(np.int32), "frame of dtype int32; expected uint8"),
        (_frame() > 9, "frame of dtype bool; expected uint8"),
        (_frame() / 255, "dtype float64; expected uint8, 0 to 255, not normalised: .*inside the graphs"),
        (_frame()[..., 0], r"shape \[4, 6\]; expected \[H, W, 3\], RGB. If it is a grey image: repeat it"),
        (_frame()[..., :1], r"shape \[4, 6, 1\]; expected .* If it is a grey image: repeat it"),
        (_frame()[None], r"shape \[1, 4, 6, 3\]; expected .* If it is a batch: push its frames one by one"),
        (np.zeros((4, 6, 4), np.uint8), r"shape \[4, 6, 4\]; expected .* If it is RGBA: drop the alpha"),
        (
            np.zeros((3, 4, 6), np.uint8),
            r"shape \[3, 4, 6\]; expected .* If its channels come first: .*transpose",
        ),
        (np.zeros((4, 6, 5), np.uint8), r"shape \[4, 6, 5\]; expected \[H, W, 3\], RGB\.$"),
        (np.zeros(72, np.uint8), r"shape \[72\]; expected \[H, W, 3\], RGB\.$"),
        (
            _frame()[..., ::-1],
            r"non-contiguous frame \(shape \[4, 6, 3\], strides \[18, 3, -1\]\).*BGR.*asconti",
        ),
        (_frame()[:, 1:5], "non-contiguous frame .*a crop.*numpy.ascontiguousarray"),
        (_frame()[::-1], "non-contiguous frame .*a flip"),
        (_frame()[:0], "frame of 0x6; sides of 1 to 32767 are possible"),
        (np.zeros((6, 0, 3), np.uint8), "frame of 6x0; sides of 1"),
        (np.zeros((1, 32768, 3), np.uint8), "frame of 1x32768; sides of 1 to 32767"),
    ],
)
def test_bad_frames(frame: object, message: str) -> None:
    with pytest.raises(FrameError, match=rf"^push\(\) was given a.*{message}"):
        check_frame(frame)


class _Elsewhere:
    """An array in a GPU's memory, as its library shows it."""

    def __array__(self, *args: object) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def cpu(self) -> _Elsewhere:
        return self

    def numpy(self) -> np.ndarray:
        return _frame()


class _CudaArray(_Elsewhere):
    """Numba's, among others: no DLPack."""

    __cuda_array_interface__: ClassVar = {
        "shape": (4, 6, 3),
        "typestr": "|u1",
        "data": (1, False),
        "version": 3,
    }


class _Tensor(_Elsewhere):
    def __init__(self, device_type: int) -> None:
        self.device_type = device_type

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device_type, 0


class _PinnedCudaTensor(_Tensor):
    """The CPU reads it; that the GPU does too does not matter."""

    __cuda_array_interface__ = _CudaArray.__cuda_array_interface__


class _Undecided(_Elsewhere):
    def __dlpack_device__(self) -> tuple[int, int]:
        raise ValueError("Unknown device type meta for Dlpack")


@pytest.mark.parametrize(
    "frame",
    [_Tensor(2), _Tensor(10), _Tensor(13), _CudaArray()],
    ids=["cuda", "rocm", "managed", "interface"],
)
def test_the_advice_for_a_frame_on_the_gpu(frame: _Elsewhere) -> None:
    """`numpy.asarray` would fail."""
    with pytest.raises(
        FrameError,
        match=r"^push\(\) was given a _\w+; expected a NumPy array, uint8 \[H, W, 3\], RGB. It is not in the CPU's memory: "
        r"copy it there first, with frame\.cpu\(\)\.numpy\(\) if .*, cupy\.asnumpy\(frame\) if .*tensorrt-rtx\.$",
    ) as error:
        check_frame(frame)
    assert "asarray" not in str(error.value)
    check_frame(frame.cpu().numpy())


@pytest.mark.parametrize(
    "frame",
    [_Tensor(1), _Tensor(3), _PinnedCudaTensor(3), _Undecided()],
    ids=["cpu", "pinned", "both", "meta"],
)
def test_the_advice_for_an_array_on_the_cpu(frame: _Elsewhere) -> None:
    with pytest.raises(FrameError, match=r"RGB\. Convert it with numpy\.asarray first\.$"):
        check_frame(frame)


def test_the_advice_for_a_tensor_helps() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros((4, 6, 3), dtype=torch.uint8)
    with pytest.raises(FrameError, match=r"^push\(\) was given a Tensor; .*numpy\.asarray"):
        check_frame(tensor)
    check_frame(np.asarray(tensor))
    check_frame(tensor.cpu().numpy())


def test_the_hints_help() -> None:
    """What the messages suggest is accepted."""
    grey, rgba = RNG.integers(0, 256, (4, 6), np.uint8), RNG.integers(0, 256, (4, 6, 4), np.uint8)
    check_frame(np.repeat(grey.reshape(4, 6, 1), 3, axis=2))
    check_frame(np.ascontiguousarray(rgba[..., :3]))
    check_frame(np.ascontiguousarray(rgba[:3].transpose(1, 2, 0)))
    check_frame(np.ascontiguousarray(_frame()[:, 1:5]))


def _read_only() -> np.ndarray:
    out = np.zeros((4, 6), np.uint8)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("out", "what"),
    [
        ([[0] * 6] * 4, "list"),
        (np.zeros((4, 6), np.int32), r"int32 \[4, 6\]"),
        (np.zeros((6, 4), np.uint8), r"uint8 \[6, 4\]"),
        (np.zeros((4, 6, 1), np.uint8), r"uint8 \[4, 6, 1\]"),
        (np.zeros((4, 12), np.uint8)[:, ::2], r"uint8 \[4, 6\]"),
        (np.zeros((6, 4), np.uint8).T, r"uint8 \[4, 6\]"),
        (_read_only(), r"uint8 \[4, 6\]"),
    ],
)
def test_bad_out(out: object, what: str) -> None:
    with pytest.raises(
        FrameError,
        match=rf"^push\(out=...\) was given .*{what}.*; expected a writable C-contiguous array, uint8 \[4, 6\]",
    ):
        check_out(out, (4, 6))


def test_good_out() -> None:
    check_out(np.zeros((4, 6), np.uint8), (4, 6))
    check_out(np.zeros((3, 4, 6), np.uint8)[1], (4, 6))  # a place in a larger array


@pytest.mark.parametrize(("frame_hw", "network_hw"), SIZES)
def test_bilinear_in(frame_hw: tuple[int, int], network_hw: tuple[int, int]) -> None:
    frame, image = _frame(*frame_hw), np.zeros((1, *network_hw, 3), np.uint8)
    resizer = Resizer(network_hw)
    resizer.require(frame_hw)
    resizer.put(frame, image[0])
    assert np.array_equal(image[0], cv2.resize(frame, network_hw[::-1], interpolation=cv2.INTER_LINEAR))


@pytest.mark.parametrize(("frame_hw", "network_hw"), SIZES)
def test_bilinear_means_half_pixel_centres_without_antialiasing(
    frame_hw: tuple[int, int], network_hw: tuple[int, int]
) -> None:
    """The definition itself, in float64; OpenCV computes with 11-bit weights, so it is one off at most."""
    frame, image = _frame(*frame_hw), np.zeros((*network_hw, 3), np.uint8)
    resizer = Resizer(network_hw)
    resizer.require(frame_hw)
    resizer.put(frame, image)
    expected = frame.astype(np.float64)
    for axis, (size, wanted) in enumerate(zip(frame_hw, network_hw, strict=True)):
        at = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        weight = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        upper = np.minimum(low + 1, size - 1)
        expected = expected.take(low, axis) * (1 - weight) + expected.take(upper, axis) * weight
    assert np.abs(image - expected).max() <= 1


@pytest.mark.parametrize(("frame_hw", "network_hw"), SIZES)
def test_nearest_out(frame_hw: tuple[int, int], network_hw: tuple[int, int]) -> None:
    """Each pixel takes the label whose centre is nearest to its own; of two as near, either."""
    resizer = Resizer(network_hw)
    resizer.require(frame_hw)
    for axis, (size, wanted) in enumerate(zip(network_hw, frame_hw, strict=True)):
        index = np.arange(size, dtype=np.uint8).reshape((-1, 1) if axis == 0 else (1, -1))
        labels, out = np.ascontiguousarray(np.broadcast_to(index, network_hw)), np.zeros(frame_hw, np.uint8)
        resizer.take(labels, out)
        chosen = out.take(0, 1 - axis).astype(int)
        assert (out == (chosen[:, None] if axis == 0 else chosen)).all()
        # Centres (2j + 1) / 2·size and (2i + 1) / 2·wanted, over a common denominator.
        distance = np.abs(
            (2 * np.arange(size) + 1)[None] * wanted - (2 * np.arange(wanted) + 1)[:, None] * size
        )
        assert (distance[np.arange(wanted), chosen] == distance.min(axis=1)).all()


def test_the_networks_size_is_not_touched() -> None:
    frame, image = _frame(16, 24), np.zeros((16, 24, 3), np.uint8)
    labels, out = RNG.integers(0, 19, (16, 24), np.uint8), np.zeros((16, 24), np.uint8)
    resizer = Resizer((16, 24))
    resizer.put(frame, image)
    resizer.take(labels, out)
    assert np.array_equal(image, frame)
    assert np.array_equal(out, labels)


def test_a_subclass_of_arrays_is_taken_as_its_numbers() -> None:
    """Whatever it has in place of NumPy's functions, and whether it is resized or not."""

    class Own(np.ndarray):
        def __array_function__(self, *given: object) -> None:
            raise TypeError("not for me")

    for hw in ((16, 24), (17, 24)):
        frame, image = _frame(*hw), np.zeros((2, 16, 24, 3), np.uint8)
        labels, out = RNG.integers(0, 19, (16, 24), np.uint8), np.zeros((2, *hw), np.uint8)
        resizer = Resizer((16, 24))
        resizer.require(hw)
        for index, kind in enumerate((np.ndarray, Own)):
            resizer.put(frame.view(kind), image[index])
            resizer.take(labels, out[index].view(kind))
        assert np.array_equal(*image)
        assert image.any()
        assert np.array_equal(*out)


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    resizer = Resizer((16, 24))
    resizer.require((16, 24))
    with pytest.raises(
        FrameError,
        match=r"a frame of 17x24; without OpenCV \(.*cv2.*\) only the network's size, 16x24, can be "
        "taken. Install it with: pip install opencv-python-headless$",
    ):
        resizer.require((17, 24))


def test_a_folder_that_is_left_of_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python imports it, as a package of nothing."""
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    with pytest.raises(FrameError, match=r"without OpenCV \(module 'cv2' has no attribute.*-headless$"):
        Resizer((16, 24)).require((17, 24))


def test_opencv_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "cv2":
                raise ImportError("libGL.so.1: cannot open shared object file", name="cv2")

    monkeypatch.delitem(sys.modules, "cv2")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(
        FrameError, match=r"without OpenCV \(libGL.*\) only the network's size, 16x24,.*-headless"
    ):
        Resizer((16, 24)).require((17, 24))
