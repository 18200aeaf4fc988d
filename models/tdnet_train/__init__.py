"""Training of TDNet's networks on video, with grouped knowledge distillation (spec §1)."""
