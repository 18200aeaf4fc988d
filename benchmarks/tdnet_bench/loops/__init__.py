"""Sides against the clock: opened, warmed up, and driven frame by frame in each part of a run.

A loop hands out records and computes no figure from them.
"""
