"""CrossCheckGPT: systems are checked against what other systems say of the same images."""
