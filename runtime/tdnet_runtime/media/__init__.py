"""Frames from videos, image folders and cameras; label images and overlay videos from them.

Importing this package needs no extra; its modules need OpenCV and PyAV (extra `cli`).
"""
