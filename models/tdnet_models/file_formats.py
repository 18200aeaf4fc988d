"""What files are that are no checkpoints, told by their first bytes."""

from __future__ import annotations

import re

__all__ = ["FORMATS"]

FORMATS: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), what, fix)
    for pattern, what, fix in (
        (
            rb"version https://git-lfs",
            "a Git LFS pointer, not the file that it stands for",
            "fetch that with: git lfs pull",
        ),
        (
            rb"\s*(<!doctype|<html)",
            "a web page",
            "download the file itself, not the page that offers it",
        ),
        (
            rb"(f|v)trt",
            "a TensorRT engine",
            "it holds no weights that can be read; give the checkpoint that it was built from",
        ),
        (
            rb"\x08[\x01-\x20](\x12|:|B)",
            "an ONNX model",
            "give the checkpoint that it was exported from; the graphs are written anew",
        ),
        (rb"\s*<\?xml", "XML (a model of OpenVINO?)", "give the checkpoint that it was made from"),
        (rb".{4}TFL3", "a TensorFlow Lite model", "give the checkpoint that it was made from"),
        (rb"\x89HDF\r\n", "an HDF5 file (Keras, MATLAB)", "give a checkpoint that PyTorch saved"),
        (
            rb"\((dp|lp)\d*\n|[\]}]q\0|c(__main__|_codecs|collections|copy_?reg|numpy|torch)[\w.]*\n",
            "a plain pickle, not a PyTorch file",
            "save the weights where it was trained: torch.save(model.state_dict(), 'weights.pth')",
        ),
        (rb"\x93NUMPY", "a NumPy array", "give a checkpoint that PyTorch saved"),
        (
            rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd",
            "a compressed archive",
            "unpack it first",
        ),
        (rb".{257}ustar", "a tar archive", "unpack it first"),
        (
            rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF|.{4}ftyp|BM.{4}\0\0\0\0|II\*\0",
            "a picture or video",
            "give the network's file",
        ),
        (rb"[\t\n\r\x20-\x7e]+\Z", "text", "give what torch.save wrote; copy or download it again"),
    )
)
"""By a file's first bytes: what it is, and what to do."""
