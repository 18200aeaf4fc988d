"""Comparisons: read, planned, trained, judged, and shown as a table."""

import sys
import time
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

torch = pytest.importorskip("torch")
pytest.importorskip("kornia", reason="the extra `train` is not installed")

from tdnet_runtime.errors import OptionError  # noqa: E402
from tdnet_train import main  # noqa: E402
from tdnet_train.comparison import compare as comparing  # noqa: E402
from tdnet_train.comparison.crew import Task, run_all  # noqa: E402
from tdnet_train.comparison.document import read_document  # noqa: E402
from tdnet_train.comparison.member import ASKED, judge, member_command, train  # noqa: E402
from tdnet_train.comparison.plan import planned  # noqa: E402
from tdnet_train.comparison.scores import kept_scores  # noqa: E402
from tdnet_train.comparison.settings import read_comparison  # noqa: E402
from tdnet_train.comparison.tables import difference, spread, table_from_document  # noqa: E402
from tdnet_train.config_file import read_settings, written  # noqa: E402
from tdnet_train.errors import TrainingError  # noqa: E402

COMPARISON = """
question = "Does it pay?"
config = "street.toml"
seeds = [1, 2]
splits = ["val"]
consistent = ["val"]

[helpers.teacher]
label = "teacher"
set = ["network.name=psp18", "network.width=0.25"]

[[variants]]
label = "alone"

[[variants]]
label = "taught"
set = ["teacher.checkpoint={teacher}", "loss.beta=0.25"]

[[variants]]
label = "sparser"
memory_stride = 2

[[variants]]
label = "at its own stride"
set = ["network.memory_stride=3"]
against = "taught"
"""


@pytest.fixture
def comparison(config):
    """The path of a comparison of td2-fa18 on the street, two steps a run."""
    text = config.read_text().replace("steps = 3", "steps = 1").replace("steps = 5", "steps = 1")
    text = text.replace("warmup_steps = 2\n", "").replace("every_epochs = 1.0", 'split = ""')
    config.write_text(text)
    path = config.with_name("pays.toml")
    path.write_text(COMPARISON)
    return path


@pytest.fixture
def here(monkeypatch):
    """Runs in the test's own process; gives the list of those that were trained."""
    trained = []

    def run_here(tasks, *, jobs, stop):
        for task in tasks:
            folder = task.member.folder
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ASKED).write_bytes(written(task.member.settings))
            trained.append(folder.name)
            torch.set_num_threads(1)
            assert train(folder)
            for stride in task.command[4].split(","):
                for split in task.command[5:]:
                    judge(
                        folder, split.removesuffix("+"), stride=int(stride), consistency=split.endswith("+")
                    )
            yield task.member

    monkeypatch.setattr(comparing, "run_all", run_here)
    return trained


def test_equal_configurations_are_one_run(comparison, tmp_path):
    plan = planned(comparison, read_comparison(comparison), tmp_path / "runs", ("run.batch=4",))
    teacher, alone, taught, sparser, own = plan.rows
    assert [member.seed for member in alone.members] == [1, 2]
    assert [m.folder for m in alone.members] == [m.folder for m in sparser.members]
    assert [m.folder for m in alone.members] == [m.folder for m in own.members]  # 3 is the default
    assert plan.strides[alone.members[0].folder] == (3, 2)
    assert next(iter(plan.strides)) == teacher.members[0].folder
    assert len(plan.members) == 5
    (folder,) = {member.needs for member in taught.members}
    assert folder == (teacher.members[0].folder,)
    settings = taught.members[1].settings
    assert settings.teacher.checkpoint == str(teacher.members[0].folder / "best.pth")
    assert (settings.run.seed, settings.run.batch, settings.loss.beta) == (2, 4, 0.25)
    assert [row.against for row in plan.rows] == [None, None, "alone", "alone", "taught"]
    again = planned(comparison, read_comparison(comparison), tmp_path / "runs")
    assert not again.members.keys() & plan.members.keys()  # another batch, other runs


