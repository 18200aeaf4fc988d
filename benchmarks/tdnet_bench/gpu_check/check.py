"""A check from beginning to end: step after step, the document written anew after each."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import msgspec

from tdnet_bench.documents.document import Document
from tdnet_bench.documents.journal import journal_path, read_run
from tdnet_bench.gpu_check.process import DONE, Ended
from tdnet_bench.gpu_check.records import BACKENDS, LIMITS_S, CheckOptions, GpuCheck, StepRun
from tdnet_bench.machine.environment import capture_environment
from tdnet_eval.result_file import write_document, write_result
from tdnet_models.digest import checkpoint_sha256
from tdnet_runtime import Bundle
from tdnet_runtime.errors import BackendError, OptionError, TdnetError
from tdnet_runtime.file_names import utf8_content
from tdnet_runtime.manifest import Manifest

__all__ = ["Checked", "Launch", "check"]

Launch = Callable[[Sequence[str], float], Ended]
"""Runs a command in the source tree's root for so many seconds at most."""

_MIN_LIMIT_S = 5.0  # less is not worth a start
_PROBE_S = 60.0
_FEW = 8  # frames where a CPU has to keep up
_MORE_NAMES = 32  # of frames than are timed: cold ones, and for warming up
_TESTS = ("tests/runtime/gpu/test_real_device.py", "tests/benchmarks/sides/test_real_gpu.py")
_EAGER = ("pytorch:cuda", "pytorch:cuda:fp16")
_ROOT = Path(__file__).resolve().parents[3]
_FIND_GPU = """
from tdnet_bench.gpu_check.install import InstallError, gpu_name
try:
    print(gpu_name())
except InstallError as error:
    raise SystemExit(str(error))
"""
_HAS_VERIFY = (
    "import inspect; from tdnet_export.cli import export; "
    "raise SystemExit('verify' not in inspect.signature(export).parameters)"
)


class Checked(NamedTuple):
    """A check that came to its end: its document, the folder of that, and the runs of `tdnet-bench` by step and bundle."""

    document: GpuCheck
    folder: Path
    runs: dict[str, Document]


class _Bundle(NamedTuple):
    plan: Path
    digest: str
    manifest: Manifest
    ckpt: Path | None


