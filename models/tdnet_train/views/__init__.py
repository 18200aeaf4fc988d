"""What people see of a run: a terminal, TensorBoard, a page."""
