"""What runs inside a server's own environment, by its path.

Python puts this folder on the module path there, where our profile.py would hide Python's.
"""
