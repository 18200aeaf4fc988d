"""Frames from a robot's log: one topic of an MCAP file or a rosbag2 recording."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.frames import Fact, SourceFrame
from tdnet_runtime.sources.log_file import in_time_order
from tdnet_runtime.sources.log_folder import open_log
from tdnet_runtime.sources.log_pictures import LogPicture, LogPictures
from tdnet_runtime.sources.log_times import LogTimes, MissingFrames
from tdnet_runtime.sources.log_topics import choose_topic
from tdnet_runtime.sources.registry import SourceOptions
from tdnet_runtime.sources.source_url import SourceUrl

__all__ = ["LogSource"]

_HOPELESS = 10  # messages that cannot be used, before the first one that can
_TRACE_BYTES = 256  # of a message, spread over it, by which one that is held twice is known
_HELD_BACK = 64  # more than any decoder holds back


class LogSource(Closeable, ForkBound):
    """The pictures of one topic in the order of recording; see `FrameSource`.

    Stamps are the headers', as long as they increase, else the times of recording. Messages that overlapping parts hold
    twice are given once. A log that was cut short is read as far as it is whole; `facts["warning"]` says so. Where a
    video's packets are missing, the next frame is that of a key frame and `begins` anew.

    Args:
        url: path of an MCAP file, or of a rosbag2 folder or `.db3`; `topic` where several have pictures.
        options: `on_damage` counts.

    Raises:
        MediaError: it cannot be read, the topic is not clear, or it has no picture that can be used.
        MissingExtraError: a package is missing that its compression or encoding needs.
    """

    fork_error = MediaError
    live = False
    fps: Fraction | None = None

    def __init__(self, url: SourceUrl, options: SourceOptions) -> None:
        path = Path(url.rest)
        self.damage = DamageLog(options.on_damage)
        self._name = path.name
        self._stopped = self._began = self._restarts = False
        self._given = self._twice = self._lost = 0
        self._left_out = 0  # since the last frame
        self._unread = 0  # of these, messages that could not be taken apart, since the last one that could
        self._latest = -1  # message of which a frame was given
        self._times = LogTimes()
        self._heads: dict[int, tuple[int, str]] = {}  # stamp and frame of reference, by message
        self._turned: set[str] = set()
        self._pictures = LogPictures(keeps_going=options.on_damage is OnDamage.USE)
        self._files, self._warnings = open_log(path)
        try:
            try:
                topics = [topic for file in self._files for topic in file.topics]
                self._topic = choose_topic(topics, url.params.get("topic"))
            except MediaError as error:
                raise MediaError(f"opening the log: {error}{self._cut_words()}: '{path}'") from None
            self.description = f"topic {self._topic.name!r} of the log '{path}'"
            self.frame_count: int | None = self._topic.count
            frames = self._read()
            first = next(frames, None)
            if first is None:
                why = "there is no picture in it that can be used"
                if self._pictures.is_video and not self.damage.skipped:
                    why = "there is no key frame in it, without which its video cannot be decoded"
                raise self._hopeless(why + self._cut_words())
        except BaseException:
            self.close()
            raise
        self.size_hw: tuple[int, int] = (first.image.shape[0], first.image.shape[1])
        self._frames = itertools.chain([first], frames)

    def stop(self) -> None:
        """See `FrameSource`."""
        self._stopped = True

    def close(self) -> None:
        """Close the files. Safe to call twice; nothing in a forked child, where a decoder's threads are not."""
        if self.stranded:
            return
        for file in self._files:
            file.close()
        self._pictures.close()

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`; what was given once is not given again."""
        self.require_own_process("reading frames")
        for frame in self._frames:
            if self._stopped:
                return
            height, width, _ = frame.image.shape
            if (height, width) != self.size_hw:
                raise MediaError(
                    f"reading the log stopped after {self._given} frames: the next one is {height}x{width}, the first "
                    f"was {self.size_hw[0]}x{self.size_hw[1]} (height x width), and one stream has one size: "
                    f"{self.description}"
                )
            self._given += 1
            yield frame
            self.require_own_process("reading frames")

    @property
    def facts(self) -> dict[str, Fact]:
        """See `FrameSource`; `warning` is what a user should know of."""
        facts: dict[str, Fact] = {
            "reader": ", ".join(dict.fromkeys(file.reader for file in self._files)),
            "orientation": self._turned.copy().pop() if len(self._turned) == 1 else "mixed",
            "topic": self._topic.name,
            "message_type": self._topic.type,
            "encoding": self._pictures.form,
            **self._pictures.facts,
            "stamps": self._times.source,
        }
        told = {
            "parts": len(self._files) if len(self._files) > 1 else 0,
            "messages_held_twice": self._twice,
            "frames_thought_missing": self._lost,
        }
        facts |= {name: value for name, value in told.items() if value}
        warnings = [*self._warnings, *(file.cut for file in self._files if file.cut)]
        warnings += [self._times.warning] if self._times.warning else []
        if warnings:
            facts["warning"] = f"the log '{self._name}': {'; '.join(dict.fromkeys(warnings))}"
        return facts

    def _read(self) -> Iterator[SourceFrame]:
        """All frames, of whatever size."""
        missing = MissingFrames()
        number = -1
        at_this_time: set[tuple[int, bytes]] = (
            set()
        )  # headers' stamps and traces of the messages recorded at one time
        log_time_ns: int | None = None
        for message in in_time_order(
            block for file in self._files for block in file.blocks(self._topic.name)
        ):
            if self._stopped:
                return
            number += 1
            try:
                picture = self._pictures.message(message)
            except MediaError as error:
                self._meet(LogPicture(number, None, damage=str(error)))
                self._unread += 1
                continue
            if message.log_time_ns != log_time_ns:
                at_this_time.clear()
                log_time_ns = message.log_time_ns
            data = message.data or b""
            trace = picture.stamp_ns, data[:: max(1, len(data) // _TRACE_BYTES)]
            if trace in at_this_time:
                self._twice += 1
                number -= 1
                continue
            at_this_time.add(trace)
            stamp_ns = self._times.next(picture.stamp_ns, message.log_time_ns)
            count = missing.before(stamp_ns, message.sequence)
            unheard = max(0, count - self._unread)  # of the others it is known
            self._unread = 0
            self._lost += unheard
            self._left_out += unheard
            self._heads[number] = stamp_ns, picture.frame_id
            self._heads.pop(number - _HELD_BACK, None)
            try:
                pictures = self._pictures.pictures(
                    picture, number, stamp_ns=stamp_ns, missing=count, by_number=missing.by_number
                )
            except MediaError as error:
                raise self._hopeless(str(error)) from None
            yield from self._frames_of(pictures)
        yield from self._frames_of(self._pictures.flush())

    def _frames_of(self, pictures: Iterable[LogPicture]) -> Iterator[SourceFrame]:
        for picture in pictures:
            stamp_ns, frame_id = self._heads.pop(picture.number, (0, ""))
            if picture.waits:
                self._restarts = self._began
            if picture.damage is not None and not self._meet(picture):
                continue
            if picture.rgb is None:
                continue
            if 0 <= picture.number < self._latest:
                raise MediaError(
                    f"reading the log stopped after {self._given} frames: its video holds B-frames, which come in another "
                    "order than that of their stamps, and foxglove.CompressedVideo allows none; encode it without "
                    f"(x264 and x265: bframes=0): {self.description}"
                )
            self._latest = picture.number
            self._turned.add(picture.orientation.words)
            yield SourceFrame(
                image=picture.rgb,
                name=f"{picture.number:06d}",
                stamp_ns=stamp_ns,
                orientation=picture.orientation,
                begins=self._restarts,
                lost_before=self._left_out if self._began else 0,
                frame_id=frame_id,
            )
            self._began = True
            self._restarts = False
            self._left_out = 0

    def _meet(self, picture: LogPicture) -> bool:
        """Count a damaged picture; True where it is to be given."""
        what = f"message {picture.number} of {self._topic.name!r}: {picture.damage}"
        if self.damage.meet(what, usable=picture.rgb is not None):
            return True
        self._left_out += 1
        if not self._began and self.damage.skipped >= _HOPELESS:
            raise self._hopeless(f"its first {_HOPELESS} pictures cannot be used")
        return False

    def _cut_words(self) -> str:
        """What else may be to blame, behind an error."""
        return "".join(
            f"; the log: {told}" for told in [*self._warnings, *(file.cut for file in self._files)] if told
        )

    def _hopeless(self, why: str) -> MediaError:
        examples = f" ({self.damage.examples[0]})" if self.damage.examples else ""
        return MediaError(f"opening the log: {why}{examples}: {self.description}")
