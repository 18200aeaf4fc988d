"""Every real file that was collected: what comes of it by the registry, or the words with which it is refused.

What is behind a video's figures (colours, times, overlays) is in `tests/runtime/media/test_robot_files.py`.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.sources.registry import open_source

FOLDER = Path(__file__).parents[3].parent / "shared" / "robot_files"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the robots' files lie beside the project only where they were put"
)


class Runs(NamedTuple):
    """`first_ns` and `last_ns` are the stamps of the first and the last frame."""

    frames: int
    size_hw: tuple[int, int]
    first_ns: int
    last_ns: int
    orientation: str = "as stored"
    facts: tuple = ()


NO_PICTURES = "no topic of it has pictures; topics: "
EXPECTED = {
    "av1_video.mkv": Runs(125, (360, 640), 0, 4_960_000_000),
    "bbb_800x640_768kbps_30fps_avc_2b_firstpts_10_sec.mp4": Runs(
        120, (640, 800), 10_000_000_000, 13_966_666_667
    ),
    "bt601.mov": Runs(30, (428, 640), 0, 967_633_333, facts=tuple({"color_matrix": "BT.601"}.items())),
    "bt709_full_range.mp4": Runs(
        30,
        (720, 1280),
        0,
        966_666_667,
        facts=tuple({"color_matrix": "BT.709", "color_range": "full"}.items()),
    ),
    "cdr_test_0.mcap": f"{NO_PICTURES}'/test_topic' (test_msgs/msg/BasicTypes, 3 messages), '/array_topic'",
    "controlled_data_0.mcap": f"{NO_PICTURES}'/rosout' (rcl_interfaces/msg/Log, 25 messages), '/device/state' (capstan",
    "example-unsorted-chunks.bag": "this is a bag of ROS 1, which is not read; convert it: pip install rosbags, then ",
    "fire2.mp4": Runs(25, (720, 1280), 0, 2_279_844_444, "turn 180"),
    "h265_10bits.mp4": Runs(
        30, (200, 200), 0, 966_666_667, facts=tuple({"pixel_format": "yuv420p10le"}.items())
    ),
    "h265_with_metadata_track.mp4": Runs(
        3, (1920, 1080), 0, 66_711_111, "turn right", tuple({"stream": "2, hevc"}.items())
    ),
    "hlg10-color-test.mp4": Runs(
        9, (1080, 1920), 0, 266_755_556, facts=tuple({"color_transfer": "HLG, not tone-mapped"}.items())
    ),
    "nasa_13013.mp4": Runs(
        390,
        (270, 480),
        0,
        12_979_633_333,
        facts=tuple({"stream": "3, h264, the best of 2 video streams"}.items()),
    ),
    "no_duration.webm": Runs(74, (720, 1280), 0, 4_872_000_000),
    "only_topics.mcap": f"{NO_PICTURES}'/rosout' (rcl_interfaces/msg/Log, 0 messages), '/parameter_events'",
    "rosbag2_test_0.db3": f"{NO_PICTURES}'/rosout' (rcl_interfaces/msg/Log, 0 messages), '/pose' (geometry_msgs/msg/PoseS",
    "sample.avi": Runs(96, (400, 960), 0, 4_045_708_333),
    "sample_12_5fps_720p_1s.mp4": Runs(
        13, (720, 1280), 0, 960_000_000, facts=tuple({"mean_fps": 12.5}.items())
    ),
    "sample_edit_list_only_preroll_sync_sample.mp4": Runs(16, (360, 640), 0, 499_901_693),
    "sample_empty_track.mp4": Runs(30, (720, 1080), 0, 967_622_222),
    "sample_h264_iframes_only.ts": Runs(30, (480, 854), 1_400_000_000, 2_366_666_667),
    "sample_mdat_too_long.mp4": Runs(30, (720, 1080), 0, 967_633_333),
    "sample_partially_fragmented.mp4": Runs(30, (720, 1080), 66_733_333, 1_034_366_667),
    "sample_portrait.mp4": Runs(30, (1080, 720), 0, 967_633_333),
    "sample_rotate_and_reflect.mp4": Runs(30, (1080, 720), 0, 967_633_333, "transpose"),
    "sample_with_htc_rotation_track_name.mkv": Runs(
        30,
        (720, 1080),
        0,
        967_000_000,
        facts=tuple({"mean_fps": 30.0, "mark_not_followed": "title: htc_video_rotA-090"}.items()),
    ),
    "sample_with_increasing_timestamps_320w_240h_5s.mp4": Runs(300, (240, 320), 0, 4_983_333_333),
    "talker.mcap": f"{NO_PICTURES}'/rosout' (rcl_interfaces/msg/Log, 10 messages), '/parameter_events' (rcl_interfaces/ms",
    "trim_optimization_failure.mp4": Runs(167, (488, 518), 0, 5_555_266_667),
    "wbag_0.mcap": f"{NO_PICTURES}'AAA' (std_msgs/msg/String, 174 messages), 'BBB' (std_msgs/msg/String, 145 messages), ",
}


def test_every_file_there_has_its_expectation():
    assert {path.name for path in FOLDER.iterdir() if path.suffix != ".md"} == set(EXPECTED)
    assert len(EXPECTED) == 29


@pytest.mark.parametrize("name", EXPECTED)
def test_it_runs_or_is_refused_in_one_line(name, capfd):
    expected = EXPECTED[name]
    path = FOLDER / name
    if isinstance(expected, str):
        with pytest.raises(MediaError) as caught:
            open_source(path)
        assert expected in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    else:
        with open_source(path) as source:
            assert source.size_hw == expected.size_hw
            stamps = [frame.stamp_ns for frame in source]
            facts = source.facts
            assert (source.damage.skipped, source.damage.used) == (0, 0)
        assert len(stamps) == expected.frames
        assert (stamps[0], stamps[-1]) == (expected.first_ns, expected.last_ns)
        assert stamps == sorted(set(stamps))
        assert facts["orientation"] == expected.orientation
        assert facts.items() >= set(expected.facts)
    assert capfd.readouterr() == ("", "")
