"""A bundle behind a Triton Inference Server: what the server runs, and a segmenter that is a server elsewhere.

Importing this package needs none of its extras, and nothing of Triton's.
"""
