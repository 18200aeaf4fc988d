"""Frames from whatever a URL names: files, cameras, network cameras, logs of robots.

`registry.open_source` is the way in. Importing this package needs no extra.
"""
