"""Code that runs inside a server's own environment, started by its path.

It has a folder of its own because Python puts that folder on the module path, where a neighbour
such as profile.py would hide Python's own module.
"""
