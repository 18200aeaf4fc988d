"""`python -m tdnet_bench.published`."""

from tdnet_runtime.extras import launch

if __name__ == "__main__":
    launch("published", "tdnet_bench.published.pages:run", extra="bench")
