"""Label images, colour images and overlays as sinks of results."""

import dataclasses
import re

import cv2
import numpy as np
import pytest
from tests.runtime.sinks.conftest import CLASSES, make_result

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media.sources import open_source
from tdnet_runtime.sinks.registry import open_sink, schemes, sink_url


def write(spec, network, results):
    with open_sink(spec, network) as sink:
        for result in results:
            sink.write(result)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("form", ["grey", "palette"])
def test_labels(tmp_path, network, form):
    write(f"labels:{tmp_path}/l?form={form}", network, map(make_result, range(3)))
    assert names(tmp_path) == ["l/000000.png", "l/000001.png", "l/000002.png"]
    image = cv2.imread(str(tmp_path / "l" / "000001.png"), cv2.IMREAD_UNCHANGED)
    expected = make_result(1).labels
    if form == "grey":
        np.testing.assert_array_equal(image, expected)
    else:
        np.testing.assert_array_equal(image[..., ::-1], np.array([color for _, color in CLASSES])[expected])


def test_colors(tmp_path, network):
    write(f"colors:{tmp_path}/c", network, [make_result(0)])
    image = cv2.imread(str(tmp_path / "c" / "000000.png"))[..., ::-1]
    assert tuple(image[5, 5]) == CLASSES[0][1]


def test_an_overlay_with_the_frames_own_times(tmp_path, network):
    write(f"{tmp_path}/o.mp4", network, [make_result(i, stamp_ns=[0, 10**8, 4 * 10**8][i]) for i in range(3)])
    with open_source(tmp_path / "o.mp4") as source:
        assert [frame.stamp_ns for frame in source] == [0, 10**8, 4 * 10**8]


def test_a_live_source_names_frames_by_their_stamps(tmp_path, network):
    """Opened again it counts from 0, and must not write over what it wrote."""
    results = [make_result(i % 2, stamp_ns=10**9 + i, live=True) for i in range(4)]
    write(f"labels:{tmp_path}/l", network, results)
    assert names(tmp_path) == [f"l/{10**9 + i:019d}.png" for i in range(4)]


STAMPS = {
    "a driver without a clock": [0, 0, 0, 0],
    "before 1970": [-5, -4, -3, 7],
    "a log in a loop": [10, 20, 30, 10, 20, 30],
    "each twice": [10, 10, 20, 20],
    "a clock that was set back": [50, 10, 60, 60, 11],
}


@pytest.mark.parametrize("stamps", STAMPS.values(), ids=list(STAMPS))
@pytest.mark.parametrize("scheme", ["labels", "colors"])
def test_no_result_of_a_live_source_is_written_over(tmp_path, network, scheme, stamps):
    """Its restarts count frames anew as well; names are the stamps, and those of one stamp sort as they came."""
    results = [
        make_result(i % 2, stamp_ns=stamp, live=True, labels=np.full((24, 32), i % 3, np.uint8))
        for i, stamp in enumerate(stamps)
    ]
    write(f"{scheme}:{tmp_path}/l", network, results)
    made = names(tmp_path / "l")
    assert len(made) == len(stamps)
    order = sorted(range(len(stamps)), key=lambda i: (max(stamps[i], 0), i))
    assert [int(name[:19]) for name in made] == [max(stamps[i], 0) for i in order]
    if scheme == "labels":
        found = [cv2.imread(str(tmp_path / "l" / name), cv2.IMREAD_UNCHANGED)[5, 5] for name in made]
        assert found == [i % 3 for i in order]


def test_a_name_is_not_given_twice_though_its_file_was_moved_away(tmp_path, network):
    """As a program does that sends them on: there, too, one would be written over."""
    with open_sink(f"labels:{tmp_path}/l", network) as sink:
        sink.write(make_result(0, stamp_ns=7, live=True))
        (tmp_path / "l" / f"{7:019d}.png").unlink()
        sink.write(make_result(1, stamp_ns=7, live=True))
    assert names(tmp_path / "l") == [f"{7:019d}_000000001.png"]


def test_a_live_source_that_gives_no_arrivals_is_not_written_over_either(tmp_path, network):
    write(f"labels:{tmp_path}/l", network, [make_result(i % 2) for i in range(4)])
    assert names(tmp_path / "l") == [f"00000{i}{n}.png" for i in (0, 1) for n in ("", f"_00000000{i + 1}")]


def test_two_sources_of_one_file_name(tmp_path, network):
    with open_sink(f"labels:{tmp_path}/{{source}}", network) as sink:
        sink.write(make_result(0, source="a/b"))
        for _ in range(2):
            with pytest.raises(MediaError, match="'a/b' and 'a_b' would both be called 'a_b' there"):
                sink.write(make_result(1, source="a_b"))
        sink.write(make_result(1, source=".."))
    assert names(tmp_path) == ["_/000001.png", "a_b/000000.png"]


