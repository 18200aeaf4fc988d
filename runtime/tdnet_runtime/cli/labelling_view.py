"""How a network sees frames and how labels come about, in words: what was stated at the export, and what was assumed."""

from __future__ import annotations

from tdnet_runtime.manifest import InputSpec, Manifest

__all__ = [
    "assumption",
    "channel_values",
    "confidence",
    "labelling",
    "own_labels",
    "preprocessing",
    "scaled",
]

_REMEDY = "export with --preprocessing, or --mean and --std, to state them"


def preprocessing(spec: InputSpec) -> str:
    """The whole preprocessing in one line."""
    mean, std = (channel_values(spec, values) for values in (spec.mean, spec.std))
    return (
        f"{spec.color_order}, ({scaled(spec.scale)} - mean)/std, mean {mean}, std {std}; {assumption(spec)}"
    )


def channel_values(spec: InputSpec, values: tuple[float, float, float]) -> str:
    """`R 0.485, G 0.456, B 0.406`: each value with its channel, in the network's order."""
    return ", ".join(f"{name} {value:.6g}" for name, value in zip(spec.color_order, values, strict=True))


def assumption(spec: InputSpec) -> str:
    """Whether the user stated it."""
    if spec.preprocessing_from == "user":
        return "stated at the export"
    if spec.color_order == "BGR":  # which is never assumed
        return f"BGR as stated, mean, std and scale ASSUMED; {_REMEDY}"
    return f"ASSUMED, as TDNet's public code has it; {_REMEDY}"


def labelling(manifest: Manifest) -> str:
    """The rule that makes labels of logits."""
    names = [spec.name for spec in manifest.classes]
    if manifest.threshold is not None:
        return f"{names[1]} where the one logit's sigmoid is above {manifest.threshold:g}, else {names[0]}"
    if len(names) == 1:
        return "all 0: one class and no threshold (before schema 3); export it again for a sigmoid's labels"
    return "the class of the largest logit"


def confidence(manifest: Manifest) -> str:
    """What comes with the labels."""
    if not manifest.gives_confidence:
        return "none; export with --confidence to have it"
    share = "softmax share" if manifest.threshold is None else "probability"
    return f"uint8, the label's {share}, 255 for 1; not calibrated"


def own_labels(manifest: Manifest) -> str:
    """Whether frames may go without attention."""
    if manifest.own_graphs:
        return "of each sub-network alone, on frames without attention (attention=False, mode no_attention)"
    if not manifest.state.slots:
        return "all: there is no attention"
    return "none; export with --own-labels to have frames without attention"


def scaled(scale: float) -> str:
    """What is made of a pixel x first."""
    if scale == 1:
        return "x"
    parts = round(1 / scale) if 1e-9 < scale < 1 else 0
    return f"x/{parts}" if parts and scale == 1 / parts else f"{scale:.6g} x"
