"""What each figure of a report means, in one sentence each. Documents carry a copy."""

from __future__ import annotations

from tdnet_bench.records.config import CAMERA_TO_MASK, DEVICE_COMPUTE, HOST_CALL
from tdnet_bench.statistics.latency import P99_MIN_SAMPLES
from tdnet_bench.statistics.ratios import CONFIDENCE, RESAMPLES

__all__ = ["DEFINITIONS"]

DEFINITIONS = {
    DEVICE_COMPUTE: "the device's own time from its first kernel of a frame to its last, as the backend "
    "reports it; none on a CPU",
    HOST_CALL: "from handing a frame of the network's size in to usable labels of that size, on the host's clock",
    CAMERA_TO_MASK: "from the file's bytes to usable labels of the frame's own size: decode, resize, host "
    "call, resize back",
    "back to back": "every side gets a frame before any side gets the next one, in turns, with a pause "
    "before each call",
    "warm": "all frames but the first and the cold ones, which are listed by themselves; no other frame is "
    "left out and no time is clipped",
    "percentiles": f"interpolated linearly; p99 from {P99_MIN_SAMPLES} frames on",
    "ripple": "p50 of the slowest path less p50 of the fastest",
    "drift": "p50 of the last window of warm frames over p50 of the first, less 1; a window is the most whole "
    "rounds of all paths that fit into a quarter of the frames",
    "paced": "frames of the network's size arrive at a fixed rate, one is in flight, and a loop that falls "
    "behind takes the newest",
    "missed": "labels usable only after the next frame's arrival",
    "dropped": "frames that arrived and were never processed, since a newer one was there",
    "latency": "of a paced frame: from its arrival to usable labels, waiting included",
    "jitter": "standard deviation of the gaps between consecutive labels of a paced stream",
    "ratio": "median over the frames of the subject's host call over the peer's on the same frame, with a "
    f"{CONFIDENCE:.0%} percentile bootstrap interval ({RESAMPLES} resamples of the frames, as pairs); it covers "
    "this run's frames, not what changes from run to run",
    "agreement": "share of the pixels with the reference's label, mean over all frames",
    "features off": "the value features V of a side's sub-networks against those of the bundle's FP32 graphs on the "
    "same frames, ‖difference‖ over ‖FP32 − its mean‖; the worst of the paths, each with one frame",
    "mIoU": "intersection over union against the label images, counted over all labelled frames, mean over the "
    "classes that occur; pixels whose label is no class (255, for one) are left out",
    "temporal consistency": "mIoU of a frame's labels with the labels of the frame before, moved along the "
    "optical flow (mTC of Varghese et al., CVPR workshops 2020; here with OpenCV's DIS flow between the two "
    "frames, the same for all sides, and without pixels that come from outside the picture), mean over frames; "
    "steady labels score high, right or wrong",
}
