"""`tdnet-batch eval`: the document of `tdnet-eval`, from one sequence a task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest
from tests.evaluation.conftest import drives, named_bundle

pytest.importorskip("torch")

from tdnet_batch.evaluation import Examiner, Part, evaluate_parts, examine_all
from tdnet_batch.pool import Answer
from tdnet_eval.data_option import settings_from_option
from tdnet_eval.document import Document
from tdnet_eval.options import EvalOptions
from tdnet_eval.run import run_evaluation
from tdnet_runtime.errors import BackendError

__all__ = ["drives", "named_bundle"]


@pytest.fixture
def options(drives: Path, named_bundle: Path) -> Callable[..., EvalOptions]:
    def make(quick: bool = False) -> EvalOptions:
        return EvalOptions(
            data=str(drives),
            engines=(named_bundle,),
            backends=("onnxruntime",),
            precisions=("fp32", "fp16"),
            quick=quick,
            threads=1,
        )

    return make


def rounded(value: object) -> object:
    """Sums of sums differ in the last digit."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items() if key != "started_at"}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return value


def content(document: Document) -> object:
    return rounded(msgspec.to_builtins(document, str_keys=True))


@pytest.mark.parametrize("quick", [False, True])
def test_it_is_the_document_of_tdnet_eval(options: Callable[..., EvalOptions], quick: bool) -> None:
    asked = options(quick)
    told: list[tuple[int, int]] = []

    def examine(numbers: Iterable[int]) -> Iterator[Part]:
        for number in reversed(list(numbers)):
            with Examiner(asked, settings_from_option(asked.data)) as examiner:  # each on a worker of its own
                yield examiner.do(number)
                assert examiner.progress() > 0

    found = evaluate_parts(asked, examine, on_part=lambda done, of: told.append((done, of)))
    expected = run_evaluation(asked, phase=lambda total: nullcontext(lambda done: None)).document
    assert content(found) == content(expected)
    assert told[-1][0] == told[-1][1]


def test_a_sequence_that_cannot_be_judged_is_named(options: Callable[..., EvalOptions]) -> None:
    asked = options()
    with pytest.raises(BackendError, match=r"sequence .+: a frame is broken"):
        evaluate_parts(asked, lambda numbers: [Part(sequence=0, failure="a frame is broken")])


class Pool:
    """Loses what it is told to."""

    def __init__(self, losses: int) -> None:
        self.losses, self.free, self.jobs = losses, 2, []

    def submit(self, job: int) -> None:
        self.free -= 1
        self.jobs.append(job)

    def wait(self, timeout_s: float) -> list[Answer[int, Part]]:
        self.free += 1
        job = self.jobs.pop(0)
        if job == 1 and self.losses:
            self.losses -= 1
            return [Answer(job=job, lost="gone")]
        return [Answer(job=job, outcome=Part(sequence=job))]


def test_lost_workers() -> None:
    assert sorted(part.sequence for part in examine_all(Pool(2), range(4), retries=2)) == [0, 1, 2, 3]
    with pytest.raises(BackendError, match="sequence 1: 3 workers were lost with it, the last one: gone"):
        list(examine_all(Pool(9), range(4), retries=2))
