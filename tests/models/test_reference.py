"""The streaming oracle against the public code's outputs (spec §6), and its manners."""

import logging
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tests.conftest import SMALL_SIZE, small_reference, small_state
from tests.models.conftest import (
    FULL_SIZE,
    NETWORKS,
    OTHER_SIZED,
    OTHER_SIZES,
    full_size_reference,
    full_size_state,
    other_size_reference,
)

from tdnet_models import ReferenceStream, load_checkpoint
from tdnet_runtime.errors import FrameError
from tdnet_runtime.media.scene import render


@dataclass(frozen=True)
class Deviation:
    """Of one frame: errors of the logits over the reference's standard deviation, share of equal labels."""

    cold: bool
    rms: float
    maximum: float
    labels: float

    @property
    def holds(self):
        """Spec §6."""
        return self.rms <= 1e-4 and self.maximum <= (1e-4 if self.cold else 2e-3) and self.labels >= 0.9998


def deviations(stream, frames, reference):
    """One for each frame that `reference` has."""
    paths = stream.network.spec.variant.paths
    result = []
    for index, expected in enumerate(reference["logits_stride8"]):
        logits = stream.push(frames[index])
        delta = logits[:, ::8, ::8].double().numpy() - expected
        spread = expected.astype(np.float64).std()
        result.append(
            Deviation(
                cold=paths == 1 or index < paths - 1,
                rms=float(np.sqrt((delta**2).mean()) / spread),
                maximum=float(np.abs(delta).max() / spread),
                labels=float((logits.argmax(0).numpy() == reference["labels"][index]).mean()),
            )
        )
    return result


def scene(name, count):
    height, width = SMALL_SIZE[name]
    return [render(t, height=height, width=width) for t in range(count)]


@pytest.mark.reference
@pytest.mark.usefixtures("all_threads")
@pytest.mark.reference
@pytest.mark.parametrize("name", NETWORKS)
def test_small_size_is_the_public_codes(name, saved):
    network = load_checkpoint(saved(small_state(name)), size=SMALL_SIZE[name])
    reference = small_reference(name)
    found = deviations(ReferenceStream(network), scene(name, len(reference["labels"])), reference)
    assert len(found) == (1 if name == "psp101" else 11)
    assert all(deviation.holds for deviation in found), found
    assert not network.resampled


@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(name, size, marks=[pytest.mark.slow] * ((name, size) == ("td2-psp50", (256, 512))))
        for name in OTHER_SIZED
        for size in OTHER_SIZES
    ],
    ids=str,
)
def test_other_sizes_are_the_public_codes(name, size, saved):
    """Their LayerNorm maps fit 8×8 sizes each; the one that was trained at is exact, not only 8(h−1)+1."""
    reference = other_size_reference(name, size)
    network = load_checkpoint(saved(small_state(name, size)), size=size)
    assert not network.resampled
    found = deviations(ReferenceStream(network), reference["frames"], reference)
    assert len(found) == 8
    assert all(deviation.holds for deviation in found), found


@pytest.mark.slow
@pytest.mark.full_size
@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize("name", NETWORKS)
def test_full_size_is_the_public_codes(name, saved):
    reference = full_size_reference(name)
    network = load_checkpoint(saved(full_size_state(name)))
    assert network.spec.input_size == FULL_SIZE[name]
    found = deviations(ReferenceStream(network), reference["frames"], reference)
    logging.getLogger(__name__).info("%s: %s", name, found)
    assert all(deviation.holds for deviation in found), found


def test_comparison_sees_another_memory_stride(saved):
    """Of td4-psp18 with stride 3 instead of 4 only the cold frames, which read no memory, still agree."""
    network = load_checkpoint(saved(small_state("td4-psp18")))
    reference = {key: values[:4] for key, values in small_reference("td4-psp18").items()}
    stream = ReferenceStream(network, memory_stride=3)
    found = deviations(stream, scene("td4-psp18", 4), reference)
    assert [deviation.holds for deviation in found] == [True, True, True, False]


@pytest.fixture(params=NETWORKS)
def tiny(request, tiny_checkpoint):
    size = (49, 65) if request.param == "psp101" else None
    return load_checkpoint(tiny_checkpoint(request.param), size=size)


def tiny_frames(network, count, *, start=0):
    height, width = network.spec.input_size
    return [render(t, height=height, width=width) for t in range(start, start + count)]


