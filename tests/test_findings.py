"""The script that runs the findings; the findings themselves download packages, and are not run here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("names", [["TYPO"], ["ffmpeg", "TYPO"], ["ffmpeg.*"], ["TYPO two"]])
def test_a_name_that_means_no_finding_is_told_and_nothing_is_run(names: list[str]) -> None:
    done = subprocess.run([ROOT / "findings" / "run", *names], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"findings/run: no finding's name contains '{names[-1]}'; the names are those of "
    )
    assert done.stderr.count("\n") == 1
