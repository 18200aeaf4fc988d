import threading

import msgspec
import numpy as np
import pytest
from tests.runtime.live.conftest import Clock, frame, picture
from tests.runtime.test_stream import hand_made

from tdnet_runtime.backends.fake import FakeBackend
from tdnet_runtime.errors import BackendError, FrameError, OptionError
from tdnet_runtime.live.deadline import Deadline
from tdnet_runtime.live.events import EventLog
from tdnet_runtime.live.gap import GapPolicy
from tdnet_runtime.live.lane import Arrears, Lane, Waiting
from tdnet_runtime.live.policy import every, every_kth, fixed_rate, newest
from tdnet_runtime.live.runner import StreamRunner
from tdnet_runtime.stream import Stream

MS = 1_000_000
HOLDS = Deadline(ms=20, degrade=("hold",), hold_ms=400)


class Timed:
    """An engine each of whose inferences takes `ms` of the clock."""

    def __init__(self, gate, clock):
        self.gate, self.clock, self.ms, self.manifest = gate, clock, 10, gate.manifest
        self.resets = 0
        self.pushed = []

    def stream(self):
        self.inner = self.gate.stream()
        return self

    def push(self, image, **how):
        self.clock.pass_ms(self.ms)
        self.pushed.append(how.get("attention", True))
        return self.inner.push(image, **how)

    def reset(self):
        self.resets += 1
        self.inner.reset()

    def close(self):
        self.inner.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def engine(gate, clock):
    return Timed(gate, clock)


@pytest.fixture
def runner_of(engine, clock):
    runners = []

    def make(*, engine=engine, gap=None, deadline=None, **options):
        events = EventLog(clock=clock)
        runners.append(
            StreamRunner(
                "front",
                engine,
                gap=gap or GapPolicy(),
                deadline=deadline,
                events=events,
                clock=clock,
                **options,
            )
        )
        runners[-1].told = lambda: [event.kind for event in events.recent()]
        return runners[-1]

    yield make
    for runner in runners:
        runner.close()


@pytest.fixture
def item(clock):
    """item(index): a frame that arrived `waited_ms` ago; frames come 33 ms apart."""

    def make(index, *, live=True, waited_ms=4, dropped=0, lost=0, cold="", hold=False, **options):
        arrival_ns = clock() - waited_ms * MS
        return Waiting(
            frame(index, **options), arrival_ns, None, live, Arrears(dropped, lost, cold), hold=hold
        )

    return make


def run(runner, items):
    return [runner.run(each) for each in items]


def test_what_a_result_says(runner_of, item):
    runner = runner_of()
    first, second = run(runner, [item(0, cold="start"), item(1, dropped=2)])
    assert (first.source, first.path, first.cold, first.frame_index, first.cold_start) == (
        "front",
        1,
        True,
        0,
        "start",
    )
    assert (second.path, second.cold, second.frame_index, second.cold_start) == (2, False, 1, "")
    assert (first.memory_age_ms, second.memory_age_ms) == ((), (33.0,))
    assert (first.dropped, second.dropped, second.stamp_ns) == (0, 2, 33 * MS)
    assert first.stage_ms == {"wait": 4.0, "infer": 10.0}
    assert (first.latency_ms, first.late, first.mode, first.confidence) == (14.0, False, "full", None)
    assert not first.labels.flags.writeable


def test_the_labels_are_those_of_a_plain_stream(runner_of, item, fresh):
    results = run(runner_of(), (item(i) for i in range(7)))
    for result, labels in zip(results, fresh([picture(i) for i in range(7)]), strict=True):
        assert np.array_equal(result.labels, labels)


def test_after_a_gap_it_is_as_a_fresh_stream(runner_of, item, fresh, clock):
    runner = runner_of(gap=GapPolicy(after_ms=500))
    before = run(runner, [item(0), item(1)])
    clock.pass_ms(600)
    after = run(runner, [item(20), item(21)])
    assert [r.cold_start for r in (*before, *after)] == ["start", "", "gap", ""]
    for result, labels in zip(after, fresh([picture(20), picture(21)]), strict=True):
        assert np.array_equal(result.labels, labels)
    assert after[0].memory_age_ms == ()
    assert after[1].memory_age_ms == (33.0,)
    assert dict(runner.starts.counts) == {"start": 1, "gap": 1}


