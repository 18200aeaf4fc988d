"""Terms of the loss (spec §1), each a function of logits, and their sum."""
