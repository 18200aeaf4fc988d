from __future__ import annotations

from pathlib import Path

import pytest

from tdnet_runtime.file_names import same_file, utf8_content


def test_content_for_json() -> None:
    content = {"caf\udce9": ["\udce9", ("ü", 1, None, 0.5)], "a": {"b": "\ud800"}}
    expected = {r"caf\udce9": [r"\udce9", ["ü", 1, None, 0.5]], "a": {"b": r"\ud800"}}
    assert utf8_content(content) == expected


def test_names_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("x")
    Path("link").symlink_to("a")
    Path("hard").hardlink_to("a")
    Path("b").write_text("x")
    for other in ("a", "./a", "link", "hard", tmp_path / "a", "../" + tmp_path.name + "/a"):
        assert same_file("a", other)
    assert same_file("none", tmp_path / "none")
    for other in ("b", "none", "", "x" * 300, "a\0b"):
        assert not same_file("a", other)
