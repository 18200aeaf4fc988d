"""The documents: every Python block of docs/streaming.md runs, and links lead somewhere.

A block that says `# SomeError: text` must raise that error with that text. The other blocks must run
through; what they leave in `masks` is compared with plain loops over fresh streams.
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tdnet_runtime
from tdnet_runtime import BackendError, Segmenter, TdnetError
from tdnet_runtime import stream as stream_module
from tdnet_runtime.media.scene import render
from tdnet_runtime.memory import StreamMemory

ROOT = Path(__file__).parents[1]
STREAMING = ROOT / "docs" / "streaming.md"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *ROOT.glob("docs/**/*.md"),
]
ERROR = re.compile(r"# (\w+Error): (.+)$", re.MULTILINE)
NETWORKS = ("td2-psp50", "td4-psp18")
"""Played by `tdnet50.plan`, in tiny."""


def blocks_of(text: str) -> dict[str, str]:
    """Python blocks by `heading/kind/number in the section`; kind is wrong, right or plain."""
    found: dict[str, str] = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading = section.splitlines()[0]
        for number, match in enumerate(re.finditer(r"^```python\n(.*?)^```", section, re.M | re.S), start=1):
            before = section[: match.start()].rstrip().rpartition("\n```\n")[2]
            kind = re.search(r"\*\*(Wrong|Right)\*\*", before)
            found[f"{heading}/{kind[1].lower() if kind else 'plain'}/{number}"] = match[1]
    return found


BLOCKS = blocks_of(STREAMING.read_text())


def shot(t: int, size_hw: tuple[int, int] = (60, 84)) -> np.ndarray:
    return render(t, height=size_hw[0], width=size_hw[1])


def footage(start: int, count: int, size_hw: tuple[int, int] = (60, 84)) -> list[np.ndarray]:
    return [shot(t, size_hw) for t in range(start, start + count)]


CAMERA = footage(0, 8)
LEFT, RIGHT = footage(20, 6), footage(60, 6)
NUMBERED = [(100 + i, None if i == 3 else frame) for i, frame in enumerate(footage(0, 10))]
ZOOMING = [*footage(0, 4), *footage(4, 4, (44, 62)), *footage(8, 3)]
SHAKY = [CAMERA[0], CAMERA[1], CAMERA[2][..., 0].copy(), *CAMERA[3:8]]
"""The third one is grey."""


def slow_camera() -> Iterator[np.ndarray]:
    for frame in CAMERA:
        time.sleep(0.004)
        yield frame


@pytest.fixture(params=NETWORKS)
def plan(
    request: pytest.FixtureRequest,
    tiny_bundle: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """`tdnet50.plan` in the working directory."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(tiny_bundle(request.param), "tdnet50.plan"))


@pytest.fixture
def fresh(plan: Path) -> Iterator[Callable[[Iterable[np.ndarray]], list[np.ndarray]]]:
    """fresh(frames): the masks of one video, by the plainest loop."""
    with Segmenter.open(plan, threads=1) as segmenter:

        def run(frames: Iterable[np.ndarray]) -> list[np.ndarray]:
            with segmenter.stream() as stream:
                return [stream.push(frame).labels for frame in frames]

        yield run


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    """engine(before): call it with the number of the frame, from 1, whenever the engine is about to run."""
    run = StreamMemory.run
    calls = iter(range(1, 1 << 30))

    def patch(before: Callable[[int], None]) -> None:
        def patched(self: StreamMemory, path: int, **how: bool) -> None:
            before(next(calls))
            run(self, path, **how)

        monkeypatch.setattr(StreamMemory, "run", patched)

    return patch


Execute = Callable[[str], dict[str, Any]]


