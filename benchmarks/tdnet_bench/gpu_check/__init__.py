"""What a GPU host without a network answers in one run, by calling the project's other commands; see docs/gpu-check.md.

Each step is a process of its own with a time limit: what fails, hangs or crashes costs its own answer and no other.
"""
