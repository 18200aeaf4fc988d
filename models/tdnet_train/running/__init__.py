"""A run: its optimiser, its schedule, its ranks, its files, and the loop."""
