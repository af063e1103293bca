"""What runs inside a server's own environment, by its path: a folder of its own, since Python
puts it on the module path there, where our token.py would hide Python's.
"""
