"""Data sets on disk: sequences of frames, some of which have labels. No PyTorch.

`opening.open_dataset` opens one by its `settings`, `checking.check_dataset` looks through it before anything long begins.
"""
