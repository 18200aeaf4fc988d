"""What a run writes down: its configuration and sides, what setting up took, every frame that was timed.

Data and no arithmetic. Every other room reads them, and this one knows none of the others.
"""
