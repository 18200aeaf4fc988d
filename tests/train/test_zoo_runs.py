"""The zoo's configurations can be read, and what is committed of their runs and tables is theirs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("kornia", reason="the extra `train` is not installed")
pytest.importorskip("tomli_w", reason="the extra `train` is not installed")

from msgspec.structs import replace  # noqa: E402

from tdnet_train.comparison.document import read_document  # noqa: E402
from tdnet_train.comparison.plan import planned  # noqa: E402
from tdnet_train.comparison.settings import read_comparison  # noqa: E402
from tdnet_train.comparison.tables import table_from_document  # noqa: E402
from tdnet_train.config_file import read_settings  # noqa: E402

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "models" / "zoo" / "runs"
ABLATIONS = ROOT / "models" / "zoo" / "ablations"
PAGE = ROOT / "docs" / "evaluation.md"
NAMES = ("distillation", "propagation", "stride", "paths")


def plan_of(name):
    file = ABLATIONS / f"{name}.toml"
    return planned(file, read_comparison(file), Path(".zoo/ablations"))


def test_the_second_run_begins_with_the_firsts_weights_at_the_size_of_the_demo():
    first, second = (read_settings(RUNS / f"{name}.toml") for name in ("pretrain", "finetune"))
    assert second.start.checkpoint == ".zoo/pretrain/best.pth"
    assert second.network.size == (360, 480)
    assert replace(first.network, size=(360, 480)) == second.network
    assert second.run.half_checkpoints


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_a_recorded_run_is_its_configurations(name):
    recorded = RUNS / name / "config.toml"
    if not recorded.exists():
        pytest.skip("not run yet: make zoo DATA=...")
    found, asked = read_settings(recorded), read_settings(RUNS / f"{name}.toml")
    assert len(found.loss.class_weights) == 11
    if asked.loss.class_weights == "balanced":
        found = replace(found, loss=replace(found.loss, class_weights="balanced"))
    assert found == asked
    assert '"validation"' in (RUNS / name / "journal.jsonl").read_text()


def test_no_path_of_a_machine_is_in_what_is_committed():
    for file in (*RUNS.rglob("*.toml"), *RUNS.rglob("*.jsonl"), *ABLATIONS.rglob("*.*")):
        assert not re.search(r"[\"' ](/|~)\w", file.read_text()), file


@pytest.mark.parametrize("name", NAMES)
def test_each_comparison_can_be_read_and_shares_the_network_that_the_others_have(name):
    plan = plan_of(name)
    assert all(len(row.members) in (1, 3) for row in plan.rows)
    shared = plan_of("propagation").rows[0]
    assert any(row.members == shared.members for row in plan.rows)
    assert all(row.against in {None, *(other.label for other in plan.rows)} for row in plan.rows)


def test_all_four_are_so_many_runs():
    every = {folder for name in NAMES for folder in plan_of(name).members}
    assert len(every) == 1 + 3 * (4 + 2 + 3 + 2)


@pytest.mark.parametrize("name", NAMES)
def test_the_pages_table_is_of_the_committed_runs(name):
    """The command makes these very runs again: their names are digests of their configurations."""
    shown = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", PAGE.read_text(), re.DOTALL)[1]
    file = ABLATIONS / f"{name}.json"
    if not file.exists():
        assert shown == "Not run yet."
        pytest.skip(f"not run yet: make ablation-{name} DATA=...")
    document = read_document(file)
    rows = {row.label: row for row in document.rows}
    for row in plan_of(name).rows:
        runs = [member.folder.name for member in row.members]
        assert [run.run for run in rows.pop(row.label).runs] == runs
        for run in runs:
            assert (RUNS / "ablations" / run / "config.toml").exists()
            assert (RUNS / "ablations" / run / "journal.jsonl").read_text().count('"kind": "steps"') >= 12
    assert not rows
    expected = table_from_document(document)
    assert shown == expected, f"write this between the lines:\n{expected}"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("goal", ["zoo", *(f"ablation-{name}" for name in NAMES)])
def test_make_says_what_it_would_run(goal, tmp_path):
    """By the committed files alone; nothing is run."""
    command = ["make", "--dry-run", "--no-print-directory", goal, f"DATA={tmp_path}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"ln -sfn {tmp_path} .zoo/data" in said
    for file in re.findall(r"--(?:config|compare) (\S+)", said):
        assert (ROOT / file).is_file()
    assert re.search(r"tdnet-train --(config|compare) ", said)
