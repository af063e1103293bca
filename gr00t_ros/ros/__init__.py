"""What all nodes share: ROS clocks, parameters, processes, subscriptions, QoS and windows."""
