from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest

from tdnet_runtime.errors import BackendError, MediaError
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.pipeline import run_video


class Source:
    description = "test"
    fps = Fraction(25)
    frame_count = None
    size_hw = (4, 6)

    def __init__(self, count, *, error=None):
        self._count, self._error = count, error

    def __iter__(self):
        for index in range(self._count):
            image = np.full((4, 6, 3), index, np.uint8)
            yield SourceFrame(image=image, name=f"{index:06d}", stamp_ns=index * 100)
        if self._error:
            raise self._error


class Segmenter:
    """Labels are the frame's first channel; fails at frame `fail_at`."""

    def __init__(self, *, fail_at=None):
        self.fail_at = fail_at
        self.stamps_ns = []
        self.open_streams = 0

    @contextmanager
    def stream(self):
        self.open_streams += 1
        try:
            yield self
        finally:
            self.open_streams -= 1

    def push(self, frame, *, stamp_ns=None, out=None):
        if len(self.stamps_ns) == self.fail_at:
            raise BackendError("engine gone")
        self.stamps_ns.append(stamp_ns)
        out[...] = frame[..., 0]


class Recorder:
    def __init__(self):
        self.written = []

    def write(self, frame, labels):
        assert (labels == frame.image[..., 0]).all()
        self.written.append(frame.name)


def test_every_frame_goes_to_every_sink_and_is_measured():
    segmenter, sinks, done = Segmenter(), [Recorder(), Recorder()], []
    summary = run_video(segmenter, Source(5), sinks, on_frame=done.append)
    assert [sink.written for sink in sinks] == [[f"{i:06d}" for i in range(5)]] * 2
    assert segmenter.stamps_ns == [0, 100, 200, 300, 400]
    assert done == [1, 2, 3, 4, 5]
    assert segmenter.open_streams == 0
    assert (summary.frames, summary.interrupted) == (5, False)
    latency = summary.latency_ms
    assert 0 < latency["p50"] <= latency["p95"] <= latency["max"] < summary.wall_s * 1000
    assert summary.frames_per_s == pytest.approx(5 / summary.wall_s)


def test_percentiles_by_hand(monkeypatch):
    durations_ns = [1_000_000 * ms for ms in range(1, 21)]  # of 20 frames
    clock = iter([0, *(t for d in durations_ns for t in (0, d)), 40_000_000_000])
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(clock))
    summary = run_video(Segmenter(), Source(20), [])
    assert summary.latency_ms == pytest.approx({"p50": 10.5, "p95": 19.05, "max": 20.0})
    assert (summary.wall_s, summary.frames_per_s) == (40.0, 0.5)


def test_max_frames_reads_no_further():
    source = Source(3, error=MediaError("past the end"))
    assert run_video(Segmenter(), source, [], max_frames=3).frames == 3


def test_asked_to_stop():
    sink = Recorder()
    summary = run_video(Segmenter(), Source(9), [sink], should_stop=lambda: len(sink.written) == 2)
    assert (summary.frames, summary.interrupted) == (2, True)


def test_nothing_to_do():
    summary = run_video(Segmenter(), Source(0), [])
    assert (summary.frames, summary.latency_ms, summary.frames_per_s) == (0, None, 0.0)


@pytest.mark.parametrize(
    ("segmenter", "source", "error", "written"),
    [
        (Segmenter(), Source(3, error=MediaError("cut short")), MediaError, 3),
        (Segmenter(fail_at=1), Source(3), BackendError, 1),
    ],
)
def test_an_error_passes_through_after_what_was_done(segmenter, source, error, written):
    sink = Recorder()
    with pytest.raises(error, match=r"cut short|engine gone"):
        run_video(segmenter, source, [sink])
    assert len(sink.written) == written
    assert segmenter.open_streams == 0