@pytest.mark.parametrize("scheme", ["labels", "colors", "overlay"])
def test_two_sources(tmp_path, network, scheme):
    suffix = ".mp4" if scheme == "overlay" else ""
    results = [make_result(i // 2, source=["front", "rear/left"][i % 2]) for i in range(4)]
    with pytest.raises(MediaError, match=re.escape("a second source, 'rear/left', would write to")):
        write(f"{scheme}:{tmp_path}/one{suffix}", network, results)
    write(f"{scheme}:{tmp_path}/two-{{source}}{suffix}", network, results)
    made = names(tmp_path)
    if suffix:
        assert made == ["one.mp4", "two-front.mp4", "two-rear_left.mp4"]
    else:
        assert made[1:] == [
            f"two-{source}/00000{i}.png" for source in ("front", "rear_left") for i in range(2)
        ]


def test_several_sequences(tmp_path, network):
    frame = make_result(0).frame
    result = make_result(0, frame=dataclasses.replace(frame, name="a/0"))
    with pytest.raises(
        MediaError, match="several sequences; use --labels or --colors, which keep them apart"
    ):
        write(f"labels:{tmp_path}/l", network, [result])
    write(f"overlay:{tmp_path}/o.mp4", network, [result])


def test_a_size_that_changes(tmp_path, network):
    results = [make_result(0), make_result(1, size_hw=(40, 60))]
    write(f"labels:{tmp_path}/l", network, results)
    assert len(names(tmp_path)) == 2
    with pytest.raises(MediaError, match="the size of its frames changed, and a video has one"):
        write(f"overlay:{tmp_path}/o.mp4", network, results)
    with open_source(tmp_path / "o.mp4") as source:
        assert len(list(source)) == 1


def test_an_earlier_runs_images_are_refused_or_removed(tmp_path, network):
    write(f"labels:{tmp_path}/l", network, map(make_result, range(3)))
    with pytest.raises(MediaError, match="3 files of an earlier run are in it"):
        open_sink(f"labels:{tmp_path}/l", network)
    write(f"labels:{tmp_path}/l?overwrite=1", network, [make_result(7)])
    assert names(tmp_path) == ["l/000007.png"]


@pytest.mark.parametrize("spec", ["labels:{}?overwrite=1", "labels:{}", "colors:{}?overwrite=1"])
def test_nothing_begins_again_after_the_end(tmp_path, network, spec):
    sink = open_sink(spec.format(tmp_path / "l"), network)
    with sink:
        for index in range(3):
            sink.write(make_result(index))
    for source in ("", "another"):
        with pytest.raises(MediaError, match="it was finished before and takes no more"):
            sink.write(make_result(3, source=source))
    assert len(names(tmp_path / "l")) == 3


def test_an_overlay_that_another_run_writes(tmp_path, network):
    first, second = (open_sink(f"overlay:{tmp_path}/o.mp4", network) for _ in range(2))
    first.write(make_result(0))
    with pytest.raises(MediaError, match="another run is writing it; name another file"):
        second.write(make_result(0))
    second.close()
    first.close()
    with open_source(tmp_path / "o.mp4") as source:
        assert len(list(source)) == 1


def test_a_folder_that_another_run_writes(tmp_path, network):
    first, second = (open_sink(f"labels:{tmp_path}/l", network) for _ in range(2))
    first.write(make_result(0))
    with pytest.raises(MediaError, match=r"another run is writing there|1 files of an earlier run"):
        second.write(make_result(0))
    second.close()
    first.close()


BAD = {
    "labels:": "it names no file; write labels:PATH",
    "labels:x?form=blue": "form is 'blue'; expected grey or palette",
    "labels:x?overwrite=yes": "overwrite is 'yes'; expected 0 or 1",
    "overlay:x.avi": "an overlay is always an MP4 video; end its name in .mp4",
    "x.avi": "no such kind of output; expected colors:, foxglove:, labels:, mcap:, overlay:",
    "http://x/y.mcap": "no such kind of output",
    "labels:a%00b": "%00 is a null character, which no name holds",
    "a.mcap?frames=raw": "the parameter 'frames' is not known here; expected: topic",
    "": "no such kind of output",
}


@pytest.mark.parametrize(("spec", "words"), BAD.items())
def test_outputs_that_cannot_be_meant(tmp_path, monkeypatch, network, spec, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=re.escape(words)):
        open_sink(spec, network)
    assert list(tmp_path.iterdir()) == []


def test_urls_and_what_they_write():
    assert {"colors", "foxglove", "labels", "mcap", "overlay", "rerun", "rerun+serve"} <= set(schemes())
    for spec, scheme, path in (
        ("a.mcap", "mcap", "a.mcap"),
        ("x/a.mcap?topic=/t", "mcap", "x/a.mcap"),
        ("a.RRD", "rerun", "a.RRD"),
        ("labels:out", "labels", "out"),
        ("/data/My%20Robot/a%2Fb.mcap", "mcap", "/data/My%20Robot/a%2Fb.mcap"),
        ("100%.mp4", "overlay", "100%.mp4"),
        ("a%2e.rrd?frames=raw", "rerun", "a%2e.rrd"),
        ("/a#1/what?.d/b+c.mcap", "mcap", "/a#1/what?.d/b+c.mcap"),
        ("run?1.rrd?frames=none", "rerun", "run?1.rrd"),
        ("run:1%20.mcap", "mcap", "run:1%20.mcap"),
        ("mcap:My%20Robot/a.mcap", "mcap", "My Robot/a.mcap"),
        ("rerun:a%20b.rrd", "rerun", "a b.rrd"),
        ("overlay:a%20b.mp4", "overlay", "a b.mp4"),
        ("labels:a%20b", "labels", "a b"),
        ("colors:a%23b", "colors", "a#b"),
        ("foxglove://", "foxglove", "None"),
    ):
        url, file = sink_url(spec)
        assert (url.scheme, str(file)) == (scheme, path)
