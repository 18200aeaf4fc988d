"""Console scripts end in one line where the user can act, and in a traceback where we must."""

from __future__ import annotations

import configparser
import errno
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import IO, Protocol

import pytest

from tdnet_runtime import extras
from tdnet_runtime.errors import MissingExtraError
from tdnet_runtime.extras import BRINGS, launch, one_line, require

ROOT = Path(__file__).parents[2]
Program = Callable[[str], str]


class Launched(Protocol):
    def __call__(
        self, lines: str, stdout: IO[bytes] | int, **env: str
    ) -> subprocess.CompletedProcess[bytes]: ...


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """Make a module of some lines; gives its import path for `launch`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    made: list[str] = []

    def make(lines: str) -> str:
        name = f"launched_{tmp_path.name}_{len(made)}"
        made.append(name)
        (tmp_path / f"{name}.py").write_text(lines)
        return f"{name}:main"

    yield make
    for name in made:
        sys.modules.pop(name, None)


def _exit_code(import_path: str, *, extra: str = "cli") -> object:
    with pytest.raises(SystemExit) as caught:
        launch("tdnet-x", import_path, extra=extra)
    return caught.value.code


# require


def test_require_gives_the_module() -> None:
    assert require("json.decoder", extra="cli") is sys.modules["json.decoder"]


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(
        MissingExtraError,
        match=r"^the package 'absent_package' is not installed; install it with: pip install '.*\[bench\]'$",
    ):
        require("absent_package", extra="bench")
    with pytest.raises(MissingExtraError, match="the package 'absent_package' is not installed"):
        require("absent_package.inner", extra="bench")


def test_a_folder_that_an_uninstall_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python takes it for a package, of nothing."""
    (tmp_path / "emptied_package" / "__pycache__").mkdir(parents=True)
    (tmp_path / "emptied_package" / "__pycache__" / "a.pyc").touch()
    (tmp_path / "emptied_package" / "settings.txt").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        MissingExtraError,
        match=r"^of the package 'emptied_package' only a folder is left; install it again with: pip install '.*\[ray\]'$",
    ):
        require("emptied_package", extra="ray")
    monkeypatch.delitem(sys.modules, "emptied_package")