def test_a_gap_goes_by_arrival_in_live_sources_and_by_stamps_in_files(runner_of, item):
    hour_ns = 3_600_000_000_000
    for live, expected in ((True, ""), (False, "gap")):
        runner = runner_of(gap=GapPolicy(after_ms=500))
        run(runner, [item(0, live=live), item(1, live=live)])
        result = runner.run(item(2, live=live, stamp_ns=hour_ns))
        assert result.cold_start == expected
        assert runner.starts.stamp_faults == (1 if live else 0)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("policy", "mode"),
    [
        (newest(), "half_rate"),
        (newest(), "hold"),
        (every(depth=64), "half_rate"),
        (fixed_rate(1.5), "full"),
        (every_kth(3), "full"),
        (every_kth(2), "half_rate"),
    ],
)
def test_what_a_mode_or_policy_leaves_out_is_no_gap(runner_of, clock, live, policy, mode):
    runner = runner_of(gap=GapPolicy(after_ms=500), deadline=HOLDS)
    lock = threading.RLock()
    lane = Lane("front", policy, lock, threading.Condition(lock))
    lane.begin(live=live, cold="start")
    found = []
    start_ns = clock()
    for index in range(60):
        at_ms = index * 200 + (700 if index >= 40 else 0)  # the camera pauses once
        clock.ns = max(start_ns + at_ms * MS, clock())
        if index == 1 and mode != "full":
            lane.set_mode(mode, 1.6)
        lane.offer(frame(index, stamp_ns=at_ms * MS), clock(), 1.0)
        if len(lane):
            found.append(runner.run(lane.take()))
    reasons = [r.cold_start for r in found if r and r.labels_age_ms == 0]
    assert reasons[0] == "start"
    assert 16 <= len(reasons) <= 32
    assert [reason for reason in reasons[1:] if reason] == ["gap"]


def test_a_clock_set_back_is_told_and_ages_go_on(runner_of, item, clock):
    runner = runner_of()
    run(runner, [item(0), item(1)])
    clock.pass_ms(13)  # with 2 inferences of 10
    result = runner.run(item(2, stamp_ns=0))
    assert (result.stamp_ns, result.memory_age_ms) == (0, (33.0,))
    assert (runner.starts.stamp_faults, runner.told()[-1]) == (1, "stamp_fault")


def test_lost_frames_are_a_reason_where_asked(runner_of, item):
    for asked, expected in ((True, "lost"), (False, "")):
        runner = runner_of(gap=GapPolicy(on_lost=asked))
        runner.run(item(0))
        assert runner.run(item(3, dropped=2, lost=2)).cold_start == expected
        assert runner.run(item(5, dropped=1)).cold_start == ""


def test_a_loss_before_a_frame_that_was_held_or_refused_is_not_forgotten(runner_of, item, gate):
    deadline = Deadline(ms=20, degrade=("hold",))
    runner = runner_of(gap=GapPolicy(on_lost=True), deadline=deadline)
    runner.run(item(0))
    runner.run(item(3, hold=True, lost=2, dropped=2))
    assert runner.run(item(4)).cold_start == "lost"
    gate.errors = [FrameError("a bad one")]
    runner.run(item(7, lost=2, dropped=2))
    assert runner.run(item(8)).cold_start == "lost"
    assert runner.run(item(9)).cold_start == ""


def test_a_cut_is_a_reason_where_asked(runner_of, item):
    for asked, expected in ((True, "cut"), (False, "")):
        runner = runner_of(gap=GapPolicy(on_cut=asked))
        runner.run(item(0, image=np.zeros((4, 8, 3), np.uint8)))
        assert runner.run(item(1, image=np.full((4, 8, 3), 250, np.uint8))).cold_start == expected


