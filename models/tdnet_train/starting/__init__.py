"""The first weights of a network: from scratch, or from a file of another one."""

from tdnet_train.starting.start import Taken, take_start

__all__ = ["Taken", "take_start"]
