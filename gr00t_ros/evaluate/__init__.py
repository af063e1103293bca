"""Evaluation of a policy against recorded episodes, without moving a robot."""