def test_a_cut_ends_the_holding_of_labels(runner_of, item):
    dark, bright = (np.full((4, 8, 3), value, np.uint8) for value in (0, 250))
    for asked in (True, False):
        runner = runner_of(gap=GapPolicy(on_cut=asked), deadline=HOLDS)
        run(runner, [item(0, image=dark), item(1, image=dark, hold=True)])
        found = run(runner, [item(i, image=bright, hold=True) for i in (2, 3)])
        assert [r.cold_start for r in found] == (["cut", ""] if asked else ["", ""])
        assert [r.mode for r in found] == (["full", "hold"] if asked else ["hold", "hold"])
    runner = runner_of(gap=GapPolicy(on_cut=True), deadline=HOLDS)  # the held one is what a cut is seen by
    run(runner, [item(0, image=dark), item(1, image=dark, hold=True)])
    assert runner.run(item(2, image=bright)).cold_start == "cut"


def test_another_size_and_a_further_sequence_start_cold(runner_of, item):
    pytest.importorskip("cv2")
    runner = runner_of()
    sizes = [(4, 8), (6, 10), (6, 10), (6, 10)]
    results = run(
        runner,
        [item(i, image=picture(i, size), cold="begins" if i == 3 else "") for i, size in enumerate(sizes)],
    )
    assert [r.cold_start for r in results] == ["start", "size", "", "begins"]
    assert [r.labels.shape for r in results] == sizes


def test_stamps_may_begin_anew_after_a_restart(runner_of, item):
    runner = runner_of()
    assert runner.run(item(100, cold="restart")).cold_start == "start"  # there was nothing before
    runner.run(item(101))
    assert runner.run(item(0, cold="restart")).cold_start == "restart"
    assert runner.starts.stamp_faults == 0


def test_a_refused_frame_changes_nothing(runner_of, item, gate, fresh):
    gate.errors = [None, FrameError("a bad one")]
    runner = runner_of()
    results = run(runner, [item(0), item(1, dropped=1), item(2)])
    assert results[1] is None
    assert (results[2].dropped, results[2].cold_start, results[2].frame_index) == (2, "", 1)
    assert np.array_equal(results[2].labels, fresh([picture(0), picture(2)])[1])
    assert (runner.refused, runner.told()[-1]) == (1, "frame_refused")


@pytest.mark.parametrize("error", [BackendError("out of memory"), ZeroDivisionError("a defect")])
def test_a_failure_costs_one_frame_and_the_memory(runner_of, item, gate, engine, fresh, error):
    gate.errors = [None, None, error]
    runner = runner_of()
    results = run(runner, (item(i) for i in range(5)))
    assert results[2] is None
    assert [r.cold_start for r in results[3:]] == ["failure", ""]
    assert (results[3].dropped, runner.failures, engine.resets) == (1, 1, 1)
    for result, labels in zip(results[3:], fresh([picture(3), picture(4)]), strict=True):
        assert np.array_equal(result.labels, labels)
    assert "backend_failed" in runner.told()


def test_failures_in_a_row_get_a_new_stream(runner_of, item, gate):
    gate.errors = [BackendError("gone")] * 7
    runner = runner_of()
    results = run(runner, (item(i) for i in range(8)))
    assert results[:7] == [None] * 7
    assert (results[7].dropped, results[7].cold_start, gate.opened) == (7, "failure", 3)


def test_a_new_stream_that_cannot_be_had_is_one_more_failure(runner_of, item, gate):
    gate.errors = [BackendError("gone")] * 3
    runner = runner_of()
    run(runner, (item(i) for i in range(3)))
    gate.open_errors = [BackendError("no memory")]
    assert run(runner, [item(3)]) == [None]
    assert runner.run(item(4)).dropped == 4


def test_late_results_are_marked_and_delivered_or_skipped(runner_of, item, engine):
    for late, given in (("deliver", True), ("skip", False)):
        runner = runner_of(deadline=Deadline(ms=20, late=late))
        engine.ms = 10
        assert runner.run(item(0)).late is False
        engine.ms = 17
        result = runner.run(item(1))
        assert (result is not None) is given
        engine.ms = 10
        last = runner.run(item(2))
        assert (runner.late, runner.skipped, last.dropped) == (1, int(not given), int(not given))
        if given:
            assert result.late


