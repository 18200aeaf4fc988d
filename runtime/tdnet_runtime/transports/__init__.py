"""ROS 2 topics with pip alone: a node, readers and writers over Zenoh or DDS.

Importing this package needs no extra; `zenoh_node` needs eclipse-zenoh (extra `zenoh`), `dds_node` cyclonedds (`dds`).
"""
