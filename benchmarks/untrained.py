"""Write a checkpoint of the published shapes with the deterministic weights of the reference outputs.

    python benchmarks/untrained.py td4-psp18 td4-psp18.pth

Its masks mean nothing. Its speed is a trained network's, and how far INT8 or BF16 carry its features from
FP32's can be told; labels are nearly tied, and change more easily than a trained network's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python benchmarks/untrained.py NETWORK OUT.pth")
    sys.path.insert(0, str(ROOT))  # the weights' recipe lies beside the outputs that it gave
    from tests.data.weights import make_state_dict

    keys = (ROOT / "tests" / "data" / "reference" / f"{sys.argv[1]}.keys.json").read_text(encoding="utf-8")
    torch.save(make_state_dict(json.loads(keys), seed=0), sys.argv[2])