def test_modes_come_and_go_and_are_seen(runner_of, item, engine, clock):
    asked = []
    runner = runner_of(
        deadline=Deadline(ms=20, degrade=("hold",), misses=2, recovery=3),
        on_mode=lambda mode, hz: asked.append((mode, hz)),
    )
    engine.ms = 50
    results = run(runner, (item(i) for i in range(3)))
    assert [r.mode for r in results] == ["full", "full", "hold"]
    ((mode, hz),) = asked
    assert (mode, hz) == ("hold", pytest.approx(10.0))  # half of 20 a second
    held = runner.run(item(3, hold=True, dropped=1, waited_ms=10))
    assert (held.mode, held.labels_age_ms, held.dropped, held.late) == ("hold", 44.0, 1, False)
    assert held.labels is results[2].labels
    assert (held.stamp_ns, held.frame_index, runner.held) == (99 * MS, 2, 1)
    engine.ms = 5
    results = run(runner, (item(i) for i in range(4, 8)))
    assert [r.mode for r in results] == ["hold"] * 3 + ["full"]
    assert asked[1][0] == "full"
    assert runner.told().count("mode") == 2


def test_each_step_halves_the_rate_and_the_way_back_has_the_same_ones(runner_of, item, engine, clock):
    asked = []
    runner = runner_of(
        deadline=Deadline(ms=20, degrade=("half_rate", "hold"), misses=2, recovery=3),
        on_mode=lambda mode, hz: asked.append((mode, round(hz, 6))),
    )
    engine.ms = 50
    run(runner, (item(i) for i in range(4)))
    engine.ms = 5
    run(runner, (item(i) for i in range(4, 12)))
    first, second = asked[0][1], asked[1][1]
    assert [mode for mode, _ in asked] == ["half_rate", "hold", "half_rate", "full"]
    assert [hz for _, hz in asked] == [first, second, first, 0.0]


@pytest.mark.parametrize("misses", [5, 1])
@pytest.mark.parametrize("outage", ["restart", "failure", "gap", "told by nobody"])
def test_an_outage_is_not_part_of_the_rate(runner_of, item, engine, gate, clock, outage, misses):
    asked = []
    runner = runner_of(
        gap=GapPolicy(after_ms=5000 if outage == "gap" else None),
        deadline=Deadline(ms=50, degrade=("half_rate",), misses=misses),
        on_mode=lambda mode, hz: asked.append(hz),
    )
    for index in range(40):
        clock.pass_ms(23)
        runner.run(item(index))
    clock.pass_ms(600_000)
    gate.errors = [BackendError("gone")] if outage == "failure" else []
    runner.run(item(40, cold="restart" if outage == "restart" else ""))
    engine.ms = 60
    for index in range(41, 41 + misses):
        assert not asked
        runner.run(item(index))
    (hz,) = asked
    assert hz == pytest.approx(1000 / 60 / 2)


def test_a_rate_that_is_not_known_is_that_of_an_inference(runner_of, item, engine):
    asked = []
    runner = runner_of(
        deadline=Deadline(ms=50, degrade=("half_rate",), misses=1),
        on_mode=lambda mode, hz: asked.append(hz),
    )
    engine.ms = 100
    runner.run(item(0))
    assert asked == [pytest.approx(5)]


def test_a_smaller_network_takes_over_and_gives_back(runner_of, item, engine, gate, clock, fresh):
    asked = []
    small = Timed(gate, clock)
    small.ms = 5
    runner = runner_of(
        smaller=small,
        deadline=Deadline(ms=20, degrade=("smaller", "half_rate"), misses=2, recovery=3),
        on_mode=lambda mode, hz: asked.append((mode, hz)),
    )
    engine.ms = 50
    results = run(runner, (item(i) for i in range(5)))
    assert [(r.mode, r.cold_start, r.frame_index, r.late) for r in results] == [
        ("full", "start", 0, True),
        ("full", "", 1, True),
        ("smaller", "network", 0, False),
        ("smaller", "", 1, False),
        ("smaller", "", 2, False),
    ]
    engine.ms = 5
    results += run(runner, (item(i) for i in range(5, 7)))
    assert [(r.mode, r.cold_start) for r in results[5:]] == [("full", "network"), ("full", "")]
    assert asked == [("smaller", 0.0), ("full", 0.0)]
    assert engine.resets == 1
    expected = [
        *fresh([picture(i) for i in (0, 1)]),
        *fresh([picture(i) for i in (2, 3, 4)]),
        *fresh([picture(5)]),
    ]
    assert all(np.array_equal(r.labels, e) for r, e in zip(results, expected, strict=False))


