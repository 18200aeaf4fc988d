"""What labels are worth, on data sets of videos: deployed bundles and PyTorch in one table, by position in the cycle.

Importing this package needs none of its extras.
"""
