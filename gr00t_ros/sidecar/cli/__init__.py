"""The command line of gr00t-sidecar: one file a verb; each has main(argv) -> exit status."""
