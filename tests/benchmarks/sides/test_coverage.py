from __future__ import annotations

from tdnet_bench.sides.coverage import STEPS, clocks_of_bundle, clocks_of_pytorch


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


def test_no_step_is_forgotten() -> None:
    for on_device, cuda_graph in ((False, False), (True, False), (True, True)):
        for clock in clocks_of_bundle(on_device=on_device, cuda_graph=cuda_graph, camera=True).values():
            steps = {step for step in STEPS if on_device or step not in ("H2D", "D2H")}
            assert set(clock.inside).isdisjoint(clock.outside)
            assert set(clock.inside + clock.outside) == steps | ({"CUDA graph"} if on_device else set())
