#!/usr/bin/env bash
# Writes the seeds of each target to fuzz/corpus/TARGET, where cargo-fuzz looks for them.
set -euo pipefail
cd "$(dirname "$0")/.."
GHOSTNET_SEEDS="$PWD/fuzz/corpus" cargo test --locked --test bytes -- --ignored seeds_are_written
