"""GPUs: what nvidia-smi, nvpmodel and the files of a Jetson say, and how each of them fails."""

from __future__ import annotations

import pytest

from tdnet_runtime.doctor.findings import State
from tdnet_runtime.doctor.graphics import check_graphics
from tdnet_runtime.doctor.host import Answer

ROW = "NVIDIA H100 80GB HBM3, 580.159.04, 81559, 12, 345, 1980, 700.00, P0\n"
ORIN = {
    "/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "/proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
    "/sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "/sys/class/devfreq/17000000.gpu/cur_freq": "408000000\n",
    "/sys/class/devfreq/17000000.gpu/max_freq": "1300500000\n",
    "/sys/class/devfreq/15340000.vic/cur_freq": "115200000\n",
}


def smi(rows: str = ROW, mask: str = "0x0000000000000001\n", code: int | None = 0, complaint: str = ""):
    def answer(command: list[str]) -> Answer:
        if len(command) == 1:
            return Answer(
                code=0, words="| NVIDIA-SMI 580.159.04   Driver Version: 580.159.04   CUDA Version: 13.0 |"
            )
        if "throttle" in command[1]:
            return Answer(code=0, words=mask)
        return Answer(code=code, words=rows, complaint=complaint)

    return answer


def test_without_a_gpu_nothing_is_broken(host_with, by_name) -> None:
    found = by_name(check_graphics(host_with()))
    assert {finding.state for finding in found.values()} == {State.ABSENT}


def test_two_cards(host_with, by_name) -> None:
    host = host_with(programs={"nvidia-smi": smi(ROW * 2, "0x1\n0x60\n")})
    found = by_name(check_graphics(host))
    assert found["GPU 0"].state is State.OK
    assert found["GPU 0"].text == (
        "NVIDIA H100 80GB HBM3; driver 580.159.04, serves CUDA 13.0; 12 of 81559 MiB used; 345 of 1980 MHz, P0, "
        "limit 700.00 W"
    )
    assert found["GPU 1"].state is State.WARNING
    assert found["GPU 1"].text.endswith("clocks are held down by heat")
    assert found["GPU 1"].facts["held_down_by"] == ["heat"]


@pytest.mark.parametrize("mask", ["", "[N/A]\n", "0x1\n0x60\n", "Not Supported"])
def test_masks_that_are_none(host_with, by_name, mask: str) -> None:
    host = host_with(programs={"nvidia-smi": smi(mask=mask)})
    assert by_name(check_graphics(host))["GPU 0"].state is State.OK


@pytest.mark.parametrize(
    ("answer", "words", "fix"),
    [
        (
            smi("", code=18, complaint="Failed to initialize NVML: Driver/library version mismatch"),
            "Driver/library version mismatch",
            "reboot",
        ),
        (
            smi("", code=9, complaint="couldn't communicate with the NVIDIA driver"),
            "couldn't",
            "nvidia-smi; dmesg",
        ),
        (smi("", code=None, complaint="it said nothing"), "did not end within 10 s", "dmesg"),
        (smi("No devices were found\n", complaint="No devices were found"), "No devices were found", "dmesg"),
    ],
)
def test_a_driver_that_fails_is_broken(host_with, by_name, answer, words: str, fix: str) -> None:
    found = by_name(check_graphics(host_with(programs={"nvidia-smi": answer})))["driver"]
    assert (found.state, words in found.text, fix in found.fix) == (State.BROKEN, True, True), found


def test_a_container_without_its_toolkit(host_with, by_name) -> None:
    files = {
        "/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n"
    }
    found = by_name(check_graphics(host_with(files)))["driver"]
    assert found.state is State.WARNING
    assert "550.54.15 is loaded" in found.text
    assert "--gpus all" in found.fix


@pytest.mark.parametrize(("value", "state"), [("", State.WARNING), ("-1", State.WARNING), ("1", State.NOTE)])
def test_hidden_gpus(host_with, by_name, value: str, state: State) -> None:
    host = host_with(environ={"CUDA_VISIBLE_DEVICES": value}, programs={"nvidia-smi": smi()})
    assert by_name(check_graphics(host))["CUDA_VISIBLE_DEVICES"].state is state


def test_a_jetson(host_with, by_name) -> None:
    programs = {
        "nvpmodel": Answer(code=0, words="NV Power Mode: MODE_30W\n2\n"),
        "tegrastats": Answer(code=None, words="RAM 3532/30592MB GR3D_FREQ 0%@[306,306]\nRAM more\n"),
    }
    found = by_name(check_graphics(host_with(ORIN, programs=programs)))
    assert found["board"].text == "NVIDIA Jetson AGX Orin Developer Kit, L4T 36.4.3"
    assert (found["power mode"].text, found["power mode"].state) == ("MODE_30W", State.NOTE)
    assert found["power mode"].fix.startswith("sudo nvpmodel -p --verbose")  # it tells no mode's number
    assert found["clock of 17000000.gpu"].text.startswith("408 MHz, from 306 to 1300 MHz")
    assert "GR3D_FREQ" in found["tegrastats"].text
    assert len(found) == 4


def test_the_best_power_mode_is_the_boards_own(host_with, by_name) -> None:
    """Of an Orin Nano Super 0 is 15 W."""
    table = (
        "# < POWER_MODEL ID=9 NAME=MAXN >\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
        "< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
    )
    programs = {"nvpmodel": Answer(code=0, words="NV Power Mode: 15W\n0\n")}
    mode = by_name(check_graphics(host_with({**ORIN, "/etc/nvpmodel.conf": table}, programs=programs)))[
        "power mode"
    ]
    assert mode.text == "15W: the board is held below its best"
    assert mode.fix.startswith("sudo nvpmodel -m 2 (")


@pytest.mark.parametrize("revision", ["36 (release), REVISION: 3.0", "35 (release), REVISION: 4.1"])
def test_a_jetson_whose_tensorrt_is_too_old(host_with, by_name, revision: str) -> None:
    board = by_name(check_graphics(host_with({"/etc/nv_tegra_release": f"# R{revision}, GCID: 1"})))["board"]
    assert (board.state, "JetPack 6.1" in board.text) == (State.WARNING, True)


def test_a_jetson_at_its_best_and_one_that_says_nothing(host_with, by_name) -> None:
    files = {**ORIN, "/sys/class/devfreq/17000000.gpu/min_freq": "1300500000"}
    programs = {"nvpmodel": Answer(code=0, words="NV Power Mode: MAXN\n0\n")}
    found = by_name(check_graphics(host_with(files, programs=programs)))
    assert {finding.state for finding in found.values()} == {State.OK}
    odd = by_name(check_graphics(host_with({"/etc/nv_tegra_release": "unreadable"})))
    assert "unknown release" in odd["board"].text
