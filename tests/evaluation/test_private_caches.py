"""Caches in one temporary folder that goes with the process, and nothing of the user's own settings changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLES = ("MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
LINES = """
import os
from tdnet_eval.private_caches import use_private_caches
from tdnet_runtime.errors import OptionError
try:
    use_private_caches()
    use_private_caches()
except OptionError as error:
    print(error)
else:
    print(*(os.environ[name] for name in ("MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")))
    print(*os.listdir(os.environ["TMPDIR"]))
"""


def run(**variables: str) -> list[str]:
    env = {key: value for key, value in os.environ.items() if key not in VARIABLES} | variables
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", LINES], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


def test_one_folder_that_goes(tmp_path: Path) -> None:
    named, made = run(TMPDIR=str(tmp_path))
    folders = {Path(name).parent for name in named.split(" ")}
    assert folders == {tmp_path / made}
    assert not list(tmp_path.iterdir())


def test_what_the_user_has_set_stays(tmp_path: Path) -> None:
    named, made = run(TMPDIR=str(tmp_path), MPLCONFIGDIR="/of/the/user")
    assert named.split(" ")[0] == "/of/the/user"
    assert named.split(" ")[1] == str(tmp_path / made / "inductor")


def test_all_set_by_the_user(tmp_path: Path) -> None:
    own = dict.fromkeys(VARIABLES, "/of/the/user")
    assert run(TMPDIR=str(tmp_path), **own) == ["/of/the/user /of/the/user /of/the/user", ""]


def test_no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    from tdnet_eval import private_caches
    from tdnet_runtime.errors import OptionError

    def refuse(**_: str) -> str:
        raise FileNotFoundError("No usable temporary directory found")

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(OptionError, match=r"none can be made \(No usable .*\); set TMPDIR"):
        private_caches.use_private_caches.__wrapped__()