@pytest.fixture
def execute(plan: Path) -> Execute:
    """execute(name): run a block as written; gives its variables. An error that it states must come."""

    def run(name: str) -> dict[str, Any]:
        published: list[np.ndarray] = []
        given: dict[str, Any] = {
            "camera": iter(CAMERA),
            "morning": LEFT,
            "evening": RIGHT,
            "left_camera": iter(LEFT),
            "right_camera": iter(RIGHT),
            "left_frame": LEFT[0],
            "right_frame": RIGHT[0],
            "numbered_camera": iter(NUMBERED),
            "zooming_camera": iter(ZOOMING),
            "shaky_camera": iter(SHAKY),
            "opencv_camera": (np.ascontiguousarray(frame[..., ::-1]) for frame in CAMERA),
            "publish": published.append,
            "published": published,
            "denoise": lambda frame: (frame // 64) * 64,
        }
        if name.startswith("The newest"):
            given["camera"] = slow_camera()
        code = compile(BLOCKS[name], f"docs/streaming.md: {name}", "exec")
        stated = ERROR.search(BLOCKS[name])
        if stated is None:
            exec(code, given)
        else:
            with pytest.raises(TdnetError, match=re.escape(stated[2])) as caught:
                exec(code, given)
            assert type(caught.value) is getattr(tdnet_runtime, stated[1])
        return given

    return run


def equal(masks: Iterable[np.ndarray], expected: Iterable[np.ndarray]) -> bool:
    """All of them, pixel for pixel."""
    pairs = list(zip(masks, expected, strict=True))
    assert pairs
    return all(np.array_equal(one, other) for one, other in pairs)


Fresh = Callable[[Iterable[np.ndarray]], list[np.ndarray]]


def test_the_right_loop(execute: Execute, fresh: Fresh) -> None:
    assert equal(execute("The right loop/plain/1")["published"], fresh(CAMERA))


def test_between_two_frames(execute: Execute, fresh: Fresh) -> None:
    assert equal(execute("Between two frames/plain/1")["published"], fresh(CAMERA))


def test_the_state_after_each_call(execute: Execute) -> None:
    execute("The state after each call/plain/1")


def test_two_videos(execute: Execute, fresh: Fresh) -> None:
    expected = fresh(LEFT) + fresh(RIGHT)
    wrong = execute("Two videos/wrong/1")["masks"]
    assert equal(wrong[: len(LEFT)], expected[: len(LEFT)])
    assert not np.array_equal(wrong[len(LEFT)], expected[len(LEFT)])
    assert equal(execute("Two videos/right/2")["masks"], expected)


def test_dropped_frames(execute: Execute, fresh: Fresh) -> None:
    arrived = {number: frame for number, frame in NUMBERED if frame is not None}
    expected = fresh(arrived.values())
    wrong, right = execute("Dropped frames/wrong/1")["masks"], execute("Dropped frames/right/2")["masks"]
    assert list(right) == list(arrived)
    assert equal(right.values(), expected)
    after = [index for index, number in enumerate(arrived) if number > 103]
    assert not equal((wrong[list(arrived)[i]] for i in after), (expected[i] for i in after))


def test_two_cameras(execute: Execute, fresh: Fresh) -> None:
    left, right = fresh(LEFT), fresh(RIGHT)
    mixed_left, mixed_right = zip(*execute("Two cameras/wrong/1")["masks"], strict=True)
    assert not equal(mixed_left, left)
    assert not equal(mixed_right, right)
    own_left, own_right = zip(*execute("Two cameras/right/2")["masks"], strict=True)
    assert equal(own_left, left)
    assert equal(own_right, right)


def test_two_threads(execute: Execute, engine: Callable[[Callable[[int], None]], None]) -> None:
    engine(lambda call: time.sleep(0.5))
    execute("Two cameras/wrong/3")


def test_bgr(execute: Execute, fresh: Fresh) -> None:
    expected = fresh(CAMERA)
    assert not any(map(np.array_equal, execute("BGR/wrong/1")["masks"], expected))
    execute("BGR/wrong/2")
    assert equal(execute("BGR/right/3")["masks"], expected)


def test_types_and_ranges(execute: Execute) -> None:
    execute("Types and ranges/wrong/1")
    execute("Types and ranges/wrong/2")


def test_keeping_the_results(execute: Execute, fresh: Fresh) -> None:
    expected = fresh(CAMERA)
    assert equal(execute("Keeping the results/right/1")["masks"], expected)
    wrong = execute("Keeping the results/wrong/2")["masks"]
    assert equal(wrong, [expected[-1]] * len(expected))
    assert not equal(wrong, expected)
    assert equal(execute("Keeping the results/right/3")["masks"], expected)


def test_changes_of_size(execute: Execute, fresh: Fresh) -> None:
    execute("Changes of size/wrong/1")
    expected = fresh(ZOOMING[:4]) + fresh(ZOOMING[4:8]) + fresh(ZOOMING[8:])
    assert equal(execute("Changes of size/right/2")["masks"], expected)


def _unplugged(call: int) -> None:
    """An engine that fails on the fifth frame that it gets."""
    if call == 5:
        raise BackendError("the engine was unplugged")


def test_errors(
    execute: Execute,
    fresh: Fresh,
    engine: Callable[[Callable[[int], None]], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = [SHAKY[i] for i in (0, 1, 3, 4, 5, 6, 7)]
    expected = fresh(good[:4]) + fresh(good[5:])  # the fifth is lost, and the memory with it
    engine(_unplugged)
    assert equal(execute("Errors/right/1")["masks"], expected)
    said = [record.getMessage() for record in caplog.records if record.name == "root"]
    assert [line.partition(":")[0] for line in said] == ["frame skipped", "stream restarted"]
    assert "grey image" in said[0]
    assert "the engine was unplugged (frame 4" in said[1]


def test_going_on_after_the_engine_failed(
    execute: Execute, engine: Callable[[Callable[[int], None]], None]
) -> None:
    engine(_unplugged)
    execute("Errors/wrong/2")


@pytest.fixture
def in_processes(plan: Path, tmp_path: Path) -> Callable[[str], list[np.ndarray]]:
    """in_processes(name): run a block as a script, since it starts processes; gives its masks, or raises what it states."""

    def run(name: str) -> list[np.ndarray]:
        np.savez(tmp_path / "frames.npz", left=np.stack(LEFT), right=np.stack(RIGHT))
        lines = (
            "import numpy",
            "frames = numpy.load('frames.npz')",
            "left_frames, right_frames = list(frames['left']), list(frames['right'])",
            BLOCKS[name],
            "if __name__ == '__main__':",
            "    numpy.save('masks.npy', numpy.stack([mask for found in masks for mask in found]))",
        )
        script = tmp_path / "block.py"
        script.write_text("\n".join(lines))
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", script],  # of fork(), from Python 3.12 on
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        stated = ERROR.search(BLOCKS[name])
        assert (done.returncode != 0) == (stated is not None), done.stderr
        if stated is not None:
            assert f"{stated[1]}: {stated[2]}" in done.stderr
            return []
        return list(np.load(tmp_path / "masks.npy"))

    return run


def test_processes(in_processes: Callable[[str], list[np.ndarray]], fresh: Fresh) -> None:
    in_processes("Processes/wrong/1")
    assert equal(in_processes("Processes/right/2"), fresh(LEFT) + fresh(RIGHT))


def test_confidence(execute: Execute, fresh: Fresh) -> None:
    """The bundle here was exported without."""
    assert equal(execute("Confidence/plain/1")["masks"], fresh(CAMERA))


def test_what_if(execute: Execute, fresh: Fresh) -> None:
    left = execute("What if?/plain/1")
    assert np.array_equal(left["plain"], fresh(CAMERA[:6])[-1])
    assert not np.array_equal(left["filtered"], left["plain"])


def test_the_newest_frame(execute: Execute, engine: Callable[[Callable[[int], None]], None]) -> None:
    """A slow engine takes some of the frames, the last one among them."""
    engine(lambda call: time.sleep(0.02))
    left = execute("The newest frame/plain/1")
    assert 1 <= len(left["latencies_ms"]) < len(CAMERA)
    assert min(left["latencies_ms"]) > 20
    assert np.array_equal(left["frame"], CAMERA[-1])


def test_every_block_has_its_test() -> None:
    executed = re.findall(r'(?:execute|in_processes)\("([^{"]+)"\)', Path(__file__).read_text())
    assert sorted(executed) == sorted(BLOCKS)
    assert STREAMING.read_text().count("```python") == len(BLOCKS)


def test_the_readme_runs(plan: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"camera": iter(CAMERA)})


def test_wrong_blocks_of_one_kind_state_their_error() -> None:
    """Each stated error is one of ours; the others are wrong in silence, which their tests show."""
    stated = {name: ERROR.search(block) for name, block in BLOCKS.items()}
    silent = {name for name, match in stated.items() if match is None and "/wrong/" in name}
    assert silent == {
        "Two videos/wrong/1",
        "Dropped frames/wrong/1",
        "Two cameras/wrong/1",
        "BGR/wrong/1",
        "Keeping the results/wrong/2",
    }
    assert all("/wrong/" in name for name, match in stated.items() if match is not None)


def test_doctests() -> None:
    assert doctest.testmod(stream_module).attempted > 0
    assert doctest.testmod(stream_module).failed == 0


# Links

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)|<img[^>]+src=\"([^\"]+)\"")


def links_of(text: str) -> list[str]:
    """Targets of links and pictures outside code blocks."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [match[1] or match[2] for match in LINK.finditer(prose)]


def anchors_of(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    if not document.exists():
        pytest.skip(f"{document.name} is not there")
    for link in links_of(document.read_text()):
        if re.match(r"[a-z]+:", link):
            continue  # the tests use no network
        target, _, anchor = link.partition("#")
        path = (document.parent / target).resolve() if target else document
        assert path.is_relative_to(ROOT), link
        assert path.exists(), link
        assert not anchor or anchor in anchors_of(path.read_text()), link


def test_links_are_found() -> None:
    text = 'a [b](c.md#d) ![e](f.png "g") <img width="9" src="h.svg">\n```\n[no](code.md)\n```\n'
    assert links_of(text) == ["c.md#d", "f.png", "h.svg"]
    assert anchors_of("## What if?\n# Dropped frames\n") == {"what-if", "dropped-frames"}
