"""The machine under a run: processor, cores, memory, versions, GPUs, and how busy other programs kept it."""
