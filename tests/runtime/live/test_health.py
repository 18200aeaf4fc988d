import json
import os
import signal
import urllib.error
import urllib.request

import msgspec
import pytest
from tests.runtime.live.conftest import Clock, Recorder, Script, frame

from tdnet_runtime.errors import MediaError, MissingExtraError, OptionError
from tdnet_runtime.live import LiveHealth, LiveSegmenter
from tdnet_runtime.live.events import EventLog
from tdnet_runtime.live.histogram import BOUNDS_MS, Histogram


def test_health_is_json_and_back(segmenter):
    sources = {"a": Script([frame(0), frame(1), "garbage"])}
    with LiveSegmenter(segmenter, sources, sinks=[Recorder()]) as live:
        before = live.health()
        health = live.run()
    assert before.sources["a"].state == "opening"
    assert before.sources["a"].live is None
    document = msgspec.json.encode(health)
    assert msgspec.json.decode(document, type=LiveHealth) == health
    read = json.loads(document)
    assert read["sources"]["a"]["results"] == 2
    assert read["sources"]["a"]["cold_starts"] == {"start": 1}
    assert read["sources"]["a"]["latency"]["count"] == 2
    assert sum(read["sources"]["a"]["latency"]["counts"]) == 2
    assert read["devices"]["fake:0"]["description"] == "no engine: labels mean nothing"
    assert read["resident_mib"] > 5
    assert read["events"][-1]["kind"] == "frame_refused"


def test_paths_that_are_no_text_are_json_logs_and_metrics_all_the_same(segmenter, metrics, caplog):
    name = os.fsdecode(b"caf\xe9")
    film = Script([frame(0), MediaError(f"'{name}' is cut short")])
    film.description = f"video '{name}'"
    sink = Recorder(f"file '{name}'")
    sink.errors = [MediaError(f"no space for '{name}'")]
    with LiveSegmenter(segmenter, {name: film, "b": Script(["garbage"])}, sinks=[sink]) as live:
        health = live.run()
        with metrics.MetricsServer(live, 0) as server:
            assert 'tdnet_results_total{source="caf\\\\udce9"} 1.0' in scrape(server.port)
    assert r"'caf\udce9' is cut short" in caplog.text
    assert caplog.text.encode()  # as a log file's handler does
    read = json.loads(msgspec.json.encode(health))
    assert msgspec.json.decode(msgspec.json.encode(health), type=LiveHealth) == health
    source, written = read["sources"][r"caf\udce9"], read["sinks"][r"file 'caf\udce9'"]
    assert source["description"] == r"video 'caf\udce9'"
    assert source["error"] == r"'caf\udce9' is cut short"
    assert written["error"] == r"no space for 'caf\udce9'"
    assert {r"'caf\udce9' is cut short"} <= {event["message"] for event in read["events"]}
    assert {r"caf\udce9", r"file 'caf\udce9'"} <= {event["place"] for event in read["events"]}


def test_histogram():
    times = Histogram()
    assert times.share_below(0.99) == 0
    for ms in (0.2, 0.5, 5, 50, 20_000):
        times.add(ms)
    assert (times.counts[0], times.counts[-1], sum(times.counts)) == (2, 1, 5)
    assert [times.share_below(share) for share in (0.2, 0.4, 0.6, 0.8, 1)] == [0.5, 0.5, 6, 66, 20_000]
    assert len(times.counts) == len(BOUNDS_MS) + 1
    few = Histogram()
    few.add(40)
    assert few.share_below(0.5) == 40  # not the bound, 45


def test_events_are_kept_and_logged_once_in_ten_seconds(caplog):
    clock = Clock()
    log = EventLog(clock=clock)
    for _ in range(3):
        log.tell("source_died", "front", "unplugged")
    clock.pass_ms(11_000)
    log.tell("source_died", "front", "unplugged")
    log.tell("source_died", "rear", "unplugged")
    assert [record.message for record in caplog.records] == [
        "front: unplugged",
        "front: unplugged (and 2 times before)",
        "rear: unplugged",
    ]
    assert (len(log.recent()), log.counts()) == (5, {"source_died": 5})
    for _ in range(200):
        log.tell("late", "front", "x")
    assert len(log.recent()) == 100


@pytest.fixture
def metrics():
    pytest.importorskip("prometheus_client")
    from tdnet_runtime.live import metrics

    return metrics


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return answer.read().decode()


def test_metrics(segmenter, metrics):
    sources = {"a": Script([frame(0), frame(4, lost_before=3), "garbage"])}
    with LiveSegmenter(segmenter, sources, sinks=[Recorder()]) as live:
        with metrics.MetricsServer(live, 0) as server:
            assert 'tdnet_results_total{source="a"} 0.0' in scrape(server.port)
            live.run()
            text = scrape(server.port)
        with pytest.raises(urllib.error.URLError):
            scrape(server.port)
    for line in (
        'tdnet_received_total{source="a"} 3.0',
        'tdnet_results_total{source="a"} 2.0',
        'tdnet_dropped_total{source="a",why="lost"} 3.0',
        'tdnet_dropped_total{source="a",why="refused"} 1.0',
        'tdnet_cold_starts_total{source="a",why="start"} 1.0',
        'tdnet_latency_seconds_bucket{le="+Inf",source="a"} 2.0',
        'tdnet_inference_seconds_count{source="a"} 2.0',
        'tdnet_source_state{mode="full",source="a",state="ended"} 1.0',
        'tdnet_backend_hangs{device="fake:0"} 0.0',
        'tdnet_sink_written_total{sink="recorder"} 2.0',
        'tdnet_status{status="ok"} 1.0',
    ):
        assert line in text


def test_only_this_machine_is_served_unless_asked(segmenter, metrics):
    with LiveSegmenter(segmenter, {"a": Script()}) as live:
        with metrics.MetricsServer(live, 0) as server:
            assert server._server.server_address[0] == "127.0.0.1"
            with pytest.raises(OptionError, match=rf"cannot be served at 127.0.0.1:{server.port}: .*in use"):
                metrics.MetricsServer(live, server.port)
        with pytest.raises(OptionError, match=r"cannot be served at 127\.0\.0\.1:70000"):
            metrics.MetricsServer(live, 70_000)
        with pytest.raises(
            OptionError, match=r"cannot be served at a\.\.b:0: .*label empty.*another port or host"
        ):
            metrics.MetricsServer(live, 0, host="a..b")


def test_a_forked_child_does_not_wait_for_the_server(segmenter, metrics):
    with LiveSegmenter(segmenter, {"a": Script()}) as live, metrics.MetricsServer(live, 0) as server:
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # ends it where it hangs
            server.close()
            os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
        assert "tdnet_status" in scrape(server.port)


def test_without_the_extra(segmenter, metrics, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    with LiveSegmenter(segmenter, {"a": Script()}) as live:
        for make in (lambda: metrics.MetricsServer(live, 0), lambda: metrics.HealthCollector(live)):
            with pytest.raises(MissingExtraError, match=r"pip install 'tdnet-deploy\[metrics\]'"):
                make()
