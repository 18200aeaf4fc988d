#!/usr/bin/env bash
# Makes the virtual environment of a peer that is not ours, and prints the setting by which test_peers.py finds it:
#   eval "$(tests/ros2_peers/make_venv.sh kilted FOLDER)"     kilted, jazzy or pyzeros
# rclpy's wheels (unofficial, x86-64, Python 3.10 to 3.13) start every Python of their environment twice, so they need one of
# their own; pyzeros needs Python 3.11 or later, and compiles for two minutes. 260 MB each. PYTHON= names the interpreter.
set -euo pipefail
peer=${1:-}
folder=${2:?usage: $0 kilted|jazzy|pyzeros FOLDER}
case $peer in
  kilted | jazzy) packages=("ros-$peer-rclpy" "ros-$peer-sensor-msgs" "ros-$peer-rmw-fastrtps-cpp") ;;
  pyzeros) packages=("pyzeros==0.1.0") ;;
  *)
    echo "usage: $0 kilted|jazzy|pyzeros FOLDER" >&2
    exit 2
    ;;
esac
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --disable-pip-version-check --quiet "${packages[@]}" >&2
if [ "$peer" = pyzeros ]; then
  "$folder/bin/python" -c "from pyzeros.builtin_msgs import Attachment; Attachment().serialize()"
fi
echo "export TDNET_PEER_${peer^^}=$(realpath "$folder")/bin/python"
