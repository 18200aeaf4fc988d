#!/usr/bin/env bash
# The peers on another machine: two network namespaces with a virtual cable between them. Needs root, iproute2 and util-linux.
#   sudo -E tests/ros2_peers/two_machines.sh dds        rclpy of ROS 2 with its own default discovery; TDNET_PEER_KILTED
#   sudo -E tests/ros2_peers/two_machines.sh zenoh      pyzeros beside its router; TDNET_PEER_PYZEROS
# PYTHON is the product's; the robot is 10.9.9.2, the product 10.9.9.1. Prints how many masks came back to the robot.
set -euo pipefail
rmw=${1:?usage: $0 dds|zenoh}
here=$(dirname "$(realpath "$0")")
if [ "${IN_NAMESPACE:-}" != yes ]; then
  IN_NAMESPACE=yes exec unshare --net "$0" "$rmw"
fi
out=$(mktemp)
unshare --net sleep 60 &
robot=$!
trap 'kill $(jobs -p) 2> /dev/null; rm -f "$out"' EXIT
sleep 0.5
on_robot=(nsenter --target "$robot" --net)
ip link add eth0 type veth peer name cable
ip link set cable netns "$robot"
"${on_robot[@]}" ip link set cable name eth0
address=1
for where in "" "${on_robot[*]}"; do
  $where ip link set lo up
  $where ip addr add "10.9.9.$address/24" dev eth0
  $where ip link set eth0 up multicast on
  $where ip route add default dev eth0
  address=2
done
export PYTHONPATH="$here/../../runtime" ROS_DOMAIN_ID=0 RMW_IMPLEMENTATION=rmw_fastrtps_cpp
if [ "$rmw" = dds ]; then
  graph="rmw=dds&interface=eth0"
  peer=("${TDNET_PEER_KILTED:?}" "$here/rclpy_peer.py" --size 120x160 --raw-mask --reliability reliable)
else
  (sleep 50) | "${on_robot[@]}" "${PYTHON:-python3}" "$here/../runtime/transports/router.py" tcp/0.0.0.0:7447 > /dev/null &
  graph="rmw=zenoh&router=tcp/10.9.9.2:7447"
  peer=("${TDNET_PEER_PYZEROS:?}" "$here/pyzeros_peer.py" --router tcp/127.0.0.1:7447)
  sleep 3
fi
(sleep 50) | "${PYTHON:-python3}" "$here/segment.py" "ros2:///camera/image_raw?$graph&wait=20" "ros2:///segmentation?$graph" > /dev/null &
env -u PYTHONPATH -u ROS_AUTOMATIC_DISCOVERY_RANGE "${on_robot[@]}" "${peer[@]}" --frames 60 --wait 15 > "$out"
"${PYTHON:-python3}" - "$out" << 'PYTHON'
import json
import sys

with open(sys.argv[1]) as file:
    seen = json.loads(file.read().splitlines()[-1])
print(f"{len(seen['masks'])} masks and {len(seen['packed'])} compressed ones of {len(seen['sent'])} frames came back")
PYTHON
