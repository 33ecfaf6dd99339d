#!/usr/bin/env bash
# Resolves requirements-dev.txt for every platform and Python >= 3.11 into lock.txt, with hashes.
# One lock serves both builds of torch: the registry's (CUDA on Linux) and the CPU build
# (its hash is added below); pip takes whichever the machine's index offers.
set -euo pipefail
cd "$(dirname "$0")/.."
torch_cpu_cp311_linux_x86_64=$(grep -o '[0-9a-f]\{64\}' envs/torch-cpu.txt)
tmp=$(mktemp)
cp lock.txt "$tmp" # what need not change stays
uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url -o "$tmp" requirements-dev.txt
sed -i "s/^torch==[^ ]* \\\\$/&\n    --hash=sha256:$torch_cpu_cp311_linux_x86_64 \\\\/" "$tmp"
mv "$tmp" lock.txt
