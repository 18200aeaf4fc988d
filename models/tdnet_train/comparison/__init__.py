"""Comparisons: one configuration in several variants, each with several seeds, and a table of what they are worth."""
