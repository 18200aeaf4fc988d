"""Examples with a sink: where its thread does not come back, it is not closed."""

import runpy
import sys
from functools import partialmethod
from pathlib import Path

import pytest
from tests.runtime.live.conftest import LIMIT_S, Recorder, Script, eventually, frame, own_threads

from tdnet_runtime.errors import MediaError
from tdnet_runtime.live import LiveSegmenter

EXAMPLES = Path(__file__).parents[2] / "examples"


class Stuck(Recorder):
    """A sink that is at its first result until it is freed."""

    closed = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.closed = True


@pytest.mark.parametrize("stuck", [True, False])
@pytest.mark.parametrize(
    ("name", "arguments"), [("log_replay", ("log", "out")), ("ros2_node", ("camera", "out", "3"))]
)
def test_a_sink_that_is_left_behind_is_not_closed(monkeypatch, tiny_bundle, name, arguments, stuck):
    plan = tiny_bundle("td2-fa18")
    sink, begin = Stuck(), LiveSegmenter.start

    def run(live):
        begin(live)
        assert sink.inside.wait(LIMIT_S)
        raise MediaError("the end")

    monkeypatch.setattr(LiveSegmenter, "run", run)
    if stuck:
        sink.free.clear()
        monkeypatch.setattr(LiveSegmenter, "close", partialmethod(LiveSegmenter.close, 0.05))
    monkeypatch.setattr("tdnet_runtime.sinks.registry.open_sink", lambda spec, network: sink)
    source = Script([frame(0)])
    monkeypatch.setattr("tdnet_runtime.sources.registry.open_source", lambda spec: source)
    monkeypatch.setattr(sys, "argv", [name, str(plan), *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert str(caught.value.code).endswith("the end")
    assert sink.closed is not stuck
    sink.free.set()
    eventually(lambda: not own_threads())
