"""The benchmarks: one file each, registered under the name `--benchmarks` takes."""
