"""What only Zenoh has: a router that is absent, goes, and comes back; and its own view of the graph."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from tests.runtime.transports.processes import free_port, running_router

from tdnet_runtime.errors import MediaError
from tdnet_runtime.ros.types import IMAGE, LABEL_INFO
from tdnet_runtime.transports.address import RosAddress

zenoh = pytest.importorskip("zenoh", reason="the extra zenoh is not installed")


def address(port: int) -> RosAddress:
    return RosAddress(rmw="zenoh", domain=3, router=f"tcp/127.0.0.1:{port}")


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_without_a_router_the_way_out_is_said() -> None:
    port = free_port()
    with pytest.raises(
        MediaError, match=rf"no Zenoh router answers at tcp/127.0.0.1:{port} \(.*\); start it \(ros2 run"
    ):
        address(port).open()
    with pytest.raises(MediaError, match=r'no Zenoh router answers at tcp/"'):
        RosAddress(rmw="zenoh", domain=3, router='tcp/"').open()


def test_a_router_that_goes_and_comes_back() -> None:
    """Messages go on, latched ones are there again, and the graph is seen as before."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        with running_router(port):
            robot, ours = (stack.enter_context(address(port).open()) for _ in range(2))
            reader, writer = ours.reader("/camera", IMAGE), robot.writer("/camera", IMAGE)
            latched = robot.writer("/info", LABEL_INFO, latched=True)
            latched.write(b"\0\1\0\0info")
            until(lambda: writer.write(b"\0\1\0\0one") and reader.read(0.1))
        while reader.read(0.2) is not None:
            pass
        for _ in range(3):
            assert writer.write(b"\0\1\0\0lost")  # nobody hears it, nobody waits
        assert reader.read(0.1) is None
        with running_router(port):
            until(
                lambda: (
                    writer.write(b"\0\1\0\0two")
                    and (arrival := reader.read(0.1))
                    and bytes(arrival.data[4:]) == b"two"
                )
            )
            until(lambda: {topic.name for topic in ours.topics()} == {"/camera", "/info"})
            late = ours.reader("/info", LABEL_INFO, latched=True).read(20)
            assert late is not None
            assert bytes(late.data[4:]) == b"info"


def test_the_graph_shows_nodes_publishers_and_subscriptions() -> None:
    """By the liveliness tokens that rmw_zenoh's own nodes read."""
    port = free_port()
    with running_router(port), address(port).open() as ours, address(port).open() as robot:
        ours.writer("/segmentation/mask", IMAGE)
        ours.reader("/camera", IMAGE)
        session = robot._session  # type: ignore[attr-defined]

        def tokens() -> set[tuple[str, ...]]:
            replies = session.liveliness().get("@ros2_lv/3/**", timeout=2.0)
            return {tuple(str(reply.ok.key_expr).split("/")[5:]) for reply in replies}

        image = ("sensor_msgs::msg::dds_::Image_", IMAGE.type_hash)
        publisher = ("MP", "%", "%", "tdnet_run", "%segmentation%mask", *image, "::,5:,:,:,,")
        subscription = ("MS", "%", "%", "tdnet_run", "%camera", *image, "2::,5:,:,:,,")
        until(lambda: {("NN", "%", "%", "tdnet_run"), publisher, subscription} == tokens())
        ours.close()
        until(lambda: {("NN", "%", "%", "tdnet_run")} == tokens())


def test_messages_carry_numbers_and_a_sender() -> None:
    port = free_port()
    with running_router(port), address(port).open() as ours, address(port).open() as robot:
        session = robot._session  # type: ignore[attr-defined]
        with session.declare_subscriber("3/a/*/*", zenoh.handlers.FifoChannel(64)) as plain:
            writer = ours.writer("/a", IMAGE)
            until(lambda: writer.matched)
            for _ in range(3):
                writer.write(b"\0\1\0\0")
            attached = [plain.recv().attachment.to_bytes() for _ in range(3)]
        assert [int.from_bytes(each[:8], "little") for each in attached] == [1, 2, 3]
        assert {len(each) for each in attached} == {33}
        assert len({each[16:] for each in attached}) == 1
        assert attached[0][16] == 16


def test_closing_twice_and_using_what_is_closed() -> None:
    port = free_port()
    with running_router(port):
        node = address(port).open()
        reader, writer = node.reader("/a", IMAGE), node.writer("/a", IMAGE)
        reader.close()
        reader.close()
        node.close()
        node.close()
        with pytest.raises(MediaError, match="publishing /a: "):
            writer.write(b"\0\1\0\0")
        with pytest.raises(MediaError, match="reading /a: "):
            reader.read(0.1)
        with pytest.raises(MediaError, match="listing topics: "):
            node.topics()
