"""Do a bundle's engines fit this machine? Answered before anything is deserialised.

An engine runs on the exact version of the product that built it, on the platform and, for TensorRT,
on the compute capability of the device that it was built on. What does not fit ends in one
message with both values and the command that builds the engines anew from the bundle's own graphs.
Nothing is rebuilt here.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tdnet_runtime.engine_header import PRODUCTS, parse_engine_header
from tdnet_runtime.errors import BackendError

if TYPE_CHECKING:
    from tdnet_runtime.bundle import Bundle
    from tdnet_runtime.manifest import EngineSpec, Manifest

__all__ = [
    "ENGINE_PRECISIONS",
    "PREFERRED",
    "SIGNED_INT8",
    "DeviceFacts",
    "check_engine",
    "choose_engines",
    "misfits",
    "must_be_asked",
    "platform_name",
    "portability_note",
    "rebuild_command",
    "too_old",
]

PREFERRED = ("fp16", "fp32")
"""Precisions of GPU engines that are used unasked, best first."""

SIGNED_INT8 = "int8_fp16"
"""INT8 for GPU engines: signed steps, and FP16 for the rest. The steps of `int8` graphs are a CPU's."""

ENGINE_PRECISIONS = (*PREFERRED, SIGNED_INT8)
"""All that engines are built in."""

_MOST_DIGITS = 9
_OLDEST_TENSORRT = (10, 3)  # strongly typed networks and memory that the user gives, in all that is used here
# And 12.0 and later: TensorRT-RTX 1.7.1's own words where it refuses an H100.
_RTX_RUNS_ON = ("8.0", "8.6", "8.9")


