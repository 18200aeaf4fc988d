"""The networks of spec §2: what is fixed for each, and what a checkpoint's shapes decide.

Shape letters used in this package: `N` batch (always 1), `C` channels, `H W` input pixels, `h w`
feature map, `P` memory positions, `D` key width (d_k = 64), `V` value width (d_v), `K` classes,
`m` paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from tdnet_models.sizes import feature_size_from_input, suggested_size
from tdnet_runtime.errors import OptionError

__all__ = ["DEPTHS", "KEY_WIDTH", "PUBLISHED", "VARIANTS", "NetworkSpec", "Variant", "final_convolution"]
__all__ += ["spec_from_shapes", "spec_from_widths"]

KEY_WIDTH = 64
"""d_k of the paper: channels of queries and keys, the same in every variant."""

Shapes = Mapping[str, tuple[int, ...]]


DEPTHS: Mapping[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
"""Residual blocks of layer1 to layer4 of each ResNet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What tells the networks apart; the rest follows (spec §2).

    Attributes:
        family: `psp` (dilated ResNet and pyramid pooling) or `fanet`.
        paths: m, the number of sub-networks; 1 for a per-frame network.
        depth: of the ResNet, a key of `DEPTHS`.
    """

    family: str
    paths: int
    depth: int

    @property
    def name(self) -> str:
        """As users know it: `td2-psp50`, `td4-psp18`, `td2-fa18`, `psp101`."""
        network = f"{'fa' if self.family == 'fanet' else 'psp'}{self.depth}"
        return f"td{self.paths}-{network}" if self.temporal else network

    @property
    def temporal(self) -> bool:
        """True where frames are remembered."""
        return self.paths > 1

    @property
    def bottleneck(self) -> bool:
        """True for the blocks of ResNet-50 and -101."""
        return self.depth >= 50

    @property
    def deep_stem(self) -> bool:
        """True for three 3×3 convolutions instead of one of 7×7."""
        return self.bottleneck and self.family == "psp"

    @property
    def blocks(self) -> tuple[int, int, int, int]:
        """Residual blocks of layer1 to layer4."""
        return DEPTHS[self.depth]

    @property
    def groups(self) -> tuple[int, ...]:
        """For each path, which half of the pyramid-pooled channels it keeps (0 or 1); empty where all are kept."""
        if self.family == "fanet" or not self.temporal:
            return ()
        return tuple(index % 2 for index in range(self.paths))

    @property
    def memory_stride(self) -> int:
        """n, the deployment's default (spec §3)."""
        return 3 if self.family == "fanet" else 4

    def prefix(self, path: int) -> str:
        """State-dict name of the backbone of `path` (1 to m)."""
        return f"pretrained{path}" if self.temporal else "pretrained"


_VARIANTS = (
    *(Variant(family="psp", paths=paths, depth=depth) for paths in (2, 4, 1) for depth in DEPTHS),
    *(Variant(family="fanet", paths=2, depth=depth) for depth in (18, 34, 50)),
)
VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in _VARIANTS}
"""All networks that the public code can build, by name; four of them were published: see spec §2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A network's shapes: all that is needed to build it.

    Attributes:
        variant: which network.
        classes: K.
        input_size: (H, W) of the image.
        stem: channels of the first convolution.
        planes: channels of the blocks of layer1 to layer4 (before a bottleneck's expansion by 4).
        value: d_v; 0 for per-frame networks.
        head: channels between the head's two convolutions.
        neck: channels of each of FANet's two smoothed maps; 0 for the PSP family.
        classifier: outputs of the backbone's unused `fc`; 0 where there is none.
        auxiliary: channels of FANet's unused auxiliary heads; 0 where there are none.
    """

    variant: Variant
    classes: int
    input_size: tuple[int, int]
    stem: int
    planes: tuple[int, int, int, int]
    value: int
    head: int
    neck: int
    classifier: int
    auxiliary: int

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.variant.name

    @property
    def stem_out(self) -> int:
        """Channels after the stem: the deep stem doubles its width."""
        return 2 * self.stem if self.variant.deep_stem else self.stem

    @property
    def trunk_channels(self) -> tuple[int, int, int, int]:
        """Channels of the outputs of layer1 to layer4."""
        expansion = 4 if self.variant.bottleneck else 1
        one, two, three, four = (expansion * planes for planes in self.planes)
        return one, two, three, four

    @property
    def feature_channels(self) -> int:
        """C of the features that the encoding sees."""
        if self.variant.family == "fanet":
            return 2 * self.neck
        pooled = 2 * self.trunk_channels[3]
        return pooled // 2 if self.variant.groups else pooled

    @property
    def feature_size(self) -> tuple[int, int]:
        """(h, w) of the features, and so of the LayerNorm maps."""
        return feature_size_from_input(self.input_size)

    @property
    def widths(self) -> dict[str, int | tuple[int, ...]]:
        """Channel widths by name: what `spec_from_widths` needs beside variant, classes and size."""
        values = asdict(self)
        return {name: values[name] for name in _WIDTHS}


