"""A training step of `tdnet_train` beside the public code's own, at the zoo network's size.

    python tests/train/public_step.py TDNET [ROUNDS [BATCH [THREADS]]]

TDNET is a checkout of github.com/feinanshan/TDNet. Its td2_fa is made at the zoo's widths (its numbers of channels are
replaced as the module is read) with PyTorch's BatchNorm in the place of its SyncBatchNorm, which needs a GPU. Both sides:
the same clips, OHEM, SGD, attention dropout 0.1, and the teacher's logits given, so that its forward pass is in neither.
One process for each side, a step in turn; medians, and the ratios' median. Memory is a process's peak, imports included
and without them.
"""

from __future__ import annotations

import importlib
import multiprocessing as mp
import re
import resource
import sys
import time
import types
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

SIZE, CLASSES, WIDTH = (360, 480), 11, 0.5
MAPS = [45, 60]
SIDES = ("public", "tdnet-train", "tdnet-train bf16", "tdnet-train, no dropout")


class _Norm(nn.BatchNorm2d):
    """In the place of the public code's SyncBatchNorm, with its activation."""

    def __init__(self, channels: int, activation: str = "none", **_: Any) -> None:
        super().__init__(channels)
        self.leaky = activation == "leaky_relu"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, h, w] → the same."""
        x = super().forward(x)
        return F.leaky_relu(x, 0.01, inplace=True) if self.leaky else x


class _Teacher(nn.Module):
    """In the place of the public teacher: gives the logits that it is given."""

    def __init__(self, logits: list[torch.Tensor]) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Whole, group 1, group 2."""
        return self.logits


class _Public(MetaPathFinder, Loader):
    """Reads the public code's modules at the zoo's widths, without downloads and breakpoints."""

    def __init__(self, root: Path) -> None:
        self._root = root / "Training"

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        path = self._root.joinpath(*name.split("."))
        if not name.startswith("ptsemseg") or not (path.is_dir() or path.with_suffix(".py").exists()):
            return None
        return ModuleSpec(name, self, is_package=path.is_dir())

    def exec_module(self, module: types.ModuleType) -> None:
        path = self._root.joinpath(*module.__name__.split("."))
        if path.is_dir():  # without what the packages import: loaders and models of no use here
            if module.__name__ == "ptsemseg.loss":
                for name in ("OhemCELoss2D", "SegmentationLosses"):
                    setattr(module, name, getattr(importlib.import_module("ptsemseg.loss.loss"), name))
            return
        if module.__name__.endswith(
            "pspnet_2p"
        ):  # asks for packages of the network; its logits are given here
            module.__dict__["pspnet_2p"] = _Teacher
            return
        text = path.with_suffix(".py").read_text()
        text = text.replace("pretrained=True", "pretrained=False").replace("pdb.set_trace()", "pass")
        text = text.replace("[96, 192]", str(MAPS))
        if "td2_fanet" in module.__name__:
            for name in ("FAModule", "Encoding", "Attention", "FPNOutput"):  # enc's keys stay 64 wide
                text = re.sub(rf"= {name}\(([^)]*)\)", lambda match: _halved(match[0]), text)
            text = re.sub(
                r"create_layer\(block,\s*(\d+)", lambda m: f"create_layer(block, {int(m[1]) // 2}", text
            )
            for before in ("Conv2d(3, 64", "norm_layer(64", "self.inplanes = 64"):
                text = text.replace(before, before.replace("64", "32"))
        exec(compile(text, str(path), "exec"), module.__dict__)


