"""The parts of a run that are timed: back to back, camera to mask, and paced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tdnet_bench.inputs.footage import FileFootage, SceneFootage
from tdnet_bench.loops.back_to_back import PAUSE_MS, Judging, WarmUp, measure, warm_up
from tdnet_bench.loops.camera import measure_camera
from tdnet_bench.loops.lineup import AnySide
from tdnet_bench.loops.paced import measure_paced
from tdnet_bench.loops.schedule import Schedule
from tdnet_bench.machine.environment import OtherLoad
from tdnet_bench.machine.gpus import Gpu, gpus_now
from tdnet_bench.roofline.ceilings import BUDGET_S
from tdnet_bench.sides.bundle_side import BundleSide
from tdnet_bench.sides.side import Array, Phase, Write
from tdnet_runtime.errors import MediaError

__all__ = ["DEFAULT_PACE", "Measured", "Pace", "Parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How patiently a run measures; anything but `DEFAULT_PACE` is for tests."""

    pause_ms: float = PAUSE_MS
    warm_up: Callable[..., WarmUp] = warm_up
    ceilings_s: float = BUDGET_S


DEFAULT_PACE = Pace()


class Measured(NamedTuple):
    """What the records do not say: back-to-back frames, the GPUs right after them, and how busy others kept the cores."""

    frames: int
    gpus: tuple[Gpu, ...]
    other_busy_cores: float
    usable_cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is measured, on what: `warm_frames` in each part, after the lead-in, and paced ones at each rate of `fps`."""

    footage: FileFootage | SceneFootage
    schedule: Schedule
    warm_frames: int
    fps: tuple[float, ...]
    pace: Pace
    phase: Phase

    @property
    def count(self) -> int:
        """Frames of each part, the lead-in included."""
        return self.schedule.lead_in_frames + self.warm_frames

    def images(self) -> list[Array]:
        """Frames for warming up and for the paced parts, held in memory; renders the scene.

        Raises:
            MediaError: the input is unreadable, or has not one warm frame.
        """
        if isinstance(self.footage, SceneFootage):
            with self.phase("rendering the scene", self.footage.scenes) as tick:
                self.footage.render(tick=tick)
        frames = list(self.footage.frames(self.schedule.warm_up_frames))
        lead_in = self.schedule.lead_in_frames
        if all(frame.place < lead_in for frame in frames):  # warm_up_frames is enough to tell
            raise MediaError(
                f"--input has {frames[-1].place + 1} frames in a row; at least {lead_in + 1} are needed, since the "
                f"first {lead_in} are kept apart: {self.footage.description}"
            )
        return [frame.image for frame in frames]

    def measure(
        self, sides: Sequence[AnySide], images: Sequence[Array], *, judge: Judging, write: Write
    ) -> Measured:
        """Measure all parts; sides are warm, the subject first. See `images`, and `back_to_back.measure` for the rest."""
        load = OtherLoad()
        with self.phase("back to back", self.count) as tick:
            frames = measure(
                sides,
                self.footage.frames(self.count),
                self.schedule,
                write=write,
                judge=judge,
                pause_ms=self.pace.pause_ms,
                tick=tick,
            )
        gpus = gpus_now()
        if isinstance(self.footage, FileFootage):
            with self.phase("camera to mask", self.count) as tick:
                measure_camera(
                    [side for side in sides if isinstance(side, BundleSide) and not side.resident],
                    self.footage.open,
                    self.count,
                    self.schedule,
                    write=write,
                    pause_ms=self.pace.pause_ms,
                    tick=tick,
                )
        for fps in self.fps:
            with self.phase(f"paced, {fps:g} frames/s", self.count) as tick:
                measure_paced(sides[0], images, fps, self.count, self.schedule, write=write, tick=tick)
        return Measured(frames, gpus, load.busy_cores(), load.usable_cores)
