"""The two products that build engines: what they are called, and what must be installed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions, version

from tdnet_runtime.engine_header import PRODUCTS
from tdnet_runtime.errors import MissingExtraError, OptionError

__all__ = ["ENGINE_BACKENDS", "Product", "cuda_major", "product_of", "require_product"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A builder of engines.

    Attributes:
        backend: the runtime backend that its engines are for.
        module: its Python module.
        install: how to get it, in a clause.
        portable: True where it builds, without a GPU, for all devices that it knows.
    """

    backend: str
    module: str
    install: str
    portable: bool

    @property
    def title(self) -> str:
        """What people call it."""
        return PRODUCTS[self.backend]


_OLDEST_POLYGRAPHY = (0, 50, 3)
"""Older ones ask for what TensorRT-RTX and TensorRT 11 no longer have (`EXPLICIT_BATCH`, `precision_is_set`)."""
_POLYGRAPHY = "pip install 'polygraphy>=0.50.3'"
_PRODUCTS = {
    "tensorrt": Product(
        backend="tensorrt",
        module="tensorrt",
        install="install TensorRT 10.3 or later from NVIDIA (on a Jetson JetPack 6.1 and later bring it: make the "
        f"environment with python -m venv --system-site-packages), and: {_POLYGRAPHY}",
        portable=False,
    ),
    "tensorrt-rtx": Product(
        backend="tensorrt-rtx",
        module="tensorrt_rtx",
        install=f"install it with: pip install tensorrt-rtx, and: {_POLYGRAPHY}",
        portable=True,
    ),
}
ENGINE_BACKENDS = tuple(_PRODUCTS)
"""What `--backend` of tdnet-export takes."""


def product_of(backend: str) -> Product:
    """The product behind a backend's name.

    Raises:
        OptionError: no engines are built for it.
    """
    if backend not in _PRODUCTS:
        raise OptionError(
            f"engines are built for the backends {', '.join(ENGINE_BACKENDS)}, came {backend!r}"
        )
    return _PRODUCTS[backend]


def require_product(backend: str) -> None:
    """Raise unless the product and Polygraphy look installed; nothing is imported, so it is quick.

    Raises:
        OptionError: as from `product_of`.
        MissingExtraError: a package is absent, or Polygraphy too old; the message says how to install it.
    """
    product = product_of(backend)
    for module in (product.module, "polygraphy"):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:  # a folder of stubs alone is a package without an origin
            raise missing(product, f"the package {module!r} is not installed")
    found = version("polygraphy")
    if tuple(int(part) for part in re.findall(r"\d+", found)[:3]) < _OLDEST_POLYGRAPHY:
        raise missing(product, f"Polygraphy {found} is too old for TensorRT 11 and TensorRT-RTX")


def missing(product: Product, what: str) -> MissingExtraError:
    """The error for a product that cannot be used, with the remedy."""
    return MissingExtraError(f"building {product.title} engines: {what}; {product.install}")


def cuda_major(module: str, names: Iterable[str] | None = None) -> str | None:
    """CUDA's major version that the installed package of `module` is made for, "13"; None where it does not say.

    Args:
        module: `tensorrt` or `tensorrt_rtx`.
        names: of the installed distributions, if not this environment's.
    """
    if names is None:
        names = [distribution.metadata["Name"] or "" for distribution in distributions()]
    for name in names:
        match = re.fullmatch(rf"{module}_cu(\d+)(?:_libs|_bindings)?", re.sub(r"[-.]+", "_", name).lower())
        if match:
            return match[1]
    return None
