"""The four networks of spec §2: what is fixed for each, and what a checkpoint's shapes decide.

Shape letters used in this package: `N` batch (always 1), `C` channels, `H W` input pixels, `h w`
feature map, `P` memory positions, `D` key width (d_k = 64), `V` value width (d_v), `K` classes,
`m` paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from tdnet_models.sizes import feature_size_from_input, suggested_size

__all__ = ["KEY_WIDTH", "VARIANTS", "NetworkSpec", "Variant", "spec_from_shapes"]

KEY_WIDTH = 64
"""d_k of the paper: channels of queries and keys, the same in every variant."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What makes a network one of the four.

    Attributes:
        name: as users know it.
        paths: m, the number of sub-networks; 1 for the per-frame network.
        family: `psp` (dilated ResNet and pyramid pooling) or `fanet`.
        bottleneck: True for ResNet-50 and -101 blocks, which come with the deep stem.
        blocks: residual blocks of layer1 to layer4.
        groups: for each path, which half of the pyramid-pooled channels it keeps (0 or 1); empty
            where all are kept.
        memory_stride: n, the deployment's default (spec §3).
    """

    name: str
    paths: int
    family: str
    bottleneck: bool
    blocks: tuple[int, int, int, int]
    groups: tuple[int, ...]
    memory_stride: int

    @property
    def temporal(self) -> bool:
        """True where frames are remembered."""
        return self.paths > 1

    def prefix(self, path: int) -> str:
        """State-dict name of the backbone of `path` (1 to m)."""
        return f"pretrained{path}" if self.temporal else "pretrained"


_VARIANTS = (
    Variant(
        name="td2-psp50",
        paths=2,
        family="psp",
        bottleneck=True,
        blocks=(3, 4, 6, 3),
        groups=(0, 1),
        memory_stride=4,
    ),
    Variant(
        name="td4-psp18",
        paths=4,
        family="psp",
        bottleneck=False,
        blocks=(2, 2, 2, 2),
        groups=(0, 1, 0, 1),
        memory_stride=4,
    ),
    Variant(
        name="td2-fa18",
        paths=2,
        family="fanet",
        bottleneck=False,
        blocks=(2, 2, 2, 2),
        groups=(),
        memory_stride=3,
    ),
    Variant(
        name="psp101",
        paths=1,
        family="psp",
        bottleneck=True,
        blocks=(3, 4, 23, 3),
        groups=(),
        memory_stride=4,
    ),
)
VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in _VARIANTS}
"""The four networks by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A network's shapes: all that is needed to build it.

    Attributes:
        variant: which of the four.
        classes: K.
        input_size: (H, W) of the image.
        stem: channels of the first convolution.
        planes: channels of the blocks of layer1 to layer4 (before a bottleneck's expansion by 4).
        value: d_v; 0 for psp101.
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
        return 2 * self.stem if self.variant.bottleneck else self.stem

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

PUBLISHED: Mapping[str, NetworkSpec] = {
    "td2-psp50": NetworkSpec(
        variant=VARIANTS["td2-psp50"],
        classes=19,
        input_size=(769, 1537),
        stem=64,
        planes=(64, 128, 256, 512),
        value=512,
        head=256,
        neck=0,
        classifier=1000,
        auxiliary=0,
    ),
    "td4-psp18": NetworkSpec(
        variant=VARIANTS["td4-psp18"],
        classes=19,
        input_size=(769, 1537),
        stem=64,
        planes=(64, 128, 256, 512),
        value=512,
        head=128,
        neck=0,
        classifier=1000,
        auxiliary=0,
    ),
    "td2-fa18": NetworkSpec(
        variant=VARIANTS["td2-fa18"],
        classes=19,
        input_size=(768, 1536),
        stem=64,
        planes=(64, 128, 256, 512),
        value=256,
        head=256,
        neck=128,
        classifier=0,
        auxiliary=64,
    ),
    "psp101": NetworkSpec(
        variant=VARIANTS["psp101"],
        classes=19,
        input_size=(769, 1537),
        stem=64,
        planes=(64, 128, 256, 512),
        value=0,
        head=512,
        neck=0,
        classifier=1000,
        auxiliary=0,
    ),
}
"""The networks as published: 19 classes, 769×1537 or 768×1536."""


def spec_from_widths(
    name: str,
    *,
    classes: int,
    input_size: tuple[int, int],
    widths: Mapping[str, int | tuple[int, ...]],
) -> NetworkSpec:
    """The spec that `NetworkSpec.widths` was read from."""
    known = {key: widths[key] for key in _WIDTHS}
    return replace(PUBLISHED[name], classes=classes, input_size=input_size, **known)  # type: ignore[arg-type]


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
    stem = width(f"{trunk}.conv1.0.weight" if variant.bottleneck else f"{trunk}.conv1.weight", published.stem)
    final, middle = {
        "td2-fa18": ("head1.conv_out.weight", "head1.conv.conv.weight"),
        "psp101": ("head.conv5.5.weight", "head.conv5.1.weight"),
    }.get(variant.name, ("head1.conv5.4.weight", "head1.conv5.0.weight"))
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