def test_schedule_and_trace(tiny):
    stream = ReferenceStream(tiny)
    paths = tiny.spec.variant.paths
    assert stream.trace is None
    for index, frame in enumerate(tiny_frames(tiny, 2 * paths + 1)):
        assert stream.frame_index == index
        logits = stream.push(frame)
        assert logits.shape == (5, *tiny.spec.input_size)
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()
        if paths == 1:
            assert stream.trace is None
            continue
        assert (stream.trace.path, stream.trace.cold) == (index % paths + 1, index < paths - 1)
        assert torch.equal(stream.trace.recomposed, stream.trace.features.value) == stream.trace.cold
        h, w = tiny.spec.feature_size
        n = tiny.spec.variant.memory_stride
        assert stream.trace.features.entry.v.shape[2:] == (-(-h // n), -(-w // n))


def test_streams_on_one_network_do_not_mix(tiny):
    before = {key: value.clone() for key, value in tiny.state_dict().items()}
    videos = [tiny_frames(tiny, 6), tiny_frames(tiny, 6, start=40)]
    alone = []
    for video in videos:
        stream = ReferenceStream(tiny)
        alone.append([stream.push(frame) for frame in video])
    first, second = ReferenceStream(tiny), ReferenceStream(tiny)
    second.push(videos[1][0])  # out of step, so that a shared counter would show
    for index in range(5):
        assert torch.equal(first.push(videos[0][index]), alone[0][index])
        assert torch.equal(second.push(videos[1][index + 1]), alone[1][index + 1])
    assert not torch.equal(alone[0][5], alone[1][5])
    after = tiny.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_reset_forgets_everything(tiny):
    frames = tiny_frames(tiny, 5)
    fresh = ReferenceStream(tiny)
    expected = [fresh.push(frame) for frame in frames]
    stream = ReferenceStream(tiny)
    for frame in tiny_frames(tiny, 3, start=40):
        stream.push(frame)
    stream.reset()
    assert (stream.frame_index, stream.trace) == (0, None)
    assert all(
        torch.equal(stream.push(frame), logits) for frame, logits in zip(frames, expected, strict=True)
    )


def test_memory_matters_and_only_that_of_the_last_frames(tiny):
    """The same frame after other frames: another result, unless there is no memory or they are forgotten."""
    paths = tiny.spec.variant.paths
    common = tiny_frames(tiny, paths)

    def last_after(frames):
        stream = ReferenceStream(tiny)
        return [stream.push(frame) for frame in (*frames, *common)][-1]

    one, other = tiny_frames(tiny, paths, start=40), tiny_frames(tiny, paths, start=80)
    assert torch.equal(last_after(one), last_after(other))  # m - 1 common frames are the whole memory
    common = common[-1:]
    assert torch.equal(last_after(one), last_after(other)) == (paths == 1)


def test_results_are_the_callers_and_frames_are_only_read(tiny):
    frame, other = tiny_frames(tiny, 2)
    frame.flags.writeable = False
    stream = ReferenceStream(tiny)
    logits = stream.push(frame)
    kept = logits.clone()
    stream.push(other)
    assert torch.equal(logits, kept)


def test_turned_channels_need_no_copy_by_the_caller(tiny):
    """`cv2.imread(…)[..., ::-1]`: a view with negative strides."""
    frame = tiny_frames(tiny, 1)[0]
    bgr = np.ascontiguousarray(frame[..., ::-1])
    assert torch.equal(ReferenceStream(tiny).push(bgr[..., ::-1]), ReferenceStream(tiny).push(frame))


def test_a_tensor_is_a_frame(tiny):
    """As one that lies on the network's device already."""
    frame = tiny_frames(tiny, 1)[0]
    given = torch.from_numpy(frame)
    assert torch.equal(ReferenceStream(tiny).push(given), ReferenceStream(tiny).push(frame))
    assert torch.equal(given, torch.from_numpy(frame))


@pytest.mark.parametrize(
    ("spoil", "came"),
    [
        (lambda frame: frame[:-1], r"uint8 \[63, 96, 3\]"),
        (lambda frame: frame[:, 1:], r"uint8 \[64, 95, 3\]"),
        (lambda frame: frame[..., :1], r"uint8 \[64, 96, 1\]"),
        (lambda frame: frame[..., 0], r"uint8 \[64, 96\]"),
        (lambda frame: frame[None], r"uint8 \[1, 64, 96, 3\]"),
        (lambda frame: frame.transpose(2, 0, 1), r"uint8 \[3, 64, 96\]"),
        (lambda frame: frame.astype(np.float32) / 255, r"float32 \[64, 96, 3\]"),
        (lambda frame: frame.astype(np.int16), r"int16 \[64, 96, 3\]"),
        (lambda frame: frame.tolist(), "a list"),
        (lambda frame: torch.from_numpy(frame)[1:], r"torch.uint8 \[63, 96, 3\]"),
        (lambda frame: torch.from_numpy(frame) / 255, r"torch.float32 \[64, 96, 3\]"),
        (lambda frame: None, "a NoneType"),
    ],
)
def test_wrong_frames_are_refused_and_change_nothing(spoil, came, tiny_checkpoint):
    network = load_checkpoint(tiny_checkpoint("td2-fa18"))
    good = tiny_frames(network, 3)
    fresh = ReferenceStream(network)
    expected = [fresh.push(frame) for frame in good]
    stream = ReferenceStream(network)
    stream.push(good[0])
    with pytest.raises(FrameError, match=rf"given .*{came}; expected uint8 \[64, 96, 3\], RGB. Resize it"):
        stream.push(spoil(good[1]))
    assert stream.frame_index == 1
    assert torch.equal(stream.push(good[1]), expected[1])


@pytest.mark.parametrize("stride", [0, -4])
def test_memory_stride_must_be_positive(stride, tiny_checkpoint):
    network = load_checkpoint(tiny_checkpoint("td2-fa18"))
    with pytest.raises(ValueError, match=f"memory_stride is {stride}, expected 1 or more"):
        ReferenceStream(network, memory_stride=stride)
