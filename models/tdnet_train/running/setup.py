"""From a configuration to all that a run computes with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from tdnet_models.checkpoint import load_checkpoint
from tdnet_models.preprocessing import PRESETS, Preprocessing
from tdnet_models.tdnet import PerFrameNetwork
from tdnet_models.variants import NetworkSpec
from tdnet_runtime.errors import OptionError
from tdnet_train.losses.cross_entropy import CrossEntropy
from tdnet_train.losses.objective import Objective, Weights
from tdnet_train.networks.building import fresh_network, spec_from_settings
from tdnet_train.networks.clip_network import ClipNetwork
from tdnet_train.networks.synced_norm import synced
from tdnet_train.networks.teacher import Teacher
from tdnet_train.running.data import RunData
from tdnet_train.running.precision import Precision
from tdnet_train.running.ranks import Ranks
from tdnet_train.running.seeds import derived_seed
from tdnet_train.settings import LossSettings, PreprocessingSettings, TrainSettings
from tdnet_train.starting import Taken, take_start

__all__ = ["Setup", "prepared", "preprocessing_of", "require_own_scale", "with_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a run computes with.

    Attributes:
        settings: as configured.
        ranks: this process among others.
        network: in training mode, on its device.
        taken: what the first weights are, in words.
        teacher: None without distillation.
        objective: what is minimised.
        preprocessing: of images.
        data: what it learns from and is validated on.
    """

    settings: TrainSettings
    ranks: Ranks
    network: ClipNetwork
    taken: Taken
    teacher: Teacher | None
    objective: Objective
    preprocessing: Preprocessing
    data: RunData


def prepared(settings: TrainSettings, data: RunData, ranks: Ranks) -> Setup:
    """Read the checkpoints and build the network.

    Raises:
        TdnetError: what the configuration names is not there or does not fit.
    """
    run, classes = settings.run, len(data.train.classes)
    preprocessing = preprocessing_of(settings.preprocessing)
    Precision(run.precision, ranks.device)
    spec = spec_from_settings(settings.network, classes=classes)
    if run.batch * ranks.size == 1 and not run.freeze_norm and _smallest_map(spec) == 1:
        raise OptionError(
            f"run.batch is 1, and BatchNorm sees one value for each channel in a map of {spec.name} at "
            f"{spec.input_size[0]}x{spec.input_size[1]}; expected 2 or more, or run.freeze_norm = true"
        )
    network = fresh_network(spec, seed=run.seed)
    taken = take_start(network, settings.start)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(run.seed, "auxiliary"))  # the auxiliary heads are drawn here
        clip_network = ClipNetwork(
            network,
            auxiliary=settings.network.auxiliary and settings.loss.auxiliary > 0,
            memory_stride=settings.network.memory_stride,
            propagation=settings.network.propagation,
            dropout=settings.network.attention_dropout,
        )
    taken.take_auxiliary(clip_network)
    teacher = None
    if settings.teacher is not None:
        loaded = load_checkpoint(
            settings.teacher.checkpoint, size=spec.input_size, weights=settings.teacher.weights
        )
        if not isinstance(loaded, PerFrameNetwork):
            raise OptionError(
                f"teacher.checkpoint {settings.teacher.checkpoint!r} is a {loaded.spec.name}; expected a per-frame PSPNet, "
                "such as psp101"
            )
        teacher = Teacher(loaded, paths=spec.variant.paths, classes=classes)
    layout = torch.channels_last if run.channels_last else torch.contiguous_format
    clip_network = clip_network.to(ranks.device, memory_format=layout)  # type: ignore[call-overload]
    if teacher is not None:
        teacher = teacher.to(ranks.device, memory_format=layout)  # type: ignore[call-overload]
    if ranks.size > 1 and not run.freeze_norm:
        synced(clip_network, cuda=ranks.device.type == "cuda")
    return Setup(
        settings=settings,
        ranks=ranks,
        network=clip_network,
        taken=taken,
        teacher=teacher,
        objective=_objective(settings, classes, ranks),
        preprocessing=preprocessing,
        data=data,
    )


def _smallest_map(spec: NetworkSpec) -> int:
    """Positions of the smallest map that a BatchNorm sees: the pyramid's 1×1 grid, or FANet's coarsest level."""
    if spec.variant.family == "psp":
        return 1
    height, width = spec.input_size
    return -(-height // 64) * -(-width // 64)


def with_settings(setup: Setup, settings: TrainSettings) -> Setup:
    """The same with settings that `looked_through` has completed."""
    objective = _objective(settings, setup.network.network.spec.classes, setup.ranks)
    return replace(setup, settings=settings, objective=objective)


def preprocessing_of(settings: PreprocessingSettings) -> Preprocessing:
    """What is made of images.

    Raises:
        OptionError: no such preset, or a mean without a std.
    """
    if (settings.mean is None) != (settings.std is None):
        raise OptionError("preprocessing.mean and preprocessing.std go together; give both or neither")
    if settings.mean is not None and settings.std is not None:
        return Preprocessing(
            mean=settings.mean,
            std=settings.std,
            scale=settings.scale,
            color_order="BGR" if settings.bgr else "RGB",
        )
    if settings.preset not in PRESETS:
        raise OptionError(
            f"preprocessing.preset is {settings.preset!r}; expected one of {', '.join(PRESETS)}"
        )
    preset = PRESETS[settings.preset]
    return preset.bgr if settings.bgr else preset


def require_own_scale(settings: PreprocessingSettings) -> None:
    """Raise OptionError for a scale that `preprocessing_of` does not take, as a preset has its own.

    For runs that begin: those of earlier versions have begun with the preset's, and go on so.
    """
    scale = preprocessing_of(settings).scale
    if settings.scale not in (scale, PreprocessingSettings().scale):  # whole configurations name the default
        raise OptionError(
            f"preprocessing.scale is {settings.scale:g}, but that of preprocessing.preset = {settings.preset!r} is "
            f"{scale:g}; give preprocessing.mean and preprocessing.std as well, or leave it out"
        )


def _objective(settings: TrainSettings, classes: int, ranks: Ranks) -> Objective:
    loss = settings.loss
    weights = _class_weights(loss, classes)
    return Objective(
        weights=Weights(
            cross_entropy=loss.cross_entropy,
            dice=loss.dice,
            own=loss.own,
            auxiliary=loss.auxiliary,
            alpha=loss.alpha,
            beta=loss.beta,
        ),
        cross_entropy=CrossEntropy(
            threshold=loss.ohem_threshold,
            share=loss.ohem_share,
            weights=None if weights is None else weights.to(ranks.device),
            pixels=ranks.mean if ranks.size > 1 else None,
        ),
        temperature=1.0 if settings.teacher is None else settings.teacher.temperature,
    )


def _class_weights(loss: LossSettings, classes: int) -> torch.Tensor | None:
    if loss.class_weights is None or loss.class_weights == "balanced":
        return None  # balanced ones are figures once the labels were looked through
    if len(loss.class_weights) != classes:
        raise OptionError(
            f"loss.class_weights has {len(loss.class_weights)} values, expected one for each of the {classes} classes"
        )
    return torch.tensor(loss.class_weights)
