"""Each variant is the runtime's settings with one thing changed, and ONNX Runtime knows what."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdnet_bench.ort_settings.variants import BASE, Variant, variant_options, variants_for
from tdnet_runtime.backends.onnxruntime import session_options

ort = pytest.importorskip("onnxruntime")

ENTRIES = (
    "session.intra_op.allow_spinning",
    "session.use_env_allocators",
    "session.set_denormal_as_zero",
    "session.disable_prepacking",
)


def facts(options: object) -> dict[str, object]:
    """Everything that a variant may change."""
    found: dict[str, object] = {key: _entry(options, key) for key in ENTRIES}
    names = (
        "intra_op_num_threads",
        "inter_op_num_threads",
        "execution_mode",
        "graph_optimization_level",
        "enable_mem_pattern",
        "enable_cpu_mem_arena",
    )
    return found | {name: getattr(options, name) for name in names}


def _entry(options: object, key: str) -> str | None:
    try:
        return options.get_session_config_entry(key)  # type: ignore[attr-defined]
    except RuntimeError:  # never set
        return None


def changes(variant: Variant, *, threads: int) -> dict[str, object]:
    base = facts(session_options(ort, threads))
    return {key: value for key, value in facts(variant_options(variant, ort)).items() if value != base[key]}


def test_each_variant_changes_what_its_name_says() -> None:
    level = ort.GraphOptimizationLevel
    assert {v.name: changes(v, threads=2) for v in variants_for(2)} == {
        "base": {},
        "1 thread": {"intra_op_num_threads": 1},
        "3 threads": {"intra_op_num_threads": 3},
        "spinning": {"session.intra_op.allow_spinning": "1"},
        "basic optimisation": {"graph_optimization_level": level.ORT_ENABLE_BASIC},
        "extended optimisation": {"graph_optimization_level": level.ORT_ENABLE_EXTENDED},
        "no arena": {"session.use_env_allocators": "0", "enable_cpu_mem_arena": False},
        "own arena, patterns": {"session.use_env_allocators": "0", "enable_mem_pattern": True},
        "denormals as zero": {"session.set_denormal_as_zero": "1"},
        "no prepacking": {"session.disable_prepacking": "1"},
    }
    assert variants_for(2)[0].name == BASE


def test_one_thread_has_no_workers_to_be_set_up() -> None:
    names = [variant.name for variant in variants_for(1)]
    assert names[:3] == ["base", "2 threads", "basic optimisation"]
    assert not {"1 thread", "spinning", "denormals as zero"} & set(names)


def test_the_keys_are_onnxruntimes(capfd: pytest.CaptureFixture[str]) -> None:
    """It takes any, and says nothing about one that it does not know; nor is there a warning for changing one."""
    (library,) = (Path(ort.__file__).parent / "capi").glob("onnxruntime_pybind11_state*")
    known = library.read_bytes()
    for variant in variants_for(2):
        variant_options(variant, ort)
        assert all(key.encode() + b"\0" in known for key in variant.entries), variant.name
    assert capfd.readouterr() == ("", "")