def test_a_run_without_its_best_weights_is_not_done(config, tmp_path):
    fields = ("validation.split=", "stages.0.steps=1", "stages.1.steps=1", "stages.1.warmup_steps=0")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ASKED).write_bytes(written(read_settings(config, fields)))
    assert train(tmp_path / "run")
    (tmp_path / "run" / "best.pth").unlink()
    assert train(tmp_path / "run")
    assert 0 <= judge(tmp_path / "run", "val", stride=1).miou <= 1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"Does it pay?"', '""', r"pays.toml': question: expected `str` of length >= 1"),
        ("seeds = [1, 2]", "seeds = []", r"seeds: expected `array` of length >= 1"),
        ("seeds = [1, 2]", "seeds = [1, 1]", r"pays.toml': the seed 1 occurs twice"),
        ('"taught"\nset', '"alone"\nset', r"pays.toml': the label 'alone' occurs twice"),
        ('splits = ["val"]', 'splits = ["val", "val"]', r"the split 'val' occurs twice"),
        ('consistent = ["val"]', 'consistent = ["test"]', r"consistent names the split 'test', which is not among"),
        ('against = "taught"', 'against = "teacher"', r"compared with 'teacher', which is the label of no variant"),
        ("{teacher}", "{tutor}", r"'taught': \{tutor\} is no helper before it; there are teacher"),
        ("loss.beta=", "loss.bet=", r"the variant 'taught': the configuration '.*': loss: .*unknown field `bet`"),
        ("memory_stride = 2", "memory_stride = 0", r"variants\[2\].memory_stride: expected `int` >= 1"),
        ("street.toml", "lane.toml", r"cannot read the configuration '.*lane.toml': No such file"),
        ("[[variants]]", "[[variant]]", r"comparison '.*pays.toml': the file: .*(variants|variant)`"),
        ('question = "', "question = ", r"the comparison '.*pays.toml' is not TOML"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told(comparison, tmp_path, before, after, message):
    text = comparison.read_text()
    assert before in text
    comparison.write_text(text.replace(before, after))
    with pytest.raises(OptionError, match=message) as raised:
        planned(comparison, read_comparison(comparison), tmp_path / "runs")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--compare", "a.toml", "--config", "b.toml"), "or a comparison, with --compare"),
        (("--compare", "a.toml", "--dry-run"), "--compare takes neither --dry-run nor --tensorboard"),
        (("--config", "a.toml", "--jobs", "2"), "--jobs goes with --compare"),
        (("--compare", "no.toml"), "cannot read the comparison 'no.toml': No such file"),
    ],
)
def test_options_that_do_not_go_together(words, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tdnet-train", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert message in capsys.readouterr().err


def test_names_that_are_no_utf_8(comparison, tmp_path, here):
    """A path in a configuration is refused; that of the comparison is escaped where its name is written down."""
    out = tmp_path / "r\udcffuns"
    for overrides in (("data.root=/d\udcff",), ()):  # and the helper's checkpoint, in the folder of the runs
        with pytest.raises(OptionError, match=r"is '/.*udcff.*', which is not UTF-8.*make a link"):
            comparing.compare(comparison, out, overrides, Console(file=StringIO()))
    path = comparison.with_name("p\udcff.toml")
    path.write_text('question = "Alone?"\nconfig = "street.toml"\n[[variants]]\nlabel = "alone"\n')
    for _ in range(2):
        comparing.compare(path, out, (), Console(stderr=True))
        assert read_document(out / "p\udcff.json").name == "p\\udcff"
        assert (out / "p\udcff.md").is_file()


def test_torchrun_would_begin_all_runs_in_each_rank(comparison, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match=r"--compare does not go below torchrun"):
        comparing.compare(comparison, tmp_path / "runs", (), Console(file=StringIO()))


def test_a_run_of_a_version_with_other_defaults_is_not_taken_for_todays(comparison, tmp_path):
    """Its folder has the same name: what is a default is not in it."""
    out = tmp_path / "runs"
    member = list(planned(comparison, read_comparison(comparison), out).members.values())[1]
    member.folder.mkdir(parents=True)
    earlier = msgspec.structs.replace(
        member.settings, optimizer=msgspec.structs.replace(member.settings.optimizer, momentum=0.8)
    )
    (member.folder / ASKED).write_bytes(written(earlier))
    with pytest.raises(TrainingError, match=f"^the folder '{member.folder}' has a run of other settings"):
        comparing.compare(comparison, out, (), Console(file=StringIO()))


def test_means_spreads_and_differences_of_a_hand_computed_case():
    assert spread([0.5]) == "50.00"
    assert spread([0.1, 0.2, 0.3]) == "20.00 ± 10.00"
    assert spread([0.1, None]) == "–"
    assert difference([0.0125]) == "+1.25"
    # 4.303 · 1 / √3 = 2.484: the interval of a mean of 2.4 has 0 in it, that of 2.5 has not.
    assert difference([0.014, 0.024, 0.034]) == "+2.40 ± 1.00"
    assert difference([0.015, 0.025, 0.035]) == "+2.50 ± 1.00*"
    assert difference([-0.015, -0.025, -0.035]) == "-2.50 ± 1.00*"


def test_a_comparison_is_trained_judged_and_shown_and_never_trained_twice(comparison, tmp_path, here):
    said = Console(file=StringIO(), width=200)
    comparing.compare(comparison, tmp_path / "runs", (), said)
    assert len(here) == 5
    assert here[0].startswith("psp18-seed0-")
    document = read_document(tmp_path / "runs" / "pays.json")
    rows = {row.label: row for row in document.rows}
    assert list(rows) == ["teacher", "alone", "taught", "sparser", "at its own stride"]
    assert rows["alone"].runs == rows["at its own stride"].runs  # one run, judged once
    assert rows["alone"].network == "td2-fa18 at 48x64"
    assert (rows["sparser"].memory_stride, rows["alone"].memory_stride) == (2, 3)
    for row in document.rows:
        for run in row.runs:
            score = run.scores["val"]
            assert score.labelled_frames == 4
            assert 0 <= score.miou <= 1
            assert 0 <= score.temporal_consistency <= 1
            assert set(score.miou_by_path) == ({1} if row.label == "teacher" else {1, 2})
            assert list(score.iou) == ["road", "sky", "box"]
    page = (tmp_path / "runs" / "pays.md").read_text()
    table = table_from_document(document)
    assert table in page
    lines = table.splitlines()
    assert lines[0] == "| variant | runs | against | val mIoU | Δ | val pixels | val consistency |"
    assert [line.split(" | ")[:3] for line in lines[2:4]] == [["| teacher", "1", "–"], ["| alone", "2", "–"]]
    assert lines[4].startswith("| taught | 2 | alone | ")
    for run in rows["taught"].runs:
        assert "own_distillation" in (tmp_path / "runs" / run.run / "journal.jsonl").read_text()
    assert f"5/5 {rows['taught'].runs[1].run}: val, stride 3: mIoU " in said.file.getvalue()
    comparing.compare(comparison, tmp_path / "runs", (), said)
    assert len(here) == 5
    (tmp_path / "runs" / rows["taught"].runs[1].run / "scores.json").unlink()
    comparing.compare(comparison, tmp_path / "runs", (), said)
    assert here[5:] == [rows["taught"].runs[1].run]
    assert read_document(tmp_path / "runs" / "pays.json") == document  # judged again, not trained


@dataclass(frozen=True)
class Fake:
    """A member, as far as the crew needs it."""

    folder: Path
    settings: object
    needs: tuple = ()


@pytest.fixture
def task(config, tmp_path):
    """task(name, code, needs): a process that runs that Python."""
    settings = read_settings(config)

    def make(name, code, *needs):
        member = Fake(tmp_path / name, settings, tuple(tmp_path / need for need in needs))
        return Task(member=member, command=[sys.executable, "-S", "-c", code])

    return make


def test_runs_wait_for_those_that_they_need(task, tmp_path):
    look = "import os, sys; sys.exit(not os.path.exists({!r}))"
    made = tmp_path / "made"
    tasks = [
        task("teacher", f"import time; time.sleep(0.5); open({str(made)!r}, 'w')"),
        task("student", look.format(str(made)), "teacher"),
        task("other", "pass"),
    ]
    ended = [member.folder.name for member in run_all(tasks, jobs=2, stop=lambda: False)]
    assert sorted(ended) == ["other", "student", "teacher"]
    assert ended.index("teacher") < ended.index("student")
    assert (tmp_path / "student" / "asked.toml").exists()


def test_a_run_that_fails_ends_the_others_and_is_told(task, tmp_path):
    wait = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); print('up', flush=True); time.sleep(60)"
    until = f"import os, sys, time\nwhile not os.path.getsize({str(tmp_path / 'long' / 'log.txt')!r}): time.sleep(.01)\n"
    tasks = [task("long", wait), task("bad", until + "sys.exit('tdnet-train: error: no such thing')")]
    with pytest.raises(
        TrainingError, match=r"ended with exit code 1: tdnet-train: error: no such thing; .*bad.log.txt"
    ):
        list(run_all(tasks, jobs=2, stop=lambda: False))


