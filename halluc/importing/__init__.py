"""Sample logs of other harnesses, read as answers to benchmarks; one file a harness."""