def test_a_namespace_is_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as `cuda`, which several distributions share."""
    (tmp_path / "namespace_package" / "part").mkdir(parents=True)
    (tmp_path / "namespace_package" / "part" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert require("namespace_package", extra="gpu").__name__ == "namespace_package"
    monkeypatch.delitem(sys.modules, "namespace_package")


def test_what_a_package_needs_may_be_missing(program: Program) -> None:
    module = program("import absent_package").partition(":")[0]
    with pytest.raises(
        MissingExtraError, match=f"'absent_package', which '{module}' needs, is not installed"
    ):
        require(module, extra="cli")


def test_a_package_that_does_not_load(program: Program) -> None:
    module = program("raise ImportError('libGL.so.1: cannot open shared object file', name='cv2')").partition(
        ":"
    )[0]
    with pytest.raises(
        MissingExtraError,
        match=r"'cv2' does not load \(libGL.*\); install it again with: pip install .*\[cli\]' --force",
    ):
        require(module, extra="cli")


def test_the_table_says_what_setup_cfg_says() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options.extras_require"]
    modules = {"opencv-python-headless": "cv2", "cuda-core": "cuda", "cuda-bindings": "cuda"}
    modules |= {"eclipse-zenoh": "zenoh", "foxglove-sdk": "foxglove", "rerun-sdk": "rerun"}
    modules |= {"pyyaml": "yaml", "tomli-w": "tomli_w"}

    def brought(extra: str) -> set[str]:
        found: set[str] = set()
        for line in listed[extra].strip().splitlines():
            name, _, inner = line.partition("[")
            if name == "tdnet-deploy":
                found.update(*(brought(other) for other in inner.rstrip("]").split(",")))
            else:
                package = name.partition(">")[0]
                found.add(modules.get(package, package))
        return found

    assert {extra: set(packages) for extra, packages in BRINGS.items()} == {
        extra: brought(extra) for extra in BRINGS
    }


# launch


def test_success(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit_code(program("import sys\ndef main(): print(sys.argv[0])")) == 0
    assert capsys.readouterr() == ("tdnet-x\n", "")


@pytest.mark.parametrize(("call", "code"), [("sys.exit()", None), ("sys.exit(3)", 3), ("sys.exit(2)", 2)])
def test_the_functions_own_exit_code(
    program: Program, capsys: pytest.CaptureFixture[str], call: str, code: int | None
) -> None:
    assert _exit_code(program(f"import sys\ndef main(): {call}")) == code
    assert capsys.readouterr().err == ""


def test_our_errors_are_one_line(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    lines = "from tdnet_runtime.errors import *\ndef main(): raise FrameError('one\\n  two\\x1b[31m ü.png')"
    assert _exit_code(program(lines)) == 1
    assert capsys.readouterr() == ("", "tdnet-x: error: one two\\x1b[31m ü.png\n")


@pytest.mark.parametrize("lines", ["raise KeyboardInterrupt", "def main(): raise KeyboardInterrupt"])
def test_ctrl_c(program: Program, capsys: pytest.CaptureFixture[str], lines: str) -> None:
    assert _exit_code(program(lines)) == 130
    assert capsys.readouterr() == ("", "tdnet-x: interrupted\n")


def test_ctrl_c_in_a_typer_command(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (
        "import typer\nmain = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)\n"
        "@main.command()\ndef command(): raise KeyboardInterrupt"
    )
    assert _exit_code(program(lines)) == 130
    assert capsys.readouterr() == ("", "tdnet-x: interrupted\n")


@pytest.mark.parametrize(
    ("package", "extra", "suggested"),
    [
        ("typer", "cli", "cli"),
        ("rich", "export", "export"),
        ("av", "bench", "bench"),
        ("cv2", "cli", "cli"),
        ("onnxruntime", "cli", "cpu"),
        ("torch", "bench", "export"),
        ("psutil", "bench", "bench"),
    ],
)
@pytest.mark.parametrize("when", ["", "def main(): "])
def test_missing_packages(
    program: Program,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    extra: str,
    suggested: str,
    when: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert _exit_code(program(f"{when}import {package}"), extra=extra) == 1
    assert capsys.readouterr().err == (
        f"tdnet-x: error: the package {package!r} is not installed; "
        f"install it with: pip install 'tdnet-deploy[{suggested}]'\n"
    )


@pytest.mark.parametrize("line", ["cv2.IMREAD_COLOR\ndef main(): pass", "def main(): cv2.imread('x')"])
def test_folders_that_uninstalls_left(
    program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    emptied = importlib.util.module_from_spec(ModuleSpec("cv2", None, is_package=True))
    monkeypatch.setitem(sys.modules, "cv2", emptied)
    assert _exit_code(program(f"import cv2\n{line}"), extra="ray") == 1
    assert capsys.readouterr().err == (
        "tdnet-x: error: of the package 'cv2' only a folder is left; install it again with: pip install "
        "'tdnet-deploy[ray]'\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        "import sys\nsys.no_such_name",
        "import importlib.util as u\nfrom importlib.machinery import ModuleSpec as S\n"
        "u.module_from_spec(S('unknown', None, is_package=True)).x",
        "import tdnet_runtime.no_such_module",
        "from tdnet_runtime.errors import NoSuchError",
        "import some_unknown_package",
        "raise ImportError('of nothing')",
        "raise RuntimeError('a defect')",
        "raise OSError(5, 'a disk error that nobody translated')",
    ],
)
def test_defects_keep_their_traceback(program: Program, line: str) -> None:
    with pytest.raises((AttributeError, ImportError, RuntimeError, OSError)):
        launch("tdnet-x", program(line), extra="cli")


def test_a_full_disk(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    lines = f"def main(): raise OSError({errno.ENOSPC}, 'No space left on device', 'out.png')"
    assert _exit_code(program(lines)) == 1
    assert capsys.readouterr().err == (
        "tdnet-x: error: [Errno 28] No space left on device: 'out.png'; make room and run it again\n"
    )


@pytest.fixture
def launched(tmp_path: Path, child_env: dict[str, str]) -> Launched:
    """Run a function of some lines in a process of its own."""

    def run(lines: str, stdout: IO[bytes] | int, **env: str) -> subprocess.CompletedProcess[bytes]:
        (tmp_path / "launched.py").write_text(lines)
        command = "from tdnet_runtime.extras import launch; launch('tdnet-x', 'launched:main', extra='cli')"
        return subprocess.run(
            [sys.executable, "-c", command],
            cwd=tmp_path,
            env={**child_env, **env},
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=60,
        )

    return run


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_closed_pipe_is_quiet(launched: Launched, size: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = launched(f"def main(): print('x' * {size})", writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_full_disk_below_stdout_is_one_line(launched: Launched, size: int) -> None:
    with Path("/dev/full").open("wb") as full:
        done = launched(f"def main(): print('x' * {size})", full)
    assert done.returncode == 1
    assert done.stderr == b"tdnet-x: error: [Errno 28] No space left on device; make room and run it again\n"


def test_a_path_in_a_closed_folder_is_one_line(launched: Launched) -> None:
    done = launched(
        "def main(): raise PermissionError(13, 'Permission denied', '/closed/x')", subprocess.PIPE
    )
    assert done.returncode == 1
    said = b"tdnet-x: error: there is no right to look at '/closed/x'; change the permissions of its folder, or name"
    assert done.stderr == said + b" another place\n"
    done = launched("def main(): raise PermissionError('a defect')", subprocess.PIPE)
    assert b"Traceback" in done.stderr


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.ELOOP, errno.ESTALE, errno.EIO, errno.ENOTCONN])
@pytest.mark.parametrize("path", ["'/far/x'", "b'/far/x'"])
def test_a_path_that_cannot_be_looked_at_is_one_line(
    program: Program, capsys: pytest.CaptureFixture[str], number: int, path: str
) -> None:
    assert (
        _exit_code(program(f"def main(): raise OSError({number}, os.strerror({number}), {path})\nimport os"))
        == 1
    )
    said = f"tdnet-x: error: there is no looking at '/far/x': {os.strerror(number)}; name another place\n"
    assert capsys.readouterr().err == said


def test_a_name_of_more_than_255_bytes_is_one_line(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "x" * 300
    assert _exit_code(program(f"import os\ndef main(): os.stat('{name}')")) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"tdnet-x: error: there is no looking at '{name}': ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EBADF, errno.EISDIR])
def test_a_path_that_somebody_should_have_looked_at_is_a_defect(program: Program, number: int) -> None:
    with pytest.raises(OSError):
        launch("tdnet-x", program(f"def main(): raise OSError({number}, 'no', 'x')"), extra="cli")
    with pytest.raises(PermissionError):  # of a descriptor
        launch("tdnet-x", program("def main(): raise PermissionError(13, 'no', 7)"), extra="cli")


def test_an_error_is_said_although_the_pipe_is_closed(launched: Launched) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        lines = "from tdnet_runtime.errors import *\ndef main(): print(1); raise FrameError('said')"
        done = launched(lines, writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"tdnet-x: error: said\n")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
@pytest.mark.parametrize("closed", [(2,), (1, 2), (0, 1, 2)])
def test_nothing_else_gets_the_numbers_of_closed_streams(
    launched: Launched, tmp_path: Path, closed: tuple[int, ...]
) -> None:
    """Libraries write to 2 whatever it is: an output file, or the pipe for signals."""
    launch_again = "from tdnet_runtime.extras import launch; launch('tdnet-x', 'inner:main', extra='cli')"
    (tmp_path / "inner.py").write_text(
        "import os, pathlib\n"
        f"def main(): pathlib.Path('out').write_text(str([os.readlink(f'/proc/self/fd/{{n}}') for n in {closed}]))"
    )
    again = f"os.execv(sys.executable, [sys.executable, '-c', {launch_again!r}])"
    launched(f"import os, sys\nfor n in {closed}: os.close(n)\n{again}", subprocess.DEVNULL)
    assert (tmp_path / "out").read_text() == str(["/dev/null"] * len(closed))


@pytest.mark.parametrize("shell", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stdout_is_one_that_nobody_reads(launched: Launched, tmp_path: Path, shell: str) -> None:
    (tmp_path / "inner.py").write_text(
        "import sys\ndef main(): sys.stdout.write('Δ\\udcff'); print(sys.stdout.isatty(), file=sys.stderr)"
    )
    inner = "from tdnet_runtime.extras import launch; launch('tdnet-x', 'inner:main', extra='cli')"
    arguments = ["sh", "-c", f'exec "$0" -W error -c "$1" {shell}', sys.executable, inner]
    lines = f"import subprocess\ndef main(): sys.exit(subprocess.run({arguments!r}).returncode)\nimport sys"
    done = launched(lines, subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"False\n" if "2" not in shell else b"")


def test_a_terminal_without_unicode(launched: Launched) -> None:
    done = launched("def main(): print('Δ')", subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"?", b"")


def test_ctrl_c_from_outside(launched: Launched) -> None:
    done = launched("import os, signal\ndef main(): os.kill(os.getpid(), signal.SIGINT)", subprocess.PIPE)
    assert (done.returncode, done.stderr) == (130, b"tdnet-x: interrupted\n")


_NATIVE = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nprint('whole')\n"


@pytest.mark.parametrize(
    "imports",
    [
        "from native import *",
        "def main():\n  from tdnet_runtime.extras import require; require('native', extra='cli'); print('went on')",
        "from tdnet_runtime.backends import no_telemetry\ndef main():\n"
        "  no_telemetry.import_without_telemetry('native'); print('went on')",
    ],
)
def test_an_import_is_not_torn_by_a_signal(launched: Launched, tmp_path: Path, imports: str) -> None:
    """An exception in the midst of a native package's import may crash the process."""
    (tmp_path / "native.py").write_text(_NATIVE + "def main(): print('went on')\n")
    done = launched(imports, subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (143, b"whole\n", b"tdnet-x: terminated\n")


def test_without_stdout_and_stderr(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert _exit_code(program("from tdnet_runtime.errors import *\ndef main(): raise FrameError('x')")) == 1


def test_one_line_keeps_what_is_readable() -> None:
    assert one_line("a\nb\r\n  c\td\x00\udcff·Δ") == "a b c\\td\\x00\\udcff·Δ"
    assert one_line("") == ""


def test_importing_it_is_light(child_env: dict[str, str]) -> None:
    """It comes before any optional package is known to be there."""
    command = "import sys, tdnet_runtime.extras, tdnet_runtime.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", command], env=child_env, capture_output=True, text=True, check=True, timeout=60
    )
    optional = {package for packages in BRINGS.values() for package in packages}
    assert not optional & set(done.stdout.split())


def test_public_names_exist() -> None:
    assert all(hasattr(extras, name) for name in extras.__all__)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", ""], "--labels was given an empty value; is a variable unset?"),
        (["--labels", " \t"], "--labels was given an empty value"),
        (["--labels="], "--labels was given an empty value"),
        (["run", "", "--fast"], "an argument is empty"),
        ([""], "an argument is empty"),
    ],
)
def test_empty_arguments_are_refused(
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["tdnet-x", *arguments])
    assert _exit_code(program("def main(): print('ran')")) == 1
    out, err = capsys.readouterr()
    assert (out, err.startswith(f"tdnet-x: error: {message}"), err.count("\n")) == ("", True, 1)


@pytest.mark.parametrize("argument", ["--labels=a=", "a=", "-", "."])
def test_other_arguments_are_not(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argument: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["tdnet-x", argument])
    assert _exit_code(program("def main(): print('ran')")) == 0
    assert capsys.readouterr().out == "ran\n"
