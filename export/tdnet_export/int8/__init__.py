"""From FP32 graphs to INT8 ones by post-training quantisation, calibrated on the user's footage.

Needs NNCF (the extra `int8`), which runs in a process of its own: see `process.py`.
"""

from tdnet_export.int8.bounds import int8_bounds
from tdnet_export.int8.clips import calibration_clips
from tdnet_export.int8.process import unavailable
from tdnet_export.int8.quantise import QuantisedGraphs, quantised_graphs
from tdnet_export.int8.report import GraphLoss, Int8Report
from tdnet_export.int8.signed import check_signed, half_signed_model

__all__ = [
    "GraphLoss",
    "Int8Report",
    "QuantisedGraphs",
    "calibration_clips",
    "check_signed",
    "half_signed_model",
    "int8_bounds",
    "quantised_graphs",
    "unavailable",
]
