#!/usr/bin/env bash
# OpenCV gives the colours of an RGBA TIFF multiplied by its alpha, and those of a PNG as they are.
# Seen with opencv-python-headless 5.0.0.93 and tifffile 2026.3.3 on 2026-11-29.
# Expected: alpha that the file calls unassociated (ExtraSamples 2) leaves colours alone, as in every other format.
# Comes: pictures of 8 bits are read through libtiff's RGBA interface, which multiplies it in, with IMREAD_UNCHANGED, too; those of
# 16 bits only where they are brought to 8.
# Here: the tag is patched in memory before the picture is decoded (runtime/tdnet_runtime/media/exif.py).
. "$(dirname "$0")/common.bash"
with opencv-python-headless==5.0.0.93 tifffile==2026.3.3 numpy==2.4.6
"$PYTHON" - <<'PY' >out
import cv2
import numpy as np
import tifffile

for name, dtype, factor in (("8 bits", np.uint8, 1), ("16 bits", np.uint16, 257)):
    rgba = np.zeros((8, 8, 4), dtype)
    rgba[...] = np.array([200, 120, 40, 128]) * factor
    tifffile.imwrite("a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    cv2.imwrite("a.png", rgba[..., [2, 1, 0, 3]])
    for path in ("a.png", "a.tif"):
        for flag in ("IMREAD_COLOR", "IMREAD_UNCHANGED"):
            bgr = cv2.imread(path, getattr(cv2, flag))[0, 0, :3].astype(int)
            print(name, path[-3:], flag, bgr[::-1] // (factor if bgr.max() > 255 else 1))
PY
seen <<'TEXT'
8 bits png IMREAD_COLOR [200 120  40]
8 bits png IMREAD_UNCHANGED [200 120  40]
8 bits tif IMREAD_COLOR [100  60  20]
8 bits tif IMREAD_UNCHANGED [100  60  20]
16 bits png IMREAD_COLOR [200 120  40]
16 bits png IMREAD_UNCHANGED [200 120  40]
16 bits tif IMREAD_COLOR [100  60  20]
16 bits tif IMREAD_UNCHANGED [200 120  40]
TEXT
