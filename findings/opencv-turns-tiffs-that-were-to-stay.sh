#!/usr/bin/env bash
# OpenCV turns TIFF images by their orientation tag although IMREAD_IGNORE_ORIENTATION was given; JPEGs it leaves.
# Seen with opencv-python-headless 5.0.0.93 on 2026-11-28.
# Expected: the flag means pixels as they are stored, whatever the format is.
# Comes: a TIFF of 48 rows and 64 columns with tag 274 = 6 arrives as 64 × 48, a JPEG with the same EXIF mark as 48 × 64.
# Here: images are read as stored in a way of our own and turned by their mark (runtime/tdnet_runtime/media/exif.py).
. "$(dirname "$0")/common.bash"
with opencv-python-headless==5.0.0.93 pillow==12.3.0 numpy==2.4.6
"$PYTHON" - >out <<'PY'
import io

import cv2
import numpy as np
from PIL import Image

picture = Image.fromarray(np.arange(48 * 64 * 3, dtype=np.uint32).reshape(48, 64, 3).astype(np.uint8))
exif = Image.Exif()
exif[274] = 6
for kind in ("JPEG", "TIFF"):
    file = io.BytesIO()
    picture.save(file, kind, **({"exif": exif} if kind == "JPEG" else {"tiffinfo": {274: 6}}))
    data = np.frombuffer(file.getvalue(), np.uint8)
    kept = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    print(kind, "with IGNORE_ORIENTATION:", kept.shape[:2], "without:", cv2.imdecode(data, cv2.IMREAD_COLOR).shape[:2])
PY
seen <<'TEXT'
JPEG with IGNORE_ORIENTATION: (48, 64) without: (64, 48)
TIFF with IGNORE_ORIENTATION: (64, 48) without: (64, 48)
TEXT
