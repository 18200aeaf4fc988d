"""Pixels against conversions computed here from known samples of brightness and colour."""

import av
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.video import VideoSource
from tdnet_runtime.media.video_colors import RgbConverter

# ITU-T H.273: the shares of red and blue in brightness, by the number of the matrix.
SHARES = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114)}
SHARES |= {7: (0.212, 0.087), 9: (0.2627, 0.0593)}
NAMES = {1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"}
LIMITED, FULL, UNTAGGED = 1, 2, 0
SAMPLES = [(128, 128, 128), (60, 120, 140), (180, 116, 134), (100, 150, 110), (140, 105, 150), (90, 140, 141)]
# swscale's short cut for 8-bit YUV with shared colour samples counts in steps of about two levels.
TOLERANCE = 3.5


def rgb_by_hand(sample, *, matrix, full, bits=8):
    """R, G, B from 0 to 255 of one (Y, Cb, Cr)."""
    unit = 1 << (bits - 8)
    y, cb, cr = np.array(sample, float)
    most = (1 << bits) - 1
    brightness = y / most if full else (y - 16 * unit) / (219 * unit)
    blue, red = ((c - 128 * unit) / (most if full else 224 * unit) for c in (cb, cr))
    share_r, share_b = SHARES[matrix]
    r = brightness + 2 * (1 - share_r) * red
    b = brightness + 2 * (1 - share_b) * blue
    g = (brightness - share_r * r - share_b * b) / (1 - share_r - share_b)
    return np.clip(255 * np.array([r, g, b]), 0, 255)


def frame_of(sample, *, pixel_format, matrix, color_range, bits=8):
    """A frame of one colour, by planes."""
    frame = av.VideoFrame(32, 24, pixel_format)
    sample = [value << (bits - 8) for value in sample]
    dtype = np.uint8 if bits == 8 else np.uint16
    if pixel_format == "nv12":
        planes = [[sample[0]], sample[1:]]
    elif pixel_format == "yuyv422":
        planes = [[sample[0], sample[1], sample[0], sample[2]]]
    elif pixel_format == "p010le":
        planes = [[sample[0] << 6], [value << 6 for value in sample[1:]]]
    else:
        planes = [[value] for value in sample[: len(frame.planes)]]
    for plane, values in zip(frame.planes, planes, strict=True):
        values = np.array(values, dtype)
        plane.update(np.tile(values, plane.buffer_size // values.nbytes).tobytes())
    frame.colorspace, frame.color_range = matrix, color_range
    return frame


@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", SHARES)
@pytest.mark.parametrize(
    ("pixel_format", "bits"),
    [
        ("yuv420p", 8),
        ("yuv422p", 8),
        ("yuv444p", 8),
        ("nv12", 8),
        ("yuyv422", 8),
        ("yuv420p10le", 10),
        ("yuv444p10le", 10),
        ("p010le", 10),
        ("yuv420p12le", 12),
    ],
)
def test_every_tagged_matrix_and_range(pixel_format, bits, matrix, color_range):
    converter = RgbConverter()
    for sample in SAMPLES:
        frame = frame_of(sample, pixel_format=pixel_format, matrix=matrix, color_range=color_range, bits=bits)
        image = converter(frame)
        assert image.shape == (24, 32, 3)
        assert image.flags.c_contiguous
        scaled = [value << (bits - 8) for value in sample]
        expected = rgb_by_hand(scaled, matrix=matrix, full=color_range == FULL, bits=bits)
        assert np.abs(image - expected).max() <= TOLERANCE
    assert converter.facts == {
        "pixel_format": pixel_format,
        "color_matrix": NAMES[matrix],
        "color_range": "full" if color_range == FULL else "limited",
    }


@pytest.mark.parametrize("matrix", [0, 2, 3])
def test_untagged_is_bt601_limited_and_says_that_it_is_assumed(matrix):
    converter = RgbConverter()
    for sample in SAMPLES:
        frame = frame_of(sample, pixel_format="yuv420p", matrix=matrix, color_range=UNTAGGED)
        expected = rgb_by_hand(sample, matrix=6, full=False)
        assert np.abs(converter(frame) - expected).max() <= TOLERANCE
    assert converter.facts["color_matrix"] == "BT.601 (assumed: untagged)"
    assert converter.facts["color_range"] == "limited (assumed: untagged)"


def test_full_range_by_the_pixel_formats_own_name():
    converter = RgbConverter()
    for sample in SAMPLES:
        frame = frame_of(sample, pixel_format="yuvj420p", matrix=1, color_range=UNTAGGED)
        assert np.abs(converter(frame) - rgb_by_hand(sample, matrix=1, full=True)).max() <= TOLERANCE
    assert converter.facts["color_range"] == "full"


@pytest.mark.parametrize(("color_range", "expected"), [(FULL, 100), (UNTAGGED, 100), (LIMITED, 98)])
def test_grey_is_expanded_only_where_it_is_tagged_limited(color_range, expected):
    converter = RgbConverter()
    frame = frame_of((100,), pixel_format="gray", matrix=2, color_range=color_range)
    assert np.unique(converter(frame)).tolist() == [expected]
    assert converter.facts["color_range"] == ("limited" if color_range == LIMITED else "full")


@pytest.mark.parametrize("pixel_format", ["rgb24", "bgr24", "gbrp", "rgba", "bgra"])
def test_rgb_stays_as_it_is(pixel_format):
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
    converter = RgbConverter()
    assert np.array_equal(converter(frame), image)
    assert converter.facts["color_matrix"] == "none"


@pytest.mark.parametrize(
    ("matrix", "name"), [(8, "YCgCo"), (10, "BT.2020 constant luminance"), (14, "ICtCp")]
)
def test_a_matrix_that_ffmpeg_does_not_convert_is_refused(matrix, name):
    frame = frame_of(SAMPLES[1], pixel_format="yuv420p", matrix=matrix, color_range=LIMITED)
    with pytest.raises(MediaError, match=rf"its colours are {name}, which .* expected one of BT.709, FCC"):
        RgbConverter()(frame)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_told(transfer, name):
    frame = frame_of(SAMPLES[0], pixel_format="yuv420p10le", matrix=9, color_range=LIMITED, bits=10)
    frame.color_trc = transfer
    converter = RgbConverter()
    converter(frame)
    assert converter.facts["color_transfer"] == f"{name}, not tone-mapped"


def test_several_kinds_in_one_video_are_all_told():
    converter = RgbConverter()
    for color_range in (LIMITED, FULL, LIMITED):
        converter(frame_of(SAMPLES[0], pixel_format="yuv420p", matrix=1, color_range=color_range))
    assert converter.facts["color_range"] == "limited / full"


@pytest.mark.parametrize(
    ("matrix", "color_range"), [(1, LIMITED), (1, FULL), (6, LIMITED), (9, FULL), (2, UNTAGGED)]
)
def test_through_a_file(tmp_path, matrix, color_range):
    """As a camera or a phone writes it: the tags stand in the H.264 stream."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "1"})
        stream.height, stream.width, stream.pix_fmt = 24, 32, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, color_range
        for pts, sample in enumerate(SAMPLES):
            frame = frame_of(sample, pixel_format="yuv420p", matrix=matrix, color_range=color_range)
            frame.pts = pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with VideoSource(path) as source:
        for frame, sample in zip(source, SAMPLES, strict=True):
            hand = 6 if matrix == 2 else matrix
            expected = rgb_by_hand(sample, matrix=hand, full=color_range == FULL)
            assert np.abs(frame.image - expected).max() <= TOLERANCE + 2  # and one level of the encoder's
        assert source.facts["color_matrix"].startswith(NAMES[6 if matrix == 2 else matrix])
        assert source.facts["reader"].startswith(f"PyAV {av.__version__}, libavcodec ")


def test_colours_that_are_refused_name_the_file(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 24, 32, "yuv444p"
        stream.codec_context.colorspace = 8
        frame = frame_of(SAMPLES[0], pixel_format="yuv444p", matrix=8, color_range=LIMITED)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with (
        VideoSource(path) as source,
        pytest.raises(MediaError, match="after 0 frames: its colours are YCgCo") as caught,
    ):
        next(iter(source))
    assert str(caught.value).endswith(f": '{path}'")
