"""Why the tensors of a checkpoint are none of the networks: the cause first, then eight keys and a count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from tdnet_models.checkpoint_weights import named_mappings
from tdnet_models.provenance import SHOWN, Provenance, shown
from tdnet_models.variants import DEPTHS, VARIANTS, NetworkSpec, Shapes, Variant, final_convolution
from tdnet_runtime.errors import CheckpointError

__all__ = ["foreign_error", "misfit_error", "variant_from_names"]

_KNOWN = "Known networks: td2-psp, td4-psp and psp with ResNet-18, -34, -50 or -101, td2-fa with ResNet-18, -34 or -50"
_SAVE = "save model.state_dict(), alone or as {'model_state': ...}"
_WORTH_NAMING = 0.5  # share of parameters in common from which on a network is called the nearest
_RESNET_152 = (3, 8, 36, 3)

_FOREIGN = (
    (r"resnet\.layer1\.0\..*|clslayer_8\..*", "a per-frame FANet, which the training of td2-fa begins with"),
    (r"decode_head\..*", "a network of MMSegmentation"),
    (r"backbone\.layer1\.0\..*", "a segmentation or detection network of torchvision (DeepLab, FCN, ...)"),
    (r"(model\.)+\d+\.(conv|cv1|m|dfl|attn)\..*", "a YOLO network"),
    (r"(stage\d|transition\d|incre_modules)\..*", "an HRNet"),
    (r"(.*\.)?(ppm|cls)\.\d.*|layer0\.\d\..*", "another implementation of PSPNet"),
    (r"(.*\.)?(encoder|blocks?|layers?)\.\d+\.(attn|attention|self_attn|mixer)\..*", "a transformer"),
    (r"(layer1\.0\.conv1|layer4\.1\.bn1)\..*", "a plain ResNet, which training begins with"),
)
"""Names by which other networks are told, and what they are."""


def variant_from_names(names: Iterable[str], path: str) -> Variant:
    """Which network a state dict's names are of: its sub-networks, their family and their depth.

    Args:
        names: of the tensors, without prefixes.
        path: of the file, for messages.

    Raises:
        CheckpointError: none that the public code builds.
    """
    names = list(names)
    numbers = sorted({match[1] for name in names if (match := re.match(r"pretrained(\d*)\.", name))})
    paths = 1 if numbers == [""] else len(numbers)
    if paths > 1 and (paths not in (2, 4) or numbers != [str(index + 1) for index in range(paths)]):
        trunks = shown(f"pretrained{number}" for number in numbers)
        raise _refused(
            path, f"it has the trunks {trunks}; expected pretrained1 and 2, 1 to 4, or one `pretrained`"
        )
    if paths == 1 and numbers != [""]:
        raise _refused(
            path,
            f"{shown([f'pretrained{numbers[0]}'])} is its only trunk; the other sub-networks are missing",
        )
    if paths == 1 and any(name.startswith("group") for name in names):
        raise _refused(path, "it is the teacher that training makes of a psp101; name the psp101 itself")
    depths = {number or "": _depth(names, f"pretrained{number}", path) for number in numbers}
    if len(set(depths.values())) > 1:
        found = ", ".join(f"path {number} a ResNet-{depth}" for number, depth in depths.items())
        raise _refused(
            path, f"its sub-networks have different depths ({found}), as the public code never builds them"
        )
    family = "fanet" if any(name.startswith("ffm_") for name in names) else "psp"
    variant = Variant(family=family, paths=paths, depth=depths[numbers[0]])
    if variant.name not in VARIANTS:
        raise _refused(path, f"it would be a {variant.name}, which the public code does not build")
    return variant


def _depth(names: list[str], trunk: str, path: str) -> int:
    pattern = re.compile(rf"{trunk}\.layer([1-4])\.(\d{{1,4}})\.")
    places = {(int(match[1]), int(match[2])) for name in names if (match := pattern.match(name))}
    blocks = tuple(max((block + 1 for layer, block in places if layer == n), default=0) for n in (1, 2, 3, 4))
    bottleneck = any(name.startswith(f"{trunk}.layer1.0.conv3.") for name in names)
    for depth, known in DEPTHS.items():
        if known == blocks and bottleneck == (depth >= 50):
            return depth
    if not any(blocks):
        raise _refused(path, f"{trunk} has no layer1 to layer4, so it is no ResNet")
    what = "as a ResNet-152" if blocks == _RESNET_152 else f"with{'' if bottleneck else 'out'} bottlenecks"
    raise _refused(
        path,
        f"{trunk} has {', '.join(map(str, blocks))} blocks in layer1 to layer4 ({what}), not those of a known depth",
    )


def _refused(path: str, cause: str) -> CheckpointError:
    return CheckpointError(f"the checkpoint {path!r} does not fit any network: {cause}. {_KNOWN}")


def misfit_error(
    state: Mapping[str, torch.Tensor], expected: Shapes, spec: NetworkSpec, path: str, provenance: Provenance
) -> CheckpointError | None:
    """What does not fit between a state dict and the network whose names it has; None where all does."""
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    other = {
        key: (tuple(state[key].shape), shape)
        for key, shape in expected.items()
        if key in state and tuple(state[key].shape) != tuple(shape)
    }
    lists = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": [
            f"{key} {list(came)} instead of {list(shape)}" for key, (came, shape) in other.items()
        ],
    }
    lists = {what: keys for what, keys in lists.items() if keys}
    if not lists:
        return None
    keys = "; ".join(
        f"{len(found)} {what} ({shown(found, most=SHOWN // len(lists))})" for what, found in lists.items()
    )
    causes = "; ".join(_causes(state, expected, spec, provenance, missing, unexpected, other)[:2])
    fitting = len(expected) - len(missing) - len(other)
    if fitting < _WORTH_NAMING * len(expected | state.keys()):
        what = f"is no {spec.name} ({fitting} of its {len(expected)} parameters are there and have the right shape)"
    else:
        maps = f", LayerNorm maps {list(spec.feature_size)}" if spec.variant.temporal else ""
        what = f"does not fit any network; it came nearest to {spec.name} ({spec.classes} classes{maps})"
    return CheckpointError(
        f"the checkpoint {path!r} {what}: {causes and f'{causes}. Keys: '}{keys}. {_KNOWN}"
    )


def _causes(
    state: Mapping[str, torch.Tensor],
    expected: Shapes,
    spec: NetworkSpec,
    provenance: Provenance,
    missing: list[str],
    unexpected: list[str],
    other: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
) -> list[str]:
    """What may have led to this, the likeliest first."""
    causes = []
    paths = range(1, spec.variant.paths + 1)
    classes = {p: state[key].shape[:1] for p in paths if (key := final_convolution(spec.variant, p)) in state}
    if len(set(classes.values())) > 1:
        counts = ", ".join(f"head{p} {size[0]}" for p, size in classes.items() if size)
        causes.append(f"its heads have different numbers of classes ({counts})")
    norms = {
        name: tuple(state[name].shape) for name in expected if name.startswith("layer_norm") and name in state
    }
    if len(set(norms.values())) > 1:
        sizes = {name.partition(".")[0]: list(shape) for name, shape in norms.items()}
        causes.append(
            f"its LayerNorm maps have different sizes ({shown(f'{n} {s}' for n, s in sizes.items())})"
        )
    if missing and all(re.search(r"\.running_(mean|var)$", key) for key in missing):
        causes.append(
            "the statistics of its BatchNorms are missing, as in an average of the parameters alone; load it into the "
            "network and save that one's whole state dict"
        )
    stem, kernel = ("conv1.0", 3) if spec.variant.deep_stem else ("conv1", 7)
    first = tuple(state.get(f"{spec.variant.prefix(1)}.{stem}.weight", torch.empty(0)).shape)
    turned = [
        key
        for key, (came, shape) in other.items()
        if len(came) < len(shape) or (len(shape) > 1 and _sides(came) == _sides(shape))
    ]
    if len(first) == 4 and first[1:] == (first[1], kernel, kernel) and first[1] != 3:
        causes.append(f"its first convolution takes {first[1]} channels, a frame has 3")
    elif len(turned) > len(other) / 2 or (first != (0,) and first[2:] != (kernel, kernel)):
        causes.append("its weights have their axes in another order than PyTorch's, or have lost some")
    if spec.variant.deep_stem and f"{spec.variant.prefix(1)}.conv1.weight" in state:
        causes.append(
            f"its ResNet-{spec.variant.depth} begins with one 7×7 convolution (torchvision's); the public code's has "
            "three of 3×3"
        )
    modules = {name.partition(".")[0] for name in state}
    if lacking := dict.fromkeys(name for key in missing if (name := key.partition(".")[0]) not in modules):
        causes.append(f"it lacks {shown(lacking)} altogether")
    known = {name.partition(".")[0] for name in expected}
    if foreign := dict.fromkeys(name for key in unexpected if (name := _outermost(key)) not in known):
        causes.append(
            f"it has entries that {spec.name} has not ({shown(foreign)}) and may compute something else; if they are no "
            f"part of it, --weights {provenance.key} leaves them"
        )

    return causes


def _outermost(key: str) -> str:
    """The first part of a name that training did not put there."""
    return re.sub(r"\A((module|_orig_mod)\.)+", "", key).partition(".")[0]


def _sides(shape: tuple[int, ...]) -> list[int]:
    """What stays of a shape when axes are exchanged, or those of length 1 dropped."""
    return sorted(side for side in shape if side != 1)


def foreign_error(content: object, path: str) -> CheckpointError:
    """What a file is that holds no network of this kind, and what to do."""
    return CheckpointError(f"the checkpoint {path!r} {_foreign(content)}")


def _foreign(content: object) -> str:
    if isinstance(content, torch.Tensor):
        return (
            f"holds one bare tensor {list(content.shape)}, expected a state dict: names and tensors; {_SAVE}"
        )
    if not isinstance(content, Mapping):
        return f"holds {_one(type(content).__name__)}, expected a state dict: names and tensors; {_SAVE}"
    if not content:
        return f"holds {_one(type(content).__name__)} with nothing in it, expected a state dict; {_SAVE}"
    names = _tensor_names(content)
    entries = shown(f"{str(key)!r} ({_kind(value)})" for key, value in content.items())
    if not names and any(
        isinstance(m, Mapping) and "param_groups" in m for m in (content, *content.values())
    ):
        return f"holds the state of an optimizer and no weights; its entries are {entries}; {_SAVE}"
    if not names:
        return f"holds no named tensors; its entries are {entries}; {_SAVE}"
    for pattern, what in _FOREIGN:
        if any(re.fullmatch(pattern, name) for name in names):
            return f"is {what}, no TDNet; its first tensors are {shown(names)}. {_KNOWN}"
    if all(re.search(r"n_averaged|total_ops|total_params|loss|criterion", name) for name in names):
        return f"holds only what training keeps beside the weights ({shown(names)}); {_SAVE}"
    return (
        f"does not fit any network: it has no tensors of a trunk (`pretrained...`); its tensors are "
        f"{shown(names)}. {_KNOWN}"
    )


def _one(noun: str) -> str:
    return f"a{'n' * (noun[0].lower() in 'aeiou')} {noun}"


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor {list(value.shape)}"
    if isinstance(value, Mapping) and not value:
        return f"{type(value).__name__}, empty"
    name = type(value).__name__
    return {"_reconstruct": "NumPy array", "scalar": "NumPy number"}.get(name, name)


def _tensor_names(content: Mapping[Any, Any]) -> list[str]:
    """Names of the tensors in the mapping that has most of them, without what wraps them for training."""
    most: list[str] = []
    for _, mapping in named_mappings(content):
        names = [str(key) for key, value in mapping.items() if isinstance(value, torch.Tensor)]
        most = max(most, names, key=len)
    return [re.sub(r"\b(module|_orig_mod)\.", "", name) for name in most]