def must_be_asked(manifest: Manifest) -> str | None:
    """The precision to ask for by name, since nothing in the bundle is run unasked; None where something is."""
    unasked = "fp32" in manifest.precisions or any(spec.precision in PREFERRED for spec in manifest.engines)
    return None if unasked else manifest.precisions[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """What runs the engines here.

    Attributes:
        backend: `tensorrt` or `tensorrt-rtx`.
        product_version: of the installed product, exactly.
        platform: as `platform_name` gives it.
        device_name: for people.
        compute_capability: of the device, `9.0`.
        driver_cuda: the newest CUDA that the driver serves, (13, 0); None where that is not known.
    """

    backend: str
    product_version: str
    platform: str
    device_name: str
    compute_capability: str
    driver_cuda: tuple[int, int] | None = None


def too_old(backend: str, version: str) -> str | None:
    """Why a version of the product cannot be used; None where it can, or says nothing that is understood."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if backend != "tensorrt" or len(numbers) < 2 or numbers >= _OLDEST_TENSORRT:
        return None
    return (
        f"this is TensorRT {version}, which is too old: 10.3 is the first that is served; on a Jetson it comes with "
        "JetPack 6.1 (6.0 has 8.6)"
    )


def platform_name() -> str:
    """Operating system and architecture, `linux-x86_64` or `linux-aarch64`."""
    return f"{sys.platform}-{platform.machine().lower()}"


def rebuild_command(plan: str | os.PathLike[str], backend: str, precision: str | None = None) -> str:
    """The command that builds the engines of `backend` from the bundle's own graphs, for a shell."""
    command = ["tdnet-export", "--rebuild", os.fspath(plan), "--backend", backend]
    return shlex.join([*command, "--precision", precision] if precision else command)


def choose_engines(bundle: Bundle, facts: DeviceFacts, *, precision: str | None) -> EngineSpec:
    """The engines of `bundle` that fit `facts`; of several, the ones made for this device, then the newest.

    Args:
        bundle: open.
        facts: of this machine.
        precision: None for the first of `PREFERRED` in which the bundle has engines of this backend at all: INT8 costs
            accuracy and is taken where it is asked for by name.

    Raises:
        BackendError: there are none in that precision, or none of them fits.
    """
    manifest, product = bundle.manifest, PRODUCTS[facts.backend]
    if precision is not None and precision not in ENGINE_PRECISIONS:
        raise BackendError(
            f"{product} engines in {precision} were asked; there are such in {', '.join(ENGINE_PRECISIONS)} only, since "
            f"int8 graphs are made for CPUs. Ask for {SIGNED_INT8}, or for the backend openvino or onnxruntime"
        )
    sets = [spec for spec in manifest.engines if spec.backend == facts.backend]
    wanted = precision or next((p for p in PREFERRED if any(s.precision == p for s in sets)), None)
    candidates = [spec for spec in sets if spec.precision == wanted]
    if not candidates:
        raise BackendError(_absent(bundle, facts, wanted, sets))
    found = [misfits(spec, facts) for spec in candidates]
    fitting = [spec for spec, reasons in zip(candidates, found, strict=True) if not reasons]
    if fitting:
        made_for_it = [s for s in fitting if facts.compute_capability in s.compute_capabilities]
        return (made_for_it or fitting)[-1]
    nearest = min(found, key=len)
    others = f" (nor do {len(found) - 1} other sets fit)" if len(found) > 1 else ""
    too_old = any(reason.startswith("the driver") for reason in nearest)
    update = "update the driver, or " if too_old else ""
    advice = _device_note(facts) or (
        f"{update}build them here: {rebuild_command(bundle.path, facts.backend, wanted)}"
    )
    raise BackendError(
        f"the bundle's {product} engines in {wanted} do not fit this machine: {'; '.join(nearest)}{others}; {advice}"
    )


def check_engine(
    spec: EngineSpec,
    graph: str,
    data: bytes,
    facts: DeviceFacts,
    *,
    plan: str | os.PathLike[str] = "BUNDLE.plan",
) -> None:
    """Compare an engine's own header with its manifest entry and with this machine, before deserialising.

    Args:
        spec: that `data` belongs to.
        graph: name of the graph, for the message.
        data: the serialised engine, or its first `HEADER_BYTES`.
        facts: of this machine.
        plan: the bundle, for the command in the message.

    Raises:
        BackendError: they differ, or it is no engine.
    """
    remedy = _device_note(facts) or f"build it anew: {rebuild_command(plan, facts.backend, spec.precision)}"
    try:
        header = parse_engine_header(data)
    except BackendError as error:
        raise BackendError(f"graph {graph!r} of {spec.title}: {error}; {remedy}") from error
    for who, backend, version in (
        ("the manifest names", spec.backend, spec.product_version),
        ("here is", facts.backend, facts.product_version),
    ):
        if header.product != backend or not header.built_by(version):
            raise BackendError(
                f"the engine of graph {graph!r} in {spec.title} was built by {header}, {who} "
                f"{PRODUCTS[backend]} {version}; {remedy}"
            )


def portability_note(spec: EngineSpec, facts: DeviceFacts) -> str | None:
    """Why portable engines will hardly run on this device; None where they should.

    Not refused here: the product itself decides when it deserialises, and a later version may know more devices. The
    note belongs to the error message then.
    """
    return None if spec.compute_capabilities else _device_note(facts)


def _device_note(facts: DeviceFacts) -> str | None:
    """What TensorRT-RTX 1.7 is known to say of this device, where that is no; building engines anew is no remedy then."""
    capability = facts.compute_capability
    known = facts.backend == "tensorrt-rtx" and facts.product_version.startswith("1.7.")
    if not known or capability in _RTX_RUNS_ON or _numbers(capability) >= (12, 0):
        return None
    return (
        f"{PRODUCTS[facts.backend]} 1.7 runs on compute capability 8.0, 8.6, 8.9, 12.0 and later, "
        f"{facts.device_name} has {capability}: use the backend tensorrt or cuda"
    )


def misfits(spec: EngineSpec, facts: DeviceFacts) -> list[str]:
    """Each reason why the engines of `spec` are not for this machine, with both values."""
    product, reasons = PRODUCTS[spec.backend], []
    if spec.product_version != facts.product_version:
        reasons.append(
            f"built by {product} {spec.product_version}, here is {product} {facts.product_version}"
        )
    if spec.platform != facts.platform:
        reasons.append(f"built for {spec.platform}, this is {facts.platform}")
    if spec.compute_capabilities and facts.compute_capability not in spec.compute_capabilities:
        reasons.append(
            f"built for compute capability {', '.join(spec.compute_capabilities)}, "
            f"{facts.device_name} has {facts.compute_capability}"
        )
    cuda = spec.options.get("cuda", "")
    if facts.driver_cuda is not None and cuda.isdecimal():
        needs = cuda[:_MOST_DIGITS]  # Python makes no number of thousands of them
        if facts.driver_cuda[0] < int(needs):
            serves = ".".join(map(str, facts.driver_cuda))
            reasons.append(f"the driver serves CUDA {serves}, the engines were built for CUDA {needs}")
    return reasons


def _absent(bundle: Bundle, facts: DeviceFacts, wanted: str | None, sets: list[EngineSpec]) -> str:
    """The message where the bundle has no engines of this backend in the precision `wanted`."""
    product, precisions = PRODUCTS[facts.backend], bundle.manifest.precisions
    has = ", ".join(dict.fromkeys(spec.precision for spec in sets))
    has = f"only in {has}" if has else "none"
    present = [precision for precision in ENGINE_PRECISIONS if precision in precisions]
    best = wanted or (present or PREFERRED)[0]
    if wanted is None and any(spec.precision == SIGNED_INT8 for spec in sets):
        return (
            f"{product} engines were asked, the bundle has {has}, which costs accuracy: ask for it by name "
            f"(precision={SIGNED_INT8!r}, --precision {SIGNED_INT8})"
        )
    if best not in precisions:
        return (
            f"{product} engines in {best} were asked, and the bundle has graphs in {', '.join(precisions)} only; "
            f"export the checkpoint again with --precision {best}{f', or ask for {present[0]}' if present else ''}: "
            f"{str(bundle.path)!r}"
        )
    asked = f" in {wanted}" if wanted else ""
    advice = _device_note(facts) or f"build them: {rebuild_command(bundle.path, facts.backend, best)}"
    return (
        f"{product} engines{asked} were asked, the bundle has {has} ({product} {facts.product_version}, compute "
        f"capability {facts.compute_capability} here); {advice}"
    )


def _numbers(capability: str) -> tuple[int, int]:
    major, _, minor = capability.partition(".")
    return int(major), int(minor or 0)
