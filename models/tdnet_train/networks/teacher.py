"""The teacher: a PSPNet whose features split into m groups (spec §1), and what each group alone says.

How (Training/ptsemseg/utils.py `split_psp_state_dict`; models/td2_psp/pspnet_2p.py, models/td4_psp/pspnet_4p.py): the
features f that the teacher's 3×3 head convolution sees are the backbone's C channels beside four pooled maps of C/4
channels. Group i is the i-th of m equal slices of each of the five, and goes through the slice of the convolution's
weights that belongs to it: g_i = W_i * f_i. As the convolution has no bias, Σg_i = W * f, and the head's BN, ReLU and 1×1
convolution of Σg_i are the teacher's own output, T(Σf). A group's classes are the same layers of g_i alone for m = 2, and
of 4·g_i for m = 4 (in the place of the sum of four).

Which group a sub-network is held against: sub-network p of m = 2 has group p. For m = 4 the students keep halves of their
pyramid in the order 1, 2, 1, 2 (spec §2), and the groups are quarters: p = 1, 2, 3, 4 have the groups 1, 3, 2, 4
(`return out12, out1, out3, out2, out4`), so that each is held against a quarter of its own half.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from tdnet_models.tdnet import PerFrameNetwork
from tdnet_runtime.errors import OptionError

__all__ = ["Teacher", "TeacherLogits", "group_channels", "group_of_path"]


@dataclass(frozen=True, slots=True)
class TeacherLogits:
    """At the features' size, without gradients.

    Attributes:
        whole: [N, K, h, w], T(Σf).
        group: [N, K, h, w], T(f_i); None where there is one group only.
    """

    whole: torch.Tensor
    group: torch.Tensor | None


def group_of_path(paths: int, path: int) -> int:
    """Index, from 0, of the group that sub-network `path` (1 to m) is held against."""
    return {1: (0,), 2: (0, 1), 4: (0, 2, 1, 3)}[paths][path - 1]


def group_channels(channels: int, groups: int, index: int) -> list[int]:
    """Channels of group `index` (from 0) among the 2·C that the head's convolution sees.

    Args:
        channels: C of the backbone, a multiple of 4·groups.
        groups: m.
        index: 0 to m−1.
    """
    quarter = channels // 4
    starts = [(0, channels)] + [(channels + number * quarter, quarter) for number in range(4)]
    return [
        start + index * (length // groups) + offset
        for start, length in starts
        for offset in range(length // groups)
    ]


class Teacher(nn.Module):
    """A per-frame PSPNet, fixed and in evaluation mode.

    Args:
        network: the trained PSPNet.
        paths: m of the student.
        classes: K of the student.

    Raises:
        OptionError: its classes are not the student's, or its channels do not divide into m groups.
    """

    def __init__(self, network: PerFrameNetwork, *, paths: int, classes: int) -> None:
        super().__init__()
        spec = network.spec
        if spec.classes != classes:
            raise OptionError(
                f"the teacher has {spec.classes} classes and the student {classes}; a teacher is trained on the same "
                "classes"
            )
        channels = spec.trunk_channels[3]
        if channels % (4 * paths):
            raise OptionError(
                f"the teacher's {channels} channels do not split into {paths} groups; expected a multiple of {4 * paths}"
            )
        self.network = network.requires_grad_(False).eval()
        self.paths = paths
        groups = [group_channels(channels, paths, index) for index in range(paths)]
        self._groups = [torch.tensor(channels_) for channels_ in groups]

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode, whatever is asked."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: torch.Tensor, path: int) -> TeacherLogits:
        """Normalised image [N, 3, H, W] of the newest frame, run by the student's `path` → logits."""
        pooling, convolution, *classifier = self.network.head.conv5
        assert isinstance(convolution, nn.Conv2d)
        features = pooling(self.network.pretrained(image)[3])
        if self.paths == 1:
            return TeacherLogits(_through(classifier, convolution(features)), None)
        group = self._group(convolution, features, group_of_path(self.paths, path))
        scale = 1 if self.paths == 2 else self.paths
        # The 3×3 convolution of a group costs 1/m of the whole one.
        return TeacherLogits(_through(classifier, convolution(features)), _through(classifier, scale * group))

    def _group(self, convolution: nn.Conv2d, features: torch.Tensor, index: int) -> torch.Tensor:
        channels = self._groups[index].to(features.device)
        return F.conv2d(features[:, channels], convolution.weight[:, channels], padding=convolution.padding)


def _through(layers: list[nn.Module], x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        x = layer(x)
    return x
