"""The networks in training: built to a size, begun, run on clips, and their teacher."""