def _halved(call: str) -> str:
    keys = call.startswith(("= Encoding", "= Attention"))
    return re.sub(r"\b\d{2,}\b", lambda m: m[0] if keys and m[0] == "64" else str(int(m[0]) // 2), call)


def _clips(batch: int) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(batch, 2, 3, *SIZE, generator=generator)
    labels = torch.randint(0, CLASSES, (batch, *SIZE), generator=generator)
    teacher = [torch.randn(batch, CLASSES, *MAPS, generator=generator) for _ in range(3)]
    return frames, labels, teacher


def _public_step(root: Path, batch: int) -> Callable[[int], None]:
    sys.meta_path.insert(0, _Public(root))
    model_module = importlib.import_module("ptsemseg.models.td2_fanet.td2_fa")
    losses = importlib.import_module("ptsemseg.loss.loss")
    optimizers = importlib.import_module("ptsemseg.optimizers.adaoptimizer")
    frames, labels, logits = _clips(batch)
    loss = losses.OhemCELoss2D(n_min=labels.numel() // 16, thresh=0.7, ignore_index=255)
    network = model_module.td2_fa(
        nclass=CLASSES, backbone="resnet18", norm_layer=_Norm, loss_fn=loss, path_num=2
    )
    optimizer = optimizers.AdaOptimizer(network, 1e-2, 0.9, 1e-4, 1000, 1e-5, 40000, 0.9)
    network.teacher = _Teacher(logits)
    network.train()
    clip = [frames[:, 0].contiguous(), frames[:, 1].contiguous()]

    def step(index: int) -> None:
        optimizer.zero_grad()
        network(clip, labels, pos_id=index % 2).backward()
        optimizer.step()

    return step


def _own_step(batch: int, side: str) -> Callable[[int], None]:
    from tdnet_train.losses.cross_entropy import CrossEntropy
    from tdnet_train.losses.objective import Objective, Weights
    from tdnet_train.networks.building import fresh_network, spec_from_settings
    from tdnet_train.networks.clip_network import ClipNetwork
    from tdnet_train.networks.teacher import TeacherLogits
    from tdnet_train.running.optimizer import build_optimizer
    from tdnet_train.running.precision import Precision
    from tdnet_train.settings import NetworkSettings, OptimizerSettings

    spec = spec_from_settings(NetworkSettings(name="td2-fa18", size=SIZE, width=WIDTH), classes=CLASSES)
    network = ClipNetwork(fresh_network(spec, seed=0), dropout=0.0 if "no dropout" in side else 0.1).train()
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(network, OptimizerSettings(), rate=1e-5)
    objective = Objective(weights=Weights(), cross_entropy=CrossEntropy(threshold=0.7))
    precision = Precision("bf16" if "bf16" in side else "fp32", torch.device("cpu"))
    frames, labels, logits = _clips(batch)

    def step(index: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision.forward():
            teacher = TeacherLogits(logits[0], logits[1 + index % 2])
            terms = objective(network(frames, index % 2 + 1), labels, teacher)
        terms["loss"].backward()
        optimizer.step()

    return step


def _serve(pipe: Any, side: str, root: Path, batch: int, threads: int) -> None:
    torch.set_num_threads(threads)
    idle_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = _public_step(root, batch) if side == "public" else _own_step(batch, side)
    while (index := pipe.recv()) is not None:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        step(index)
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pipe.send((time.perf_counter() - wall_s, time.process_time() - cpu_s, peak_kib, idle_kib))


def main(root: Path, rounds: int = 10, batch: int = 8, threads: int = 2) -> None:
    """Measure and print."""
    context = mp.get_context("spawn")
    pipes, processes = {}, []
    for side in SIDES:
        pipes[side], theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, side, root, batch, threads), daemon=True)
        process.start()
        processes.append(process)
    records: dict[str, list[tuple[float, float, int, int]]] = {side: [] for side in SIDES}
    for index in range(-2, rounds):  # two before those that count: one of each path
        for side in SIDES if index % 2 else SIDES[::-1]:
            pipes[side].send(index)
            record = pipes[side].recv()
            if index >= 0:
                records[side].append(record)
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join()
    write = sys.stdout.write
    write(
        f"td2-fa18, width {WIDTH}, {SIZE[0]}x{SIZE[1]}, batch {batch}, {threads} threads, {rounds} rounds,\n"
    )
    write(
        f"torch {torch.__version__}; medians; faster: median of the rounds' ratios; memory: the process's peak,\n"
    )
    write("and how much of it came after the imports\n")
    heads = ("side", "wall", "faster", "CPU time", "faster", "peak", "share", "own", "share")
    write("".join(f"{head:{'25' if head == 'side' else '>11'}}" for head in heads) + "\n")
    peers = records["public"]
    for side, own in records.items():
        walls = median(peer[0] / mine[0] for peer, mine in zip(peers, own, strict=True))
        cpus = median(peer[1] / mine[1] for peer, mine in zip(peers, own, strict=True))
        peak, added = own[-1][2], own[-1][2] - own[-1][3]
        shares = peak / peers[-1][2], added / (peers[-1][2] - peers[-1][3])
        wall_ms, cpu_ms = (1000 * median(record[place] for record in own) for place in (0, 1))
        write(
            f"{side:25}{wall_ms:8.0f} ms{walls:10.2f}x{cpu_ms:8.0f} ms{cpus:10.2f}x{peak / 1024:7.0f} MiB{shares[0]:11.2f}"
            f"{added / 1024:7.0f} MiB{shares[1]:11.2f}\n"
        )


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 5 or not all(argument.isdigit() for argument in sys.argv[2:]):
        sys.exit("usage: python tests/train/public_step.py TDNET [ROUNDS [BATCH [THREADS]]]")
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
