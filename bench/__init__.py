"""Benchmarks: ``python -m bench NAME [--json FILE]``; each module has ``run(smoke) -> Report``."""
