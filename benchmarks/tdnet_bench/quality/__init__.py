"""What labels are worth beside their speed: agreement with the reference, mIoU counts, temporal consistency.

Computed between the timed calls.
"""
