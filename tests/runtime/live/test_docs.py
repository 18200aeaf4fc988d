"""The blocks of docs/embedding.md run, and docs/reliability.md names tests and events that there are."""

import re
import shutil
from pathlib import Path

import pytest
from tests.runtime.live.conftest import Script, frame

from tdnet_runtime import segmenter as segmenter_module

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/embedding.md").read_text(), re.M | re.S)
RELIABILITY = (ROOT / "docs/reliability.md").read_text()


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_blocks_run(block, plan, tmp_path, monkeypatch):
    if "metrics" in block:
        pytest.importorskip("prometheus_client")
    monkeypatch.chdir(tmp_path)
    shutil.copy(plan, "tdnet50.plan")
    opened = segmenter_module.open_backend
    monkeypatch.setattr(
        segmenter_module, "open_backend", lambda name, bundle, **options: opened("fake", bundle, **options)
    )
    seen = []

    def camera():
        return Script(map(frame, range(5)))

    names = {"open_front": camera, "open_rear": camera, "publish": seen.append, "act_on": seen.append}
    exec(compile(block, "docs/embedding.md", "exec"), names | {"drive": lambda: None, "__name__": "block"})
    assert seen or "run()" in block or "start()" in block


def test_named_tests_exist():
    found = 0
    for file, test in re.findall(
        r"`(?:tests/runtime/)?((?:\w+/)?test_\w+\.py)?(?:::(test_\w+))?`", RELIABILITY
    ):
        if not file and not test:
            continue
        name = file or "live/test_*.py"  # of the table's own folder
        paths = list(
            (ROOT / "tests/runtime").glob(name) if "/" in name else (ROOT / "tests/runtime").rglob(name)
        )
        assert paths, file
        if test:
            paths += [] if "/" in file else (ROOT / "tests/runtime/live").glob("*.py")
            assert any(f"def {test}(" in path.read_text() for path in paths), f"{file}::{test}"
        found += 1
    assert found > 50


def test_named_events_exist():
    code = "".join(path.read_text() for path in (ROOT / "runtime/tdnet_runtime/live").glob("*.py"))
    kinds = set(re.findall(r"tell\(\s*f?\"(\w+)\"", code)) | {"source_failed", "source_given_up"}
    told = {
        kind
        for cell in re.findall(r"\| ((?:`\w+`(?:, )?)+) \| ", RELIABILITY)
        for kind in re.findall(r"\w+", cell)
    }
    assert told - {"kind"} <= kinds
    assert kinds - {"source_"} <= told