class _Check:
    """The state of one check."""

    def __init__(
        self,
        options: CheckOptions,
        launch: Launch,
        work: Path,
        tell: Callable[[str], None],
        left_s: Callable[[], float],
    ) -> None:
        self.options, self.launch, self.work, self._tell, self._left_s = options, launch, work, tell, left_s
        self.bundles = _bundles(options)
        self.runs: dict[str, Document] = {}
        # backends by file
        self.worked: dict[str, dict[Path, list[str]]] = {name: {} for name in self.bundles}
        self._steps: list[StepRun] = []
        how, _, said = launch(_python(_FIND_GPU), _PROBE_S)
        if how != DONE:
            raise BackendError(f"no GPU can be used here, and nothing was measured: {said or how}")
        self._gpu = said.splitlines()[-1]
        environment = capture_environment()
        commit = options.commit or environment.commit
        self._environment = msgspec.structs.replace(environment, commit=commit)
        slug = re.sub(r"[^a-z0-9]+", "-", self._gpu.lower()).strip("-") or "gpu"
        self.folder = _new_folder(options.out / "gpu" / f"{slug}-{datetime.now(timezone.utc).date()}")
        files = (*(item.plan for item in self.bundles.values()), *(ckpt.resolve() for ckpt in options.ckpts))
        names = {str(path): path.name for path in files}
        names |= {str(work): "WORK", str(_ROOT): "SOURCE", sys.prefix: "PYTHON", str(Path.home()): "HOME"}
        self._names = sorted(names.items(), key=lambda name: -len(name[0]))

    def frames_of(self, name: str) -> Path:
        """Where the pictures of a bundle's size are."""
        size = self.bundles[name].manifest.input
        return self.work / f"frames-{size.height}x{size.width}"

    def bench(
        self,
        step: str,
        name: str,
        backends: Iterable[str],
        peers: Iterable[str],
        *,
        plan: Path | None = None,
        frames: int | None = None,
        labels_only: bool = False,
    ) -> bool:
        """Run `tdnet-bench`; True where there are figures. What one that was cut short had measured is kept."""
        item, images = self.bundles[name], self.frames_of(name)
        path = self.folder / f"{name}-{step.replace(' ', '-')}.json"
        given = [
            ("--engine", plan or item.plan),
            ("--frames", frames or self.options.frames),
            ("--json", path),
        ]
        given += [*(("--backend", b) for b in backends), *(("--peer", p) for p in peers)]
        given += [("--input", images)] if images.is_dir() else []
        if not labels_only:  # a checkpoint brings PyTorch as the reference
            given += [("--streams", 3), *([("--ckpt", item.ckpt)] if item.ckpt is not None else [])]
        words = [str(word) for pair in given for word in pair] + ([] if labels_only else ["--roofline"])
        self.run(step, name, _command("tdnet_bench", words), leaves=path)
        return path.exists()

    def run(self, step: str, name: str | None, command: Sequence[str], *, leaves: Path | None = None) -> bool:
        """Run a step, or note that there is no time for it; True where it ended well."""
        part = step.partition(" ")[0]
        if part in self.options.skip:
            return False
        wanted = self.options.limits_s.get(part, LIMITS_S[part])
        limit_s = min(wanted, self._left_s())
        if limit_s < min(_MIN_LIMIT_S, wanted):
            return self.keep(StepRun(step=step, bundle=name, ended="left out: no time"))
        how, seconds, said = self.launch(command, limit_s)
        if part == "tests" and how == DONE and " passed" not in said:
            how = "no test passed"  # skipped ones prove nothing
        file = None if leaves is None else self._document(leaves, f"{part} {name}")
        told = said if part == "tests" or how != DONE else ""
        for path, short in self._names:
            told = told.replace(path, short) if len(path) > 1 else told  # HOME may be `/`
        times = {"seconds": seconds, "limit_s": round(limit_s, 1)}
        return self.keep(StepRun(step=step, bundle=name, ended=how, said=told or None, file=file, **times))

    def keep(self, run: StepRun) -> bool:
        """Write a step down; True where it ended well."""
        self._steps.append(run)
        self.write(complete=False)
        self._tell(" ".join(filter(None, (run.step, run.bundle, f"{run.ended} after {run.seconds:.0f} s"))))
        return run.ended == DONE

    def write(self, *, complete: bool) -> GpuCheck:
        """The document so far, whole or not at all; raises OptionError."""
        document = GpuCheck(
            complete=complete,
            gpu=self._gpu,
            environment=self._environment,
            bundles={name: item.digest for name, item in self.bundles.items()},
            steps=tuple(self._steps),
        )
        content = utf8_content(msgspec.to_builtins(document))
        data = msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
        write_result(data, self.folder / "check.json", what="the document", option="--out")
        return document

    def _document(self, path: Path, name: str) -> str | None:
        """Name of what a run left, from its journal where it was cut short; None where that is nothing."""
        journal = journal_path(path)
        with suppress(TdnetError):  # not there, or nothing in it
            if not path.exists() and (cut_short := read_run(journal)).records:
                write_document(cut_short, path)
            self.runs[name] = read_run(path)
        with suppress(OSError):
            journal.unlink(missing_ok=True)
        return path.name if path.exists() else None


