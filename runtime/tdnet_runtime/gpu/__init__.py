"""Streams on a GPU: buffers, scheduling of copies and graphs, capture; engines and devices are behind protocols.

`device.py` and `engine.py` say what a GPU and an inference engine must offer. Everything else here is
written against these two, and runs in CI against a fake of them; `cuda_device.py` and `trt_engine.py`
are the thin adapters to cuda-core and TensorRT. See docs/tensorrt.md.
"""