def test_modes_after_the_smaller_network_keep_it(runner_of, item, engine, gate, clock):
    small = Timed(gate, clock)
    small.ms = 30
    runner = runner_of(
        smaller=small, deadline=Deadline(ms=20, degrade=("smaller", "half_rate"), misses=2, recovery=3)
    )
    engine.ms = 50
    results = run(runner, (item(i) for i in range(6)))
    assert [r.mode for r in results] == ["full"] * 2 + ["smaller"] * 2 + ["half_rate"] * 2
    assert [r.frame_index for r in results] == [0, 1, 0, 1, 2, 3]


@pytest.fixture
def alone(tiny_manifest, clock):
    """alone(own=…): an engine of a bundle with graphs for labels without attention, or without them."""

    class Opened:
        def __init__(self, own):
            self.manifest = hand_made(tiny_manifest, 2, own=own)

        def stream(self):
            session = FakeBackend(self.manifest).session()
            return Stream(self.manifest, session, bundle_digest="d" * 64, precision="fp32")

    def make(*, own=True):
        return Timed(Opened(own), clock)

    return make


def test_no_attention_comes_and_goes_without_a_cold_start(runner_of, item, alone):
    asked, engine = [], alone()
    runner = runner_of(
        engine=engine,
        deadline=Deadline(ms=20, degrade=("no_attention", "half_rate"), misses=2, recovery=3),
        on_mode=lambda mode, hz: asked.append((mode, hz > 0)),
    )
    engine.ms = 50
    results = run(runner, (item(i) for i in range(5)))
    engine.ms = 5
    results += run(runner, (item(i) for i in range(5, 12)))
    modes = ["full"] * 2 + ["no_attention"] * 2 + ["half_rate"] * 4 + ["no_attention"] * 3 + ["full"]
    assert [r.mode for r in results] == modes
    assert engine.pushed == [mode == "full" for mode in modes]  # each mode is on top of those before it
    assert [r.cold for r in results] == [True, False] + [True] * 9 + [False]
    assert [r.memory_age_ms for r in results[1:3]] == [(33.0,), ()]
    assert asked == [("no_attention", False), ("half_rate", True), ("no_attention", False), ("full", False)]
    assert [r.frame_index for r in results] == list(range(12))
    assert (engine.resets, dict(runner.starts.counts)) == (0, {"start": 1})
    with engine.gate.stream() as always:
        expected = [always.push(picture(i)).labels for i in range(12)]
    assert np.array_equal(results[-1].labels, expected[-1])  # recomposed from frames that went without
    assert not np.array_equal(results[3].labels, expected[3])


def test_no_attention_goes_on_with_the_smaller_network(runner_of, item, alone):
    big, small, plain = alone(), alone(), alone(own=False)
    deadline = Deadline(ms=20, degrade=("no_attention", "smaller"), misses=2, recovery=3)
    runner = runner_of(engine=big, smaller=small, deadline=deadline)
    big.ms, small.ms = 50, 5
    run(runner, (item(i) for i in range(6)))
    assert (big.pushed, small.pushed) == ([True, True, False, False], [False, False])
    with pytest.raises(OptionError, match=r"^front: the mode 'no_attention': .*--own-labels$"):
        runner_of(engine=plain, smaller=small, deadline=deadline)
    with pytest.raises(OptionError, match=r"'no_attention' of the smaller network: .*--own-labels$"):
        runner_of(engine=big, smaller=plain, deadline=deadline)
    # The first network never goes without attention here.
    deadline = Deadline(ms=20, degrade=("smaller", "no_attention"))
    runner_of(engine=plain, smaller=small, deadline=deadline)


def test_the_smaller_network_must_be_there_and_have_the_same_classes(runner_of, gate, segmenter):
    deadline = Deadline(ms=20, degrade=("smaller",))
    with pytest.raises(OptionError, match="front: the mode 'smaller' needs a second segmenter"):
        runner_of(deadline=deadline)
    other = Timed(gate, None)
    other.manifest = msgspec.structs.replace(
        gate.manifest, classes=tuple(reversed(gate.manifest.classes)), members=gate.manifest.members
    )
    with pytest.raises(OptionError, match="the smaller network has other classes"):
        runner_of(deadline=deadline, smaller=other)
    gate.open_errors = [None, BackendError("no memory")]
    runner = runner_of(deadline=deadline, smaller=Timed(gate, None))
    with pytest.raises(BackendError, match="no memory"):
        runner.open()
    runner.close()
    assert all(stream.state.value == "closed" for stream in segmenter._streams)