_WIDTHS = ("stem", "planes", "value", "head", "neck", "classifier", "auxiliary")


def _public_spec(variant: Variant) -> NetworkSpec:
    fanet = variant.family == "fanet"
    width = 2048 if variant.bottleneck else 512
    value, head = {4: (width, width // 4), 2: (width // 4, width // 8), 1: (0, width // 4)}[variant.paths]
    return NetworkSpec(
        variant=variant,
        classes=19,
        input_size=(768, 1536) if fanet else (769, 1537),
        stem=64,
        planes=(64, 128, 256, 512),
        value=256 if fanet else value,
        head=256 if fanet else head,
        neck=128 if fanet else 0,
        classifier=0 if fanet else 1000,
        auxiliary=64 if fanet else 0,
    )


PUBLISHED: Mapping[str, NetworkSpec] = {name: _public_spec(variant) for name, variant in VARIANTS.items()}
"""The networks as the public code builds them for Cityscapes: 19 classes, 769×1537 or 768×1536."""


def spec_from_widths(
    name: str,
    *,
    classes: int,
    input_size: tuple[int, int],
    widths: Mapping[str, int | tuple[int, ...]],
) -> NetworkSpec:
    """The spec that `NetworkSpec.widths` was read from.

    Raises:
        OptionError: no network has that name.
    """
    if name not in PUBLISHED:
        raise OptionError(f"no network is called {name!r}; known are {', '.join(PUBLISHED)}")
    known = {key: widths[key] for key in _WIDTHS}
    return replace(PUBLISHED[name], classes=classes, input_size=input_size, **known)  # type: ignore[arg-type]


def final_convolution(variant: Variant, path: int = 1) -> str:
    """State-dict name of the weight whose outputs are the classes."""
    if variant.family == "fanet":
        return f"head{path}.conv_out.weight"
    return f"head{path}.conv5.4.weight" if variant.temporal else "head.conv5.5.weight"


def spec_from_shapes(variant: Variant, shapes: Shapes) -> NetworkSpec:
    """Read widths and classes off a state dict's shapes, and the input size that its LayerNorm maps suggest.

    Where a telling key is absent or has the wrong number of dimensions the published value stands
    in, so that the comparison of all keys that follows can name what is wrong.
    """
    published = PUBLISHED[variant.name]

    def width(key: str, default: int, axis: int = 0) -> int:
        shape = shapes.get(key, ())
        return shape[axis] if len(shape) > axis else default

    trunk = variant.prefix(1)
    planes = tuple(width(f"{trunk}.layer{n}.0.conv1.weight", published.planes[n - 1]) for n in (1, 2, 3, 4))
    stem = width(f"{trunk}.conv1.0.weight" if variant.deep_stem else f"{trunk}.conv1.weight", published.stem)
    finals = [final_convolution(variant, path) for path in range(1, variant.paths + 1)]
    final, middle = next((key for key in finals if key in shapes), finals[0]), "head1.conv5.0.weight"
    if variant.family == "fanet":
        middle = "head1.conv.conv.weight"
    elif not variant.temporal:
        middle = "head.conv5.1.weight"
    norm = "layer_norm1.ln.weight"
    maps = width(norm, published.feature_size[0]), width(norm, published.feature_size[1], axis=1)
    return replace(
        published,
        classes=width(final, published.classes),
        input_size=suggested_size(variant, maps),
        stem=stem,
        planes=planes,  # type: ignore[arg-type]  # four of them, from the four layers above
        value=width("enc1.w_vs.0.conv.weight", published.value),
        head=width(middle, published.head),
        neck=width("ffm_16_1.smooth.conv.weight", published.neck) if variant.family == "fanet" else 0,
        classifier=width(f"{trunk}.fc.weight", 0),
        auxiliary=width("head_aux1.conv.conv.weight", 0) if variant.family == "fanet" else 0,
    )
