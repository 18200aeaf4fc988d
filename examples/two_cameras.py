"""Two cameras on one network, each with a deadline: the front one degrades when it is missed, the rear one skips.

    python examples/two_cameras.py tdnet50.plan camera:0 camera:1

Each 50 results it says how the two are.
"""

from __future__ import annotations

import logging
import sys

from tdnet_runtime import Segmenter, TdnetError
from tdnet_runtime.live import Deadline, Feed, LiveResult, LiveSegmenter, Restart, fixed_rate
from tdnet_runtime.media.camera_name import camera_from_name
from tdnet_runtime.media.sources import open_source

REPORT_EVERY = 50


def feed(camera: str, **options: object) -> Feed:
    """The camera, waited for where it is absent."""
    live = camera_from_name(camera) is not None or None
    return Feed(open=lambda: open_source(camera), live=live, **options)


def act_on(result: LiveResult) -> None:
    """Where the robot does something with the mask; in a thread of its own, so that it may take its time."""
    if result.late or result.mode != "full":
        logging.info(
            "%s: %s, %.0f ms, labels %.0f ms old",
            result.source,
            result.mode,
            result.latency_ms,
            result.labels_age_ms,
        )


def main(plan: str, front: str, rear: str) -> int:
    """Run until both sources end; gives the exit code."""
    feeds = {
        "front": feed(front, deadline=Deadline(ms=100, degrade=("half_rate", "hold"))),
        "rear": feed(rear, policy=fixed_rate(5), deadline=Deadline(ms=300, late="skip")),
    }
    restart = Restart(first_s=0.5, most_s=10)
    with (
        Segmenter.open(plan) as segmenter,
        LiveSegmenter(
            segmenter,
            feeds,
            restart=restart,
            on_result=act_on,
            on_event=lambda event: logging.debug("%s", event),
        ) as live,
    ):
        try:
            for count, _ in enumerate(live, start=1):
                if count % REPORT_EVERY == 0:
                    report(live)
        except KeyboardInterrupt:
            pass
        report(live)
        return 1 if live.errors else 0


def report(live: LiveSegmenter) -> None:
    """One line for each camera."""
    for name, source in live.health().sources.items():
        sys.stdout.write(
            f"{name}: {source.state}, mode {source.mode}, {source.results} results, {source.fps:.1f} a second, "
            f"p95 {source.latency.p95_ms:.0f} ms, {source.late} late, dropped {source.dropped or 'none'}, "
            f"{source.restarts} restarts\n"
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    if len(sys.argv) != 4:
        sys.exit("usage: python examples/two_cameras.py X.plan FRONT REAR")
    try:
        sys.exit(main(*sys.argv[1:]))
    except TdnetError as error:
        sys.exit(f"{error}")
