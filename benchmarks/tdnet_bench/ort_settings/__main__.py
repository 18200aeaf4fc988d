"""`python -m tdnet_bench.ort_settings`."""

from __future__ import annotations

from tdnet_bench.ort_settings import main

if __name__ == "__main__":
    main()
