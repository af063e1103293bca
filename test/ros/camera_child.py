"""Publishes what franka_droid's topics carry, awkwardly: padded BGR, joints in another order.

    python camera_child.py CAMERA_TOPIC JOINT_TOPIC POSE_TOPIC

Runs until SIGINT; the left half of every picture is red.
"""

import sys

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image, JointState

HEIGHT, WIDTH, STEP = 48, 64, 3 * 64 + 10
NAMES = ("finger", "j3", "j1", "j2")
POSITIONS = (0.4, 3.0, 1.0, 2.0)


def main():
    """Publish at 50 Hz."""
    rclpy.init()
    node = rclpy.create_node("camera_child")
    camera = node.create_publisher(Image, sys.argv[1], 10)
    joints = node.create_publisher(JointState, sys.argv[2], 10)
    pose = node.create_publisher(PoseStamped, sys.argv[3], 10)
    rows = np.full((HEIGHT, STEP), 77, np.uint8)
    rows[:, : 3 * WIDTH] = 0
    rows[:, 2 : 3 * WIDTH // 2 : 3] = 255
    image = Image(height=HEIGHT, width=WIDTH, encoding="bgr8", step=STEP)
    image.data.frombytes(rows.tobytes())
    state = JointState(name=NAMES, position=POSITIONS)
    place = PoseStamped()
    place.header.frame_id = "base"

    def publish():
        for message, publisher in ((image, camera), (state, joints), (place, pose)):
            message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)

    node.create_timer(0.02, publish)
    print("READY", flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return


if __name__ == "__main__":
    main()
