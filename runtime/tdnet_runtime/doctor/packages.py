"""Installed packages, as their metadata has them: what each extra lacks, and which wheels do not go together.

Nothing is imported here. What the extras need is read off this project's own metadata: there is no second list of it.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from tdnet_runtime.doctor.findings import Finding, State
from tdnet_runtime.doctor.host import Host

__all__ = ["SECTION", "Installed", "check_packages"]

SECTION = "Packages"
_TOOLKIT = "tdnet-deploy"
_FOR_DEVELOPERS = ("demo", "dev")
_ONE_FOLDER = (
    ("onnxruntime-gpu", ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")),
    (
        "opencv-python-headless",
        (
            "opencv-python",
            "opencv-python-headless",
            "opencv-contrib-python",
            "opencv-contrib-python-headless",
        ),
    ),
    ("tensorrt-rtx", ("tensorrt-rtx-cu12-bindings", "tensorrt-rtx-cu13-bindings")),
)
"""Wheels that write the same files, and the one to keep: the last one installed wins, and removing one breaks the other."""


class Installed:
    """What is installed on a path, by normalised name; the first of several of one name is the one that is imported.

    Args:
        path: folders with `*.dist-info`.
    """

    def __init__(self, path: Sequence[str]) -> None:
        self.found: dict[str, list[metadata.Distribution]] = {}
        for distribution in metadata.distributions(path=list(path)):
            name = _name_of(distribution)
            if name:
                self.found.setdefault(_normalised(name), []).append(distribution)

    def __contains__(self, name: str) -> bool:
        return _normalised(name) in self.found

    def version(self, name: str) -> str:
        """Of the one that is imported; empty where there is none, or its metadata is damaged."""
        first = self.found.get(_normalised(name), [None])[0]
        return "" if first is None else str(first.metadata["Version"] or "")

    def requires(self, name: str) -> list[str]:
        """Its requirements, as it states them."""
        first = self.found.get(_normalised(name), [None])[0]
        return [] if first is None else list(first.requires or ())


def check_packages(host: Host, installed: Installed | None = None) -> Iterator[Finding]:
    """What the extras have and lack, what is too old, and what clashes."""
    installed = Installed(sys.path) if installed is None else installed
    requirement = _requirement_class()
    stated = installed.requires(_TOOLKIT)
    if not stated:
        yield Finding(
            section=SECTION,
            name=_TOOLKIT,
            state=State.NOTE,
            text="it runs from its sources and is not installed, so what its extras need is not known here",
            fix=f"pip install {_TOOLKIT}",
        )
    elif requirement is None:
        yield Finding(
            section=SECTION,
            name="packaging",
            state=State.NOTE,
            text="it is not installed, so versions are not compared",
            fix="pip install packaging",
        )
    else:
        yield from _extras(installed, list(_parsed(requirement, stated)))
        yield from _unmet(installed, requirement, stated)
    yield from _clashes(installed)
    yield from _twice(installed, stated)


def _extras(installed: Installed, requirements: list[Any]) -> Iterator[Finding]:
    extras: dict[str, list[Any]] = {}
    for each in requirements:
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", str(each.marker or ""))
        name = extra[1] if extra else ""
        if name in _FOR_DEVELOPERS or each.name == _TOOLKIT:
            continue
        if each.marker is None or each.marker.evaluate({"extra": name}):
            extras.setdefault(name, []).append(each)
    for name, needed in extras.items():
        yield _extra(installed, name, needed)


def _extra(installed: Installed, extra: str, needed: list[Any]) -> Finding:
    command = f"pip install '{_TOOLKIT}[{extra}]'" if extra else f"pip install {_TOOLKIT}"
    missing = [
        each.name for each in needed if each.name not in installed and not _stand_ins(installed, each.name)
    ]
    if "onnxruntime-gpu" in missing and "onnxruntime" in installed:  # never beside each other
        command = f"pip uninstall --yes onnxruntime && {command}"
    other = [
        f"{each.name} {installed.version(each.name)} (needs {each.specifier})"
        for each in needed
        if each.name in installed and not _meets(each, installed.version(each.name))
    ]
    there = {each.name: installed.version(each.name) for each in needed if each.name in installed}
    there |= {
        name: installed.version(name)
        for each in needed
        if each.name not in installed
        for name in _stand_ins(installed, each.name)
    }
    parts = [
        ", ".join(f"{name} {version}" for name, version in there.items()),
        f"missing: {', '.join(missing)}" if missing else "",
        f"another version: {', '.join(other)}" if other else "",
    ]
    return Finding(
        section=SECTION,
        name=extra or "core",
        state=State.WARNING if other else State.ABSENT if missing else State.OK,
        text="; ".join(part for part in parts if part),
        fix=command if missing or other else "",
        facts={"installed": there, "missing": missing, "other_versions": other},
    )


def _parsed(requirement: Any, texts: list[str]) -> Iterator[Any]:
    """Those of `texts` that are requirements at all."""
    for text in texts:
        try:
            parsed = requirement(text)
        except ValueError:
            continue
        yield parsed


def _meets(requirement: Any, version: str) -> bool:
    """Whether a version is as required; what is no version is nobody's business here."""
    try:
        return bool(requirement.specifier.contains(version, prereleases=True))
    except ValueError:
        return True


