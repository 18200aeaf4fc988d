"""All checks, one after the other."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import tdnet_runtime
from tdnet_runtime.doctor import abilities, fitness, graphics, packages, processor, ros_graph, surroundings
from tdnet_runtime.doctor.findings import Finding, Report, isolated
from tdnet_runtime.doctor.host import Host
from tdnet_runtime.preflight import platform_name

__all__ = ["Examination", "examine"]

Check = tuple[str, Callable[[], Iterable[Finding]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What is asked for besides the machine.

    Attributes:
        bundle: None for none.
        ros: address of a graph whose router is to be reached; None for none.
    """

    bundle: fitness.BundleRequest | None = None
    ros: str | None = None


def examine(asked: Examination, *, host: Host | None = None) -> Report:
    """Look at everything. Takes seconds, and with a bundle as long as that takes to load."""
    host = Host() if host is None else host
    return Report(
        toolkit=tdnet_runtime.__version__,
        python=platform.python_version(),
        platform=platform_name(),
        findings=tuple(_findings(asked, host)),
    )


def _findings(asked: Examination, host: Host) -> Iterator[Finding]:
    checks: list[Check] = [
        (packages.SECTION, lambda: packages.check_packages(host)),
        ("Engines", abilities.check_abilities),
        (graphics.SECTION, lambda: graphics.check_graphics(host)),
        (processor.SECTION, lambda: processor.check_processor(host)),
        (ros_graph.SECTION, lambda: ros_graph.check_ros(host, url=asked.ros)),
        (surroundings.SECTION, lambda: surroundings.check_surroundings(host)),
    ]
    request = asked.bundle
    if request is not None:
        checks.append((fitness.SECTION, lambda: fitness.check_bundle(host, request)))
    for section, check in checks:
        yield from isolated(section, check)
