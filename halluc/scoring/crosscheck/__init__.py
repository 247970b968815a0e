"""CrossCheckGPT: what other systems say of the sentences of a description."""
