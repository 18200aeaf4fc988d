"""What a run is made of: one typed TOML file. Every field has its default here, and the whole is printed into the run."""

from __future__ import annotations

from typing import Literal

import msgspec

from tdnet_data.settings import DataSettings
from tdnet_train.clips.settings import ClipSettings
from tdnet_train.network_settings import (
    NetworkSettings,
    PreprocessingSettings,
    StartSettings,
    TeacherSettings,
)

__all__ = [
    "LossSettings",
    "NetworkSettings",
    "OptimizerSettings",
    "PreprocessingSettings",
    "RunSettings",
    "StageSettings",
    "StartSettings",
    "TeacherSettings",
    "TrainSettings",
    "ValidationSettings",
]


class LossSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[loss]`: weights of the terms (spec §1), and how cross-entropy is computed.

    Attributes:
        cross_entropy: of the output.
        dice: of the output; 0 for none.
        own: of the sub-network's own output, relative to both.
        auxiliary: of the auxiliary head, likewise.
        alpha: of the divergence from the teacher.
        beta: of the divergence of the sub-network's own output from its group of the teacher.
        ohem_threshold: probability below which a pixel is hard (0.7 in the public code); None counts all pixels.
        ohem_share: of all pixels, at the least counted.
        class_weights: one for each class; or `balanced`, 1/ln(1.02 + share of the labels), mean 1, which the run's own
            configuration has in figures; None for equal ones.
    """

    cross_entropy: float = 1.0
    dice: float = 0.0
    own: float = 0.5
    auxiliary: float = 0.1
    alpha: float = 1.0
    beta: float = 0.5
    ohem_threshold: float | None = None
    ohem_share: float = 1 / 16
    class_weights: tuple[float, ...] | Literal["balanced"] | None = None


class OptimizerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[optimizer]`.

    Attributes:
        kind: `sgd` (the public code's) or `adamw`.
        momentum: of SGD.
        betas: of AdamW.
        weight_decay: of convolutions' weights; biases, norms and LayerNorm maps have none, as in the public code.
        map_smoothness: weight of the LayerNorm maps' squared differences between neighbours in the loss; 0 for none.
        head_factor: learning rate of all but the trunks, relative to theirs.
        clip_norm: largest norm of the gradient; 0 for no limit.
    """

    kind: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    map_smoothness: float = 0.0
    head_factor: float = 1.0
    clip_norm: float = 0.0


class StageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[stages]]`: one after the other, each with a new optimiser and schedule and the weights of the one before.

    Attributes:
        name: for the log.
        steps: of the optimiser; or `epochs`.
        epochs: passes over the training split.
        learning_rate: after warm-up.
        schedule: `poly`, `cosine` or `constant`, after warm-up.
        power: of `poly`.
        warmup_steps: the learning rate grows from `warmup_start` to `learning_rate`.
        warmup_start: learning rate at step 0.
        warmup: `exponential` as in the public code, or `linear`.
        clips: `[stages.clips]`: how clips are drawn and augmented.
        data: `[[stages.data]]`: what this stage learns from instead of `[data]`; several are mixed by their weights.
    """

    name: str = ""
    steps: int | None = None
    epochs: float | None = None
    learning_rate: float = 1e-2
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: float = 0.9
    warmup_steps: int = 0
    warmup_start: float = 1e-5
    warmup: Literal["exponential", "linear"] = "exponential"
    clips: ClipSettings = ClipSettings()
    data: tuple[DataSettings, ...] | None = None


class ValidationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[validation]`: the split is streamed in order; its mIoU decides which weights are `best.pth`.

    Attributes:
        split: of the data set; empty for no validation: the last weights are the best.
        every_epochs: how often; at the end of each stage too.
        every_steps: of the optimiser, instead of `every_epochs`.
        memory_stride: n of the stream; the variant's deployment default if None.
        limit: labelled frames at the most; None for all.
    """

    split: str = "val"
    every_epochs: float = 1.0
    every_steps: int | None = None
    memory_stride: int | None = None
    limit: int | None = None


class RunSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[run]`.

    Attributes:
        batch: clips at once, on each rank.
        accumulate: batches for one step of the optimiser.
        seed: of weights, order, augmentation and dropout.
        device: `auto` takes a GPU where there is one.
        precision: `fp32`; `bf16` or `fp16` for mixed precision (fp16 on a GPU alone).
        channels_last: memory layout of images and weights.
        ema: decay of the moving average of the weights, which is then what is validated and saved; 0 for none.
        freeze_norm: BatchNorms stay in evaluation mode.
        workers: threads that make clips ahead.
        threads: of PyTorch; None for all CPUs.
        checkpoint_minutes: the longest that a kill can cost.
        log_steps: steps of the optimiser in one line of the journal.
        half_checkpoints: `best.pth` and `last.pth` hold FP16 weights, where FP16 has room for them: half the size.
    """

    batch: int = 8
    accumulate: int = 1
    seed: int = 0
    device: str = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = True
    ema: float = 0.0
    freeze_norm: bool = False
    workers: int = 0
    threads: int | None = None
    checkpoint_minutes: float = 10.0
    log_steps: int = 10
    half_checkpoints: bool = False


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file.

    Attributes:
        network: see its class; so with the others.
        data: what is learnt from and validated on; its classes are the network's.
        stages: in order.
        train_split: name of the data set's split that is learnt from.
    """

    network: NetworkSettings
    data: DataSettings
    stages: tuple[StageSettings, ...]
    train_split: str = "train"
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    start: StartSettings = StartSettings()
    teacher: TeacherSettings | None = None
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    validation: ValidationSettings = ValidationSettings()
    run: RunSettings = RunSettings()

    @property
    def used_splits(self) -> tuple[str, str]:
        """Those that are learnt from and validated on; the second may be empty."""
        return self.train_split, self.validation.split
