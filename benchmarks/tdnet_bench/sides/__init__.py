"""What is measured: the bundle and the public network behind one small protocol, and how sides are asked for."""