def test_nothing_is_held_across_a_restart_or_before_there_is_something(runner_of, item):
    runner = runner_of(deadline=Deadline(ms=20, degrade=("hold",)))
    assert runner.run(item(0, live=False, hold=True)).labels_age_ms == 0
    assert runner.run(item(1, live=False, hold=True)).labels_age_ms == 33
    assert runner.run(item(2, hold=True, cold="restart")).cold_start == "restart"
    pytest.importorskip("cv2")
    assert runner.run(item(3, hold=True, image=picture(3, (6, 10)))).labels.shape == (6, 10)


def test_no_labels_are_held_while_the_engine_fails(runner_of, item, gate, clock):
    runner = runner_of(deadline=HOLDS)
    run(runner, [item(0), item(1)])
    gate.errors = [BackendError("the server cannot be reached")] * 5
    assert run(runner, [item(2), *(item(i, hold=True) for i in range(3, 7))]) == [None] * 5
    found = runner.run(item(7, hold=True))  # the engine is back
    assert (found.cold_start, found.labels_age_ms, found.dropped) == ("failure", 0, 5)
    assert runner.run(item(8, hold=True)).labels is found.labels


def test_labels_are_held_until_they_are_too_old(runner_of, item, clock):
    runner = runner_of(deadline=HOLDS)
    runner.run(item(0, waited_ms=0))
    clock.pass_ms(390)  # and 10 of the inference
    assert runner.run(item(1, hold=True, waited_ms=0)).labels_age_ms == 400
    clock.pass_ms(1)
    assert runner.run(item(2, hold=True, waited_ms=0)) is None
    assert (runner.results, runner.held, runner.labels.outdated) == (2, 1, 1)
    assert runner.run(item(3)).dropped == 1


def test_labels_of_a_file_whose_stamps_stand_still_age_too(runner_of, item, clock):
    runner = runner_of(deadline=HOLDS)
    runner.run(item(0, live=False, waited_ms=0))
    clock.pass_ms(290)  # and 10 of the inference
    assert runner.run(item(1, live=False, hold=True, waited_ms=0, stamp_ns=0)).labels_age_ms == 300
    clock.pass_ms(101)
    assert runner.run(item(2, live=False, hold=True, waited_ms=0, stamp_ns=0)) is None


def test_nothing_is_held_across_a_restart_whose_first_frame_is_refused(runner_of, item, gate):
    runner = runner_of(deadline=HOLDS)
    run(runner, [item(0), item(1)])
    gate.errors = [FrameError("a bad one")]
    assert runner.run(item(2, cold="restart")) is None
    assert runner.run(item(3, hold=True)).cold_start == "restart"


def test_the_memory_behind_held_labels_ages_with_them(runner_of, item, clock):
    runner = runner_of(deadline=HOLDS)
    run(runner, [item(0), item(1, waited_ms=0)])
    clock.pass_ms(80)  # and 20 of two inferences
    held = runner.run(item(4, hold=True, waited_ms=0))
    assert (held.labels_age_ms, held.memory_age_ms) == (100, (133,))


def test_rate(runner_of, item, clock):
    runner = runner_of()
    assert runner.rates.fps(clock()) == 0
    for index in range(5):
        clock.pass_ms(90)
        runner.run(item(index))
    assert runner.rates.fps(clock()) == pytest.approx(10)
    clock.pass_ms(400)
    assert runner.rates.fps(clock()) == pytest.approx(5)


def test_frames_in_bursts_are_no_pauses(runner_of, item, clock):
    runner = runner_of()
    for index in range(30):
        clock.pass_ms(270 if index % 10 == 0 else 0)
        runner.run(item(index))
    assert runner.rates.fps(clock()) == pytest.approx(29 / (2 * 0.27 + 29 * 0.01))
