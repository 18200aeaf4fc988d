"""The process of one run of a comparison; see `member.py`."""

from tdnet_runtime.extras import launch

launch("tdnet-train", "tdnet_train.comparison.member:main", extra="train")
