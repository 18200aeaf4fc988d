"""Small synthetic clips and images."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tdnet_runtime.media.frames import SourceFrame


def picture(index, *, height=36, width=52):
    """A frame with a moving bright square on a gradient; uint8 [height, width, 3]."""
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(20, 120, width, dtype=np.uint8)
    image[..., 1] = np.linspace(20, 120, height, dtype=np.uint8)[:, None]
    image[..., 2] = 60
    image[4:12, index % (width - 8) :][:, :8] = 230
    return image


def encode_video(path, frames, *, rate=Fraction(25), codec="mpeg4", options=None):
    """Write `frames` into a video file with an index at its front where `options` say so."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p" if codec == "ffv1" else "yuv420p"
        stream.gop_size = 10
        stream.codec_context.thread_count = 3  # slices, and so the file's bytes, follow from it
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def draw():
    return picture


@pytest.fixture(scope="session")
def encode():
    return encode_video


@pytest.fixture
def source_frame():
    def make(image, *, name="000000", stamp_ns=0):
        return SourceFrame(image=image, name=name, stamp_ns=stamp_ns)

    return make
