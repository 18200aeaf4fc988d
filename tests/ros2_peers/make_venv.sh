#!/usr/bin/env bash
# Makes the virtual environment of the peers that are not ours: make_venv.sh kilted|jazzy|pyzeros FOLDER
# rclpy's wheels (unofficial, x86-64, Python 3.10 to 3.13) start every Python of their environment twice, so they need one of
# their own; pyzeros needs Python 3.11 or later. 260 MB and a minute each.
set -euo pipefail
peer=$1
folder=$2
case $peer in
  kilted | jazzy) packages=("ros-$peer-rclpy" "ros-$peer-sensor-msgs" "ros-$peer-rmw-fastrtps-cpp") ;;
  pyzeros) packages=("pyzeros==0.1.0") ;;
  *)
    echo "usage: $0 kilted|jazzy|pyzeros FOLDER" >&2
    exit 2
    ;;
esac
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --disable-pip-version-check --quiet "${packages[@]}"
echo "$folder/bin/python"
