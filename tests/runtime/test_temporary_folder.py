"""A folder that goes with its block; what a forked child leaves of it is in test_forks.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdnet_runtime.temporary_folder import temporary_folder


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), ValueError("no")])
def test_it_goes_with_its_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException | None
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def use() -> None:
        with temporary_folder("mine-") as folder:
            assert (folder.parent, folder.name[:5]) == (tmp_path, "mine-")
            (folder / "inner").mkdir()
            (folder / "inner" / "file").write_text("x")
            if error is not None:
                raise error

    if error is None:
        use()
    else:
        with pytest.raises(type(error)):
            use()
    assert list(tmp_path.iterdir()) == []
