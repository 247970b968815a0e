#!/bin/bash
# A process for each GPU of this machine; the one that ends last scores.
#   PROCESSES=4 examples/torchrun.sh --model llava-hf/llava-1.5-7b-hf --method var --benchmarks glyph
set -euo pipefail

exec torchrun --standalone --nproc-per-node "${PROCESSES:-2}" --module halluc.cli.entry eval "$@"
