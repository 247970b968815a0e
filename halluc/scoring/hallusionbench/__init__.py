"""HallusionBench: verdicts on question pairs and figures."""
