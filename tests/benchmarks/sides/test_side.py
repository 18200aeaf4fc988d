from __future__ import annotations

from tdnet_bench.sides.side import STEPS, clocks_of_bundle, clocks_of_pytorch


def test_a_cpu_has_no_copies_to_a_device_and_no_cuda_graph() -> None:
    clocks = clocks_of_bundle(on_device=False, cuda_graph=False, camera=True)
    assert clocks.keys() == {"host call", "camera to mask"}
    assert clocks["host call"].inside == ("copy in", "normalise", "network", "argmax", "copy out")
    assert clocks["host call"].outside == ("decode", "resize", "resize back")
    assert clocks["camera to mask"].outside == ()
    assert clocks_of_pytorch() == {"host call": clocks["host call"]}


def test_a_device_has_a_clock_of_its_own() -> None:
    clocks = clocks_of_bundle(on_device=True, cuda_graph=True, camera=False)
    assert clocks.keys() == {"device compute", "host call"}
    assert clocks["device compute"].inside == ("normalise", "network", "argmax", "CUDA graph")
    assert {"H2D", "D2H"} <= set(clocks["device compute"].outside)
    assert {"H2D", "D2H", "CUDA graph"} <= set(clocks["host call"].inside)


def test_what_lies_in_the_devices_memory_is_copied_there_alone() -> None:
    clocks = clocks_of_bundle(
        on_device=True, cuda_graph=False, camera=False, resident=True, device=("copy on device",)
    )
    assert clocks["host call"].inside == ("copy on device", "normalise", "network", "argmax")
    assert clocks["device compute"] == clocks["host call"]
    assert clocks_of_bundle(on_device=True, cuda_graph=False, camera=False, device=None).keys() == {
        "host call"
    }


def test_pytorch_on_a_device() -> None:
    clocks = clocks_of_pytorch(on_device=True, timed=True)
    assert clocks["device compute"].inside == ("normalise", "network", "argmax")
    assert {"H2D", "D2H"} <= set(clocks["host call"].inside)
    resident = clocks_of_pytorch(on_device=True, resident=True)
    assert resident.keys() == {"host call"}
    assert resident["host call"].inside == ("normalise", "network", "argmax")


def test_no_step_is_forgotten() -> None:
    for on_device, cuda_graph in ((False, False), (True, False), (True, True)):
        found = clocks_of_bundle(on_device=on_device, cuda_graph=cuda_graph, camera=True)
        found |= clocks_of_bundle(on_device=on_device, cuda_graph=cuda_graph, camera=False, resident=True)
        for clock in found.values():
            steps = {step for step in STEPS if on_device or step not in ("H2D", "copy on device", "D2H")}
            assert set(clock.inside).isdisjoint(clock.outside)
            assert set(clock.inside + clock.outside) == steps | ({"CUDA graph"} if on_device else set())