def _stand_ins(installed: Installed, name: str) -> list[str]:
    """Installed wheels that bring what `name` brings; ONNX Runtime with CUDA has no stand-in."""
    if name == "onnxruntime-gpu":
        return []
    return [other for _, family in _ONE_FOLDER if name in family for other in family if other in installed]


def _unmet(installed: Installed, requirement: Any, stated: list[str]) -> Iterator[Finding]:
    """Packages of ours that need another version of something that is here, such as NumPy 2 below wheels made for 2."""
    names = dict.fromkeys(_normalised(each.name) for each in _parsed(requirement, stated))
    for name in names:
        if name == _TOOLKIT or name not in installed:
            continue
        for needed in _parsed(requirement, installed.requires(name)):
            if needed.name not in installed or (
                needed.marker is not None and not needed.marker.evaluate({"extra": ""})
            ):
                continue
            version = installed.version(needed.name)
            if _meets(needed, version):
                continue
            yield Finding(
                section=SECTION,
                name=needed.name,
                state=State.WARNING,
                text=f"{needed.name} {version} is installed, {name} {installed.version(name)} needs {needed.specifier}",
                fix=f"pip install '{needed.name}{needed.specifier}' (then look again: others may need the old one)",
                facts={"needed_by": name, "installed": version, "needs": str(needed.specifier)},
            )


def _clashes(installed: Installed) -> Iterator[Finding]:
    for keep, family in _ONE_FOLDER:
        present = [name for name in family if name in installed]
        if len(present) < 2:
            continue
        kept = keep if keep in present else present[0]
        yield Finding(
            section=SECTION,
            name=" + ".join(present),
            state=State.WARNING,
            text=f"{', '.join(f'{name} {installed.version(name)}' for name in present)} write the same files: the last one "
            "installed is the one that runs, and removing or updating one breaks the other",
            fix=f"pip uninstall --yes {' '.join(present)} && pip install {kept}",
            facts={"clash": present},
        )


def _twice(installed: Installed, stated: list[str]) -> Iterator[Finding]:
    """One of our packages in two folders, or with two records in one."""
    ours = {_normalised(re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0]) for text in stated}
    ours |= {name for _, family in _ONE_FOLDER for name in family} | {"numpy"}
    ours.discard(_TOOLKIT)
    for name in sorted(ours & installed.found.keys()):
        every = installed.found[name]
        places = list(dict.fromkeys((str(d.metadata["Version"]), _folder(d)) for d in every))
        if len(places) < 2:
            continue
        first, *others = (f"{version} in {folder}" for version, folder in places)
        torn = len({folder for _, folder in places}) == 1
        yield Finding(
            section=SECTION,
            name=name,
            state=State.WARNING if torn else State.NOTE,
            text=f"it is there several times: {first}{'' if torn else ' is the one that is imported'}; {', '.join(others)}",
            fix=f"pip uninstall --yes {name} && pip install '{name}=={places[0][0]}'" if torn else "",
            facts={"places": [f"{version} {folder}" for version, folder in places]},
        )


def _requirement_class() -> Any:
    """`packaging.requirements.Requirement`, pip's own copy of it, or None."""
    for module in ("packaging.requirements", "pip._vendor.packaging.requirements"):
        try:
            return importlib.import_module(module).Requirement
        except (ImportError, AttributeError):
            continue
    return None


def _name_of(distribution: metadata.Distribution) -> str | None:
    """None where it has no readable metadata, as what an uninstall leaves behind."""
    try:
        return distribution.metadata["Name"]
    except Exception:  # of importlib.metadata's versions, each raises something else
        return None


def _folder(distribution: metadata.Distribution) -> str:
    return str(Path(str(distribution.locate_file(""))).resolve())  # `lib64` is another name of `lib`


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
