"""`python -m tdnet_bench.gpu_check`."""

from tdnet_runtime.extras import launch

if __name__ == "__main__":
    launch("gpu-check", "tdnet_bench.gpu_check.cli:run", extra="bench")
