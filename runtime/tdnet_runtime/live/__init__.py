"""Live operation: cameras and logs through a network, with what a robot needs around it.

with Segmenter.open("tdnet50.plan") as segmenter, LiveSegmenter(segmenter, {"front": open_camera}) as live:
    for result in live:
        publish(result.labels)  # uint8 [H, W]
"""

from __future__ import annotations

from tdnet_runtime.live.deadline import DEGRADED_MODES, Deadline
from tdnet_runtime.live.events import Event
from tdnet_runtime.live.feed import Feed, Restart
from tdnet_runtime.live.gap import GapPolicy
from tdnet_runtime.live.health import LiveHealth
from tdnet_runtime.live.outlet import Results
from tdnet_runtime.live.policy import Policy, every, every_kth, fixed_rate, newest
from tdnet_runtime.live.result import LiveResult
from tdnet_runtime.live.segmenter import LiveSegmenter
from tdnet_runtime.live.sink_worker import ResultSink, SinkOptions

__all__ = [
    "DEGRADED_MODES",
    "Deadline",
    "Event",
    "Feed",
    "GapPolicy",
    "LiveHealth",
    "LiveResult",
    "LiveSegmenter",
    "Policy",
    "Restart",
    "ResultSink",
    "Results",
    "SinkOptions",
    "every",
    "every_kth",
    "fixed_rate",
    "newest",
]
