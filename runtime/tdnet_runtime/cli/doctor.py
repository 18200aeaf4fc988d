"""`tdnet-doctor`: what works on this machine, what does not, and why.

Typer and Rich belong to an extra that may be what is missing: the command is parsed by argparse, and shown without Rich
where there is none.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tdnet_runtime.backends import BACKENDS
from tdnet_runtime.doctor.examination import Examination, examine
from tdnet_runtime.doctor.findings import Report
from tdnet_runtime.doctor.fitness import BundleRequest
from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import one_line

__all__ = ["main"]

_EPILOG = """Nothing is written, and no host is asked but the router that --ros names. Exit codes: 0 where nothing is
broken, 1 where something is that is installed or was asked for, 2 for wrong usage."""


def main() -> None:
    """Parse the command line, look, tell, and exit."""
    arguments = _parser().parse_args()
    bundle = None
    if arguments.engine is not None:
        bundle = BundleRequest(
            path=arguments.engine,
            backend=arguments.backend or "auto",
            precision=arguments.precision,
            sha256=arguments.sha256,
        )
    else:
        for name in ("backend", "precision", "sha256"):
            if getattr(arguments, name) is not None:
                raise OptionError(f"--{name} goes with --engine; name the bundle, or leave it out")
    report = examine(Examination(bundle=bundle, ros=arguments.ros))
    if arguments.json:
        sys.stdout.write(report.to_json())
    else:
        _show(report)
    sys.exit(report.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tdnet-doctor",
        description="Say what works on this machine, what does not, why, and what to do.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--engine", metavar="X.plan", type=Path, help="whether this bundle runs here, and on what"
    )
    parser.add_argument("--backend", metavar="NAME", help=f"for --engine: auto, {', '.join(BACKENDS)}")
    parser.add_argument("--precision", metavar="NAME", help="for --engine, as tdnet-run takes it")
    parser.add_argument(
        "--sha256", metavar="HEX", help="for --engine: refuse another file (sha256sum X.plan)"
    )
    parser.add_argument(
        "--ros",
        metavar="URL",
        nargs="?",
        const="ros2://",
        help="whether the Zenoh router is there: of the environment, or of an address as tdnet-run --input takes it",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON and nothing else")
    return parser


def _show(report: Report) -> None:
    try:
        from tdnet_runtime.cli.doctor_view import show_report  # which needs Rich
    except ImportError:
        for finding in report.findings:
            fix = f" -> {finding.fix}" if finding.fix and finding.fix not in finding.text else ""
            words = f"{one_line(finding.name)}: {one_line(finding.text)}{one_line(fix)}"
            sys.stdout.write(f"{finding.state.value:8} {finding.section}: {words}\n")
    else:
        show_report(report)
