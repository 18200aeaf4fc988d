"""Clips: which frames a training step sees, and how they are varied, the same way in all frames of a clip."""
