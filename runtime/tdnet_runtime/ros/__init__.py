"""Messages of ROS 2 and Foxglove without ROS: bytes to pictures and back.

Needs NumPy alone, and OpenCV (extra `cli`) for what is compressed, mosaicked or in YUV.
"""
