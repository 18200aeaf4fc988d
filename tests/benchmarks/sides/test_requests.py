from __future__ import annotations

from pathlib import Path

import pytest

from tdnet_bench.sides import requests
from tdnet_bench.sides.requests import Request, parse_request, plan_requests
from tdnet_runtime.errors import OptionError

CKPT = Path("best.pth")


@pytest.fixture(params=[True, False], ids=["torch", "no torch"])
def torch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(requests, "torch_is_installed", lambda: request.param)
    return bool(request.param)


def _names(made: tuple[Request, ...]) -> list[str]:
    return [str(request) for request in made]


def test_a_name_and_a_precision_are_read() -> None:
    assert parse_request("onnxruntime", flag="--backend") == Request("onnxruntime")
    assert parse_request("onnxruntime:fp16", flag="--peer") == Request("onnxruntime", "fp16")
    assert parse_request("torch-compile", flag="--peer").is_pytorch
    assert str(Request("onnxruntime", "fp16")) == "onnxruntime:fp16"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pytorch:cpu", "pytorch"),
        ("pytorch:cpu:fp32", "pytorch"),
        ("pytorch:cuda:fp32", "pytorch:cuda"),
        ("pytorch:cuda:fp16@device", "pytorch:cuda:fp16@device"),
        ("torch-compile:cpu:bf16", "torch-compile:cpu:bf16"),
        ("tensorrt:fp16@no-graphs@device", "tensorrt:fp16@device@no-graphs"),
        ("auto@device", "auto@device"),
    ],
)
def test_one_side_has_one_name(text: str, name: str) -> None:
    made = parse_request(text, flag="--peer")
    assert str(made) == name
    assert parse_request(name, flag="--peer") == made


@pytest.mark.parametrize(
    ("text", "flag", "message"),
    [
        ("warp", "--backend", "--backend knows no backend 'warp'; known are: auto, .*onnxruntime"),
        ("pytorch", "--backend", "--backend knows no backend 'pytorch'"),
        ("warp:fp16", "--peer", "known are: auto, .*pytorch, pytorch-channels-last, torch-compile"),
        ("pytorch:fp16", "--peer", r"expected pytorch alone, or with colons a device \(cpu or cuda\)"),
        ("pytorch:cuda:int8", "--peer", r"a precision \(fp32, fp16, bf16\)"),
        ("pytorch:cuda:", "--peer", "expected pytorch alone"),
        ("pytorch::fp16", "--peer", "expected pytorch alone"),
        ("pytorch:cuda:fp16:x", "--peer", "expected pytorch alone"),
        ("torch-compile:gpu", "--peer", "expected torch-compile alone"),
        ("onnxruntime:fp16:x", "--peer", "expected a backend's name, a colon and a precision"),
        ("onnxruntime@device", "--peer", r"@device .* may follow tensorrt, tensorrt-rtx and PyTorch on cuda"),
        ("cuda@device", "--backend", "may follow tensorrt, tensorrt-rtx and PyTorch on cuda"),
        ("pytorch@device", "--peer", "PyTorch on cuda"),
        ("pytorch:cuda@no-graphs", "--peer", r"@no-graphs .*tensorrt, tensorrt-rtx, cuda"),
        ("tensorrt@", "--peer", "@device"),
        ("tensorrt@host", "--peer", "@device"),
        ("tensorrt@device@device", "--peer", "@device"),
        ("@device", "--peer", "knows no backend"),
        ("onnxruntime:", "--peer", "expected a backend's name, a colon and a precision"),
    ],
)
def test_an_unknown_side_is_refused_with_the_known_ones(text: str, flag: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_request(text, flag=flag)


def test_pytorch_is_the_peer_where_none_is_named_and_it_is_installed(torch: bool) -> None:
    plan = plan_requests(["auto"], [], None)
    assert _names(plan.rivals) == ["auto"]
    assert _names(plan.peers) == (["pytorch"] if torch else [])
    assert plan.left_out == ()  # nobody asked for it


def test_a_checkpoint_asks_for_pytorch(torch: bool) -> None:
    plan = plan_requests(["auto"], ["onnxruntime:fp16"], CKPT)
    if torch:
        assert _names(plan.peers) == ["pytorch", "onnxruntime:fp16"]
        assert plan.left_out == ()
    else:
        assert _names(plan.peers) == ["onnxruntime:fp16"]
        (left,) = plan.left_out
        assert left.what == "pytorch"
        assert left.reason == "PyTorch is not installed; install it with: pip install 'tdnet-deploy[export]'"


def test_eager_pytorch_on_a_gpu_is_reference_enough() -> None:
    for peer in ("pytorch:cuda", "pytorch:cuda@device"):
        assert _names(plan_requests(["auto"], [peer], CKPT).peers) == [peer]
    plan = plan_requests(["auto"], ["pytorch:cuda:fp16", "torch-compile:cuda"], CKPT)
    assert _names(plan.peers) == ["pytorch", "pytorch:cuda:fp16", "torch-compile:cuda"]


def test_named_peers_are_all_there_are(torch: bool) -> None:
    plan = plan_requests(["auto"], ["fake", "torch-compile", "fake"], None)
    assert _names(plan.peers) == (["fake", "torch-compile"] if torch else ["fake"])
    assert [left.what for left in plan.left_out] == ([] if torch else ["torch-compile"])


def test_further_backends_are_rivals_and_not_run_twice() -> None:
    plan = plan_requests(["onnxruntime:fp16", "fake", "fake"], ["fake", "auto"], None)
    assert _names(plan.rivals) == ["onnxruntime:fp16", "fake"]
    assert _names(plan.peers) == ["auto"]


def test_no_peers_is_a_choice(torch: bool) -> None:
    plan = plan_requests(["auto"], ["none"], None)
    assert (plan.peers, plan.left_out) == ((), ())
    for peers, ckpt in ((["none", "fake"], None), (["none"], CKPT)):
        with pytest.raises(OptionError, match="--peer none contradicts"):
            plan_requests(["auto"], peers, ckpt)
