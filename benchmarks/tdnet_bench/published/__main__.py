"""`python -m tdnet_bench.published`."""

from __future__ import annotations

from tdnet_bench.published import main

if __name__ == "__main__":
    main()
