"""Runs a program with an empty home folder, and tells whom it asked and where it wrote: native libraries and children, too.

`watch.c` is preloaded, so it sees what goes through the C library. A system call made without it is not seen; what
such a call leaves in the folders that are looked through afterwards is.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_name("watch.c")
HARMLESS = ("/dev/", "/proc/")
"""Where a write is none to a disk."""

_CI = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI", "JENKINS_URL", "TRAVIS", "APPVEYOR", "BUILD_ID")
_KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Seen:
    """What a program did.

    Attributes:
        asked: hosts that were looked up and addresses that were spoken to.
        astray: files written outside of the folders that were allowed.
        left: what is still in its home and temporary folders.
    """

    done: "subprocess.CompletedProcess[str]"
    asked: list[str] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        return not (self.asked or self.astray or self.left)


def compiled_watch(folder: Path) -> Path:
    """The library, compiled into `folder`; raises OSError or CalledProcessError without a C compiler."""
    library = folder / "watch.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


def watched(
    library: Path,
    folder: Path,
    command: list[str],
    *,
    allowed: tuple[Path, ...] = (),
    **variables: str | None,
) -> Seen:
    """Run `command` in `folder/out`, with nothing else of this process's environment than where programs are.

    Args:
        library: of `compiled_watch`.
        folder: empty; gets `home`, `tmp` and `out`. Writing is allowed in the last two.
        command: program and arguments; `python` is this Python.
        allowed: further files or folders that it may write to.
        variables: of the environment; None takes one away.
    """
    home, scratch, out = (folder / name for name in ("home", "tmp", "out"))
    for made in (home, scratch, out):
        made.mkdir(parents=True)
    log = folder / "log"
    environment: dict[str, str | None] = {name: os.environ.get(name) for name in _KEPT}
    environment |= {"HOME": str(home), "TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"LD_PRELOAD": str(library), "QUIET_LOG": str(log), **variables}
    assert not any(environment.get(name) for name in _CI)  # where some libraries are quieter than at a user's
    done = subprocess.run(
        [sys.executable if word == "python" else word for word in command],
        cwd=out,
        env={name: value for name, value in environment.items() if value is not None},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    asked, astray = set(), set()
    for line in log.read_text().splitlines() if log.exists() else ():
        kind, _, what = line.partition("\t")
        if kind != "WRITE":
            asked.add(what)
        elif not what.startswith(HARMLESS) and not _inside(Path(what), (scratch, out, *allowed)):
            astray.add(what)
    left = [str(path) for top in (home, scratch) for path in top.rglob("*")]
    return Seen(done, sorted(asked), sorted(astray), sorted(left))


def _inside(path: Path, folders: tuple[Path, ...]) -> bool:
    path = Path(os.path.normpath(path))
    return any(path.is_relative_to(folder) for folder in folders)
