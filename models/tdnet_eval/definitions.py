"""What each figure of an evaluation means, in one sentence."""

from __future__ import annotations

__all__ = ["DEFINITIONS"]

DEFINITIONS = {
    "mIoU": "intersection over union of each class, its pixels counted over all labelled frames together; mean over the "
    "classes that occur in label images or labels; pixels without a class are left out",
    "pixel accuracy": "share of the pixels with a class that were labelled right",
    "boundary F": "F-score of each class's outline, met within 0.75 % of the diagonal (Csurka et al., BMVC 2013), counted "
    "over all labelled frames together; mean over the classes",
    "consistency": "mIoU of a frame's labels with those of the frame before, moved along the optical flow (Varghese et "
    "al., CVPR workshops 2020); mean over the frames; steady labels score high, right or wrong",
    "equal": "share of the pixels with the reference's label, mean over the frames",
    "path": "the sub-network that ran, 1 to m, on warm frames",
    "cold": "frames before the memory was full, which use no attention",
    "every path": "each frame by each sub-network in turn: sequences begin 0 to m−1 frames later; frames that all of "
    "them ran warm",
    "gap": "k frames were lost before the frame, whose memory is older by so much; the run without a gap has the same "
    "sub-network on the same frame",
    "cut": "the frames before are of another sequence, and nobody called reset()",
    "reset": "the frame is the first after reset(): no attention",
}
