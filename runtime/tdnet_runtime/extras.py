"""Optional packages and console scripts: what is missing is said in one line, without a traceback.

Each console script of this project is a small function that calls `launch`, so that all of them treat
errors, signals and closed pipes in the same way.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import importlib.machinery
import io
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TextIO

from tdnet_runtime.errors import BackendError, MissingExtraError, OptionError, TdnetError
from tdnet_runtime.signals import EXIT_WORDS, INTERRUPTED, Ending, importing

__all__ = ["BRINGS", "launch", "one_line", "require", "say"]

_UNUSABLE = frozenset(
    {
        *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EILSEQ),
        *(
            errno.EIO,
            errno.ENXIO,
            errno.ENODEV,
            errno.ESTALE,
            errno.ENOTCONN,
            errno.EHOSTDOWN,
            errno.ETIMEDOUT,
        ),
    }
)
"""What looking at a path may bring about, by its name or where it lies: `Path.exists` and its like do not hide these."""
_NO_THREAD = "can't start new thread"  # Python's own words (3.10 to 3.13), whoever asked for it
_CPU = frozenset({"onnxruntime"})
_CLI = frozenset({"typer", "rich", "av", "cv2"})
BRINGS = {
    "cpu": _CPU,
    "cli": _CLI,
    "dds": _CLI | {"cyclonedds"},
    "gpu": frozenset({"cuda"}),
    "zenoh": _CLI | {"zenoh"},
    "export": _CPU | _CLI | {"torch", "onnx"},
    "foxglove": _CLI | {"foxglove"},
    "mcap": _CLI | {"mcap", "zstandard", "lz4"},
    "ray": _CPU | _CLI | {"ray", "fsspec"},
    "rerun": _CLI | {"rerun"},
    "bench": _CPU | _CLI | {"psutil", "scipy", "onnx", "jinja2", "matplotlib"},
    "train": _CPU | _CLI | {"torch", "kornia", "matplotlib", "yaml", "tomli", "tomli_w"},
    "eval": _CPU | _CLI | {"matplotlib", "tomli"},
}
"""The optional packages, by import name, that each extra of setup.cfg installs."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import the optional `module`.

    Raises:
        MissingExtraError: it, or a package that it needs, is not installed or does not load; the message
            says how to install `extra`.
    """
    try:
        with importing():
            found = importlib.import_module(module)
    except ImportError as error:
        raise _missing_extra(error, module, extra=extra) from error
    if _is_emptied(found):
        raise _emptied_extra(module, extra=extra)
    return found


def launch(program: str, import_path: str, *, extra: str, abrupt: bool = False) -> NoReturn:
    """Import `import_path` ("package.module:function"), call the function and exit.

    The exit code is 0, or the function's own where it calls `sys.exit`. Any TdnetError becomes
    `<program>: error: ...` in one line on stderr and exit code 1; so do a missing optional package, which
    `extra` or the extra that brings it would install, a path that may not or cannot be looked at (a name of more than 255
    bytes, a server that is gone), and a full disk below stdout.
    Ctrl-C becomes `<program>: interrupted` and exit code 130, SIGTERM and SIGHUP `<program>: terminated` and 143 and 129,
    and a closed pipe ends the program quietly with exit code 1. An empty argument, as an unset variable of a script leaves
    it, is an OptionError whatever it is for: an empty path would mean the current folder. Any other exception is a
    defect and keeps its traceback.

    `abrupt`: see `Ending`.
    """
    _open_standard_descriptors()
    ending = Ending(program, abrupt=abrupt)
    try:
        with ending:
            code = _run_out(program, import_path, extra=extra, ending=ending)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if ending.number is not None and code in (None, 0, INTERRUPTED):
        code = 128 + ending.number  # also where all was done, and where Typer took it for Ctrl-C
    if code in EXIT_WORDS:
        say(f"{program}: {EXIT_WORDS[code]}")
    _flush_stderr()
    sys.exit(code)


def _run_out(program: str, import_path: str, *, extra: str, ending: Ending) -> str | int | None:
    """`_run`, with all that it said written."""
    try:
        code = _run(program, import_path, extra=extra, ending=ending)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        code = 1
    except OSError as error:
        gone = (
            error.errno == errno.EIO and ending.number is not None
        )  # the terminal, which sent SIGHUP before
        if error.errno != errno.ENOSPC and not gone:
            raise
        _discard(sys.stdout)
        if gone:
            return INTERRUPTED
        say(f"{program}: error: {error}; make room and run it again")
        code = 1
    return code


def one_line(text: str) -> str:
    """`text` with line ends as spaces and other control characters escaped: harmless in a terminal."""
    joined = " ".join(part.strip() for part in text.splitlines())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)


def _run(program: str, import_path: str, *, extra: str, ending: Ending) -> str | int | None:
    """Import and call the function; its exit code, or 1 after a TdnetError was said.

    An error that a signal brought about is no more than that signal.
    """
    sys.argv[0] = program  # what usage messages call it, however it was started
    module, _, function = import_path.partition(":")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode shows '?', not a traceback
    try:
        _refuse_empty(sys.argv[1:])
        try:
            with importing():
                command = getattr(importlib.import_module(module), function)
            command()
        except ImportError as error:
            package = _optional_package(error)
            if package is None:
                raise
            raise _missing_extra(error, package, extra=_extra_for(package, preferred=extra)) from error
        except AttributeError as error:
            package = getattr(error.obj, "__name__", "") if _is_emptied(error.obj) else ""
            if not any(package in packages for packages in BRINGS.values()):
                raise
            raise _emptied_extra(package, extra=_extra_for(package, preferred=extra)) from error
    except SystemExit as error:
        return error.code
    except Exception as error:
        if ending.cut_off:
            return INTERRUPTED
        if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
            error = BackendError(
                f"{error}: the system limits processes and threads (ulimit -u, a container's pids limit) or memory; "
                "raise the limit"
            )
        if isinstance(error, OSError) and isinstance(error.filename, (str, bytes)):
            error = _of_path(error, os.fsdecode(error.filename))
        if not isinstance(error, TdnetError):
            raise
        say(f"{program}: error: {error}")
        return 1
    return 0


def _of_path(error: OSError, path: str) -> Exception:
    """What a user can do about it; the error itself where nobody but us can."""
    if isinstance(error, PermissionError):  # a folder on the way to it is closed
        return OptionError(
            f"there is no right to look at {path!r}; change the permissions of its folder, or name another place"
        )
    if error.errno in _UNUSABLE:
        return OptionError(f"there is no looking at {path!r}: {error.strerror}; name another place")
    return error


def _refuse_empty(arguments: list[str]) -> None:
    """Raise OptionError where an argument or an option's value is empty."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=")
        if not argument.strip():
            option = before
        elif not (equals and option.startswith("--") and not value.strip()):
            continue
        what = f"{option} was given an empty value" if option.startswith("-") else "an argument is empty"
        raise OptionError(
            f"{what}; is a variable unset? Leave the option out, or name what is meant (. is this folder)"
        )


