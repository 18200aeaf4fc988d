"""What labels are worth beside their speed: whose labels are the reference, and how far features are from FP32's.

Labels themselves are judged by `tdnet_eval`, between the timed calls.
"""