def check(
    options: CheckOptions,
    *,
    launch: Launch,
    tell: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Checked:
    """Run all steps; what a GPU alone can answer comes first, for all bundles, since the time may run out.

    Raises:
        BackendError: there is no GPU. Nothing was written.
        BundleError: a bundle cannot be trusted.
        CheckpointError: a checkpoint cannot be read.
        OptionError: the document cannot be written, bundles share a name, or a checkpoint belongs to none.
    """
    end = clock() + options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        state = _Check(options, launch, Path(folder).resolve(), tell, lambda: end - clock())
        verifies = launch(_python(_HAS_VERIFY), _PROBE_S).how == DONE
        sizes = {state.frames_of(name): item.manifest.input for name, item in state.bundles.items()}
        for images, size in sizes.items():
            words = (images, size.height, size.width, options.pictures, options.frames + _MORE_NAMES)
            state.run(
                "frames", None, [sys.executable, "-m", "tdnet_bench.gpu_check.frames", *map(str, words)]
            )
        for name in state.bundles:
            for backend in BACKENDS:
                if backend not in options.skip:
                    _on_backend(state, name, backend, verifies=verifies)
        for name in state.bundles:
            _beside(state, name)
        tests = ["-m", "pytest", "-m", "gpu", *_TESTS, "-q", "-p", "no:cacheprovider"]
        state.run("tests", None, [sys.executable, *tests])
        return Checked(state.write(complete=True), state.folder, state.runs)


def _on_backend(state: _Check, name: str, backend: str, *, verifies: bool) -> None:
    """A bundle on a GPU backend, beside eager PyTorch; with engines built here where its own do not run."""
    engines = backend != "cuda"
    peers = (f"{backend}@no-graphs", *([f"{backend}@device"] if engines else []), *_EAGER)
    plan, copy = state.bundles[name].plan, state.work / f"{name}-{backend}.plan"
    worked = state.bench(backend, name, [backend], peers)
    if worked:
        state.worked[name].setdefault(plan, []).append(backend)
    if not engines:
        return
    shutil.copyfile(plan, copy)  # the bundle itself stays as it is
    if not worked and state.run(
        f"rebuild {backend}", name, _command("tdnet_export", ["--rebuild", str(copy), "--backend", backend])
    ):
        worked = state.bench(f"{backend} rebuilt", name, [backend], peers, plan=copy)
        if worked:
            state.worked[name][copy] = [backend]
    if worked and verifies:
        state.run(f"verify {backend}", name, _command("tdnet_export", ["--verify", str(copy)]))


def _beside(state: _Check, name: str) -> None:
    """What is asked once for a bundle: PyTorch alone where no backend worked, compiled PyTorch, the CPU's labels."""
    worked = state.worked[name]
    on_cpu = "onnxruntime:fp32" if "fp32" in state.bundles[name].manifest.precisions else "onnxruntime"
    plan, backends = next(iter(worked.items()), (None, [on_cpu]))
    frames = None if worked else _FEW
    if not worked:
        state.bench("pytorch", name, backends, _EAGER, frames=frames)
    compiled = (_EAGER[1], "torch-compile:cuda:fp16")
    state.bench("compile", name, backends[:1], compiled, plan=plan, frames=frames)
    for plan, backends in worked.items():
        step = "labels" if plan == state.bundles[name].plan else f"labels {backends[0]}"
        state.bench(step, name, backends, [on_cpu], plan=plan, frames=_FEW, labels_only=True)


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _command(package: str, words: Sequence[str]) -> list[str]:
    """A console script of this source tree, which need not be installed."""
    return [*_python(f"from {package} import main; main()"), *words]


def _bundles(options: CheckOptions) -> dict[str, _Bundle]:
    digests = {checkpoint_sha256(ckpt): ckpt.resolve() for ckpt in options.ckpts}
    found: dict[str, _Bundle] = {}
    for plan in options.plans:
        if plan.stem in found:
            raise OptionError(f"two bundles are called {plan.stem!r}; rename one of the files")
        with Bundle.open(plan) as bundle:
            ckpt = digests.get(bundle.manifest.checkpoint_sha256)
            found[plan.stem] = _Bundle(plan.resolve(), bundle.digest, bundle.manifest, ckpt)
    for digest in digests.keys() - {item.manifest.checkpoint_sha256 for item in found.values()}:
        raise OptionError(
            f"--ckpt belongs to none of the bundles: its SHA-256 is {digest[:12]}…; give the one that a bundle was "
            f"exported from: {str(digests[digest])!r}"
        )
    return found


def _new_folder(wanted: Path) -> Path:
    """One that is not there yet: as wanted, or with a number from 2 on."""
    folder, number = wanted, 2
    while folder.exists():
        folder, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OptionError(
            f"--out cannot be written to: {error.strerror or error}: {str(folder)!r}"
        ) from error
    return folder