def test_a_signal_lets_the_runs_write_their_checkpoints(task, tmp_path):
    kept = tmp_path / "kept"
    code = (
        "import signal, sys, time\n"
        f"signal.signal(15, lambda *_: (open({str(kept)!r}, 'w'), sys.exit(143)))\n"
        "print('up', flush=True); time.sleep(60)"
    )

    def stop():
        log = tmp_path / "run" / "log.txt"
        return log.exists() and log.stat().st_size > 0

    assert list(run_all([task("run", code), task("never", "pass", "run")], jobs=1, stop=stop)) == []
    assert kept.exists()
    assert not (tmp_path / "never").exists()


@pytest.mark.slow
def test_processes_stopped_and_gone_on_with_give_the_same_scores(comparison, tmp_path, monkeypatch):
    """The command itself, with two runs at once; stopped once in the midst."""
    from tests.guard import running

    comparison.with_name("street.toml").write_text(
        comparison.with_name("street.toml").read_text().replace("steps = 1", "steps = 6")
    )
    words = [sys.executable, "-m", "tdnet_train", "--compare", str(comparison), "--jobs", "2", "--out"]
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    with running([*words, str(tmp_path / "whole")]) as process:
        assert process.wait() == 0
    with running([*words, str(tmp_path / "cut")]) as process:
        while not list((tmp_path / "cut").glob("td2-*/journal.jsonl")):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait() == 143
    assert not (tmp_path / "cut" / "pays.json").exists()
    with running([*words, str(tmp_path / "cut")]) as process:
        assert process.wait() == 0
    whole, cut = (read_document(tmp_path / name / "pays.json") for name in ("whole", "cut"))
    for before, after in zip(whole.rows, cut.rows, strict=True):
        assert [run.scores for run in before.runs] == [run.scores for run in after.runs]


def test_the_command_of_a_run_is_this_modules(tmp_path):
    command = member_command(tmp_path, strides=(4, 1), splits=("val", "test"), consistent=("val",))
    assert command[1:] == ["-m", "tdnet_train.comparison", str(tmp_path), "4,1", "val+", "test"]
    assert kept_scores(tmp_path) == {}
