"""`python -m tdnet_bench.gpu_check`."""

from __future__ import annotations

from tdnet_bench.gpu_check import main

if __name__ == "__main__":
    main()
