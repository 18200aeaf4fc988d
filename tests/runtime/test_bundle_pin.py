"""`sha256=` and `--sha256`: the one file that may be opened, and no other is even parsed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tdnet_runtime import Bundle, BundleDigestError, OptionError, Segmenter
from tdnet_runtime import bundle as bundle_module
from tdnet_runtime.extras import launch


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("written", [str, str.upper, "  {}\n".format])
def test_the_right_file_opens(made_up_bundle: Path, written: Callable[[str], str]) -> None:
    with Bundle.open(made_up_bundle, sha256=written(digest_of(made_up_bundle))) as bundle:
        assert bundle.file_sha256() == digest_of(made_up_bundle)
        assert bundle.read("reports/parity-fp32.json") == b"{}\n"  # the position in the file is nobody's


@pytest.mark.parametrize(
    "opened", [Bundle.open, lambda path, **pin: Segmenter.open(path, backend="fake", **pin)]
)
def test_another_file_is_refused_unparsed(
    made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., object]
) -> None:
    """Both digests are told, and no parser has seen a byte."""
    right = digest_of(made_up_bundle)
    monkeypatch.setattr(bundle_module, "read_directory", lambda *_: pytest.fail("it was parsed"))
    with pytest.raises(BundleDigestError) as caught:
        opened(made_up_bundle, sha256="0" * 64)
    assert f"has SHA-256 {right}, {'0' * 64} was asked for" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [0, 40, -30, -1], ids=["magic", "member", "directory", "end"])
def test_a_change_anywhere_is_another_file(made_up_bundle: Path, place: int) -> None:
    right = digest_of(made_up_bundle)
    data = bytearray(made_up_bundle.read_bytes())
    data[place] ^= 1
    made_up_bundle.write_bytes(data)
    with pytest.raises(BundleDigestError, match=rf"{digest_of(made_up_bundle)}, {right} was asked for"):
        Bundle.open(made_up_bundle, sha256=right)


def test_bytes_that_zip_would_ignore_count(made_up_bundle: Path) -> None:
    right = digest_of(made_up_bundle)
    with made_up_bundle.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleDigestError):
        Bundle.open(made_up_bundle, sha256=right)


def test_the_manifests_digest_is_not_the_files(made_up_bundle: Path) -> None:
    with Bundle.open(made_up_bundle) as bundle:
        manifests = bundle.digest
    with pytest.raises(BundleDigestError, match="of the whole file, as sha256sum prints it"):
        Bundle.open(made_up_bundle, sha256=manifests)


@pytest.mark.parametrize(
    "text", ["", "abc", "g" * 64, "0" * 63, "0" * 65, "sha256:" + "0" * 64, "०" * 64, 7, b"0" * 64]
)
def test_what_is_no_digest_is_refused(made_up_bundle: Path, text: object) -> None:
    with pytest.raises(OptionError, match="expected the 64 hexadecimal digits"):
        Bundle.open(made_up_bundle, sha256=text)  # type: ignore[arg-type]


def test_a_closed_bundle_tells_no_digest_and_gives_no_bytes(made_up_bundle: Path) -> None:
    bundle = Bundle.open(made_up_bundle)
    bundle.close()
    with pytest.raises(bundle_module.BundleError, match=r"file_sha256\(\): the bundle is closed"):
        bundle.file_sha256()
    with pytest.raises(bundle_module.BundleError, match=r"chunks\(\): the bundle is closed"):
        next(bundle.chunks())


def test_the_bytes_are_those_of_the_file_that_was_opened(
    made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = made_up_bundle.read_bytes()
    monkeypatch.setattr("tdnet_runtime.bundle_bytes._CHUNK_BYTES", 7)
    with Bundle.open(made_up_bundle) as bundle:
        (made_up_bundle.parent / "other").write_bytes(b"another file")
        (made_up_bundle.parent / "other").replace(made_up_bundle)
        assert b"".join(bytes(chunk) for chunk in bundle.chunks()) == data


@pytest.mark.parametrize(
    ("program", "function", "arguments"),
    [
        ("tdnet-inspect", "tdnet_runtime.cli.inspect:app", ["{}"]),
        (
            "tdnet-run",
            "tdnet_runtime.cli.run:app",
            ["--engine", "{}", "--input", "still", "--backend", "fake"],
        ),
        ("tdnet-bench", "tdnet_bench.cli:app", ["--engine", "{}", "--peer", "none", "--backend", "fake"]),
        ("tdnet-export", "tdnet_export.cli:app", ["--rebuild", "{}", "--backend", "tensorrt-rtx"]),
        ("tdnet-export", "tdnet_export.cli:app", ["--verify", "{}"]),
        ("tdnet-export", "tdnet_export.cli:app", ["--triton", "models", "--bundle", "{}"]),
    ],
)
def test_each_command_refuses_in_one_line(
    program: str,
    function: str,
    arguments: list[str],
    made_up_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("typer")
    for needed in {"tdnet-bench": ["scipy"], "tdnet-export": ["onnx", "tensorrt_rtx"]}.get(program, ()):
        pytest.importorskip(needed)
    monkeypatch.chdir(made_up_bundle.parent)
    (made_up_bundle.parent / "still").mkdir()
    cv2, np = pytest.importorskip("cv2"), pytest.importorskip("numpy")
    cv2.imwrite("still/0.png", np.zeros((4, 8, 3), np.uint8))
    given = [argument.format(made_up_bundle.name) for argument in arguments]
    monkeypatch.setattr(sys, "argv", [program, *given, "--sha256", "f" * 64])
    with pytest.raises(SystemExit) as ended:
        launch(program, function, extra="cli")
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (1, 1), error
    assert error.startswith(
        f"{program}: error: the file has SHA-256 {digest_of(made_up_bundle)}, {'f' * 64} was"
    )


def test_it_is_what_sha256sum_prints(made_up_bundle: Path) -> None:
    try:
        done = subprocess.run(
            ["sha256sum", made_up_bundle], capture_output=True, text=True, check=True, timeout=60
        )
    except OSError:
        pytest.skip("no sha256sum here")
    with Bundle.open(made_up_bundle, sha256=done.stdout.split()[0]):
        pass