def _optional_package(error: ImportError) -> str | None:
    """The known optional package that could not be imported, if it is one."""
    package = (error.name or "").partition(".")[0]
    return package if any(package in packages for packages in BRINGS.values()) else None


def _extra_for(package: str, *, preferred: str) -> str:
    if package in BRINGS[preferred]:
        return preferred
    return next(extra for extra, packages in BRINGS.items() if package in packages)


def _missing_extra(error: ImportError, module: str, *, extra: str) -> MissingExtraError:
    install = f"pip install 'tdnet-deploy[{extra}]'"
    package, _, submodule = (error.name or module).partition(".")
    blocked = sys.modules.get(package, error) is None  # how Python marks what must not be imported
    if isinstance(error, ModuleNotFoundError) and (not submodule or blocked):
        needed = "" if package == module.partition(".")[0] else f", which {module!r} needs,"
        return MissingExtraError(
            f"the package {package!r}{needed} is not installed; install it with: {install}"
        )
    return MissingExtraError(
        f"the package {package!r} does not load ({error}); install it again with: {install} --force-reinstall"
    )


def _is_emptied(found: object) -> bool:
    """True for a module of nothing: an uninstall left a folder, which Python takes for a package."""
    spec = found.__spec__ if isinstance(found, ModuleType) else None
    if spec is None or spec.origin is not None or spec.submodule_search_locations is None:
        return False
    suffixes = tuple(importlib.machinery.all_suffixes())
    return not any(
        name.endswith(suffixes)
        for place in spec.submodule_search_locations
        for folder, _, names in os.walk(place)
        if Path(folder).name != "__pycache__"
        for name in names
    )


def _emptied_extra(package: str, *, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"of the package {package!r} only a folder is left; install it again with: pip install 'tdnet-deploy[{extra}]'"
    )


def say(line: str) -> None:
    """`line` as one line on stderr, where that can be written."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
            sys.stderr.write(one_line(line) + "\n")
            sys.stderr.flush()


def _flush_stderr() -> None:
    """What it could not take is lost, and no error at the interpreter's exit."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        _discard(sys.stderr)


def _open_standard_descriptors() -> None:
    """Let those that the caller closed lead nowhere: an output file could get such a number, and libraries' words.

    Python has None for stdout and stderr then, which nobody looks for who writes to them.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(
                sys, name, os.fdopen(nowhere, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
            )


def _discard(output: TextIO) -> None:
    """Let what is still in its buffer go nowhere, or the interpreter complains at its exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
