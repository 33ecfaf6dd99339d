#!/usr/bin/env bash
# Resolves requirements-dev.txt for every platform and Python >= 3.11 into lock.txt, with hashes.
# One lock serves both builds of torch: the one on PyPI (CUDA on Linux) and the CPU builds, whose digests are added from
# envs/torch-cpu.txt; pip takes the one that its index has. After a change of torch's version, update torch-cpu.txt first
# (this script stops if the two differ).
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^torch==\([0-9.]*\)+cpu.*/\1/p' envs/torch-cpu.txt)
grep -q "^torch==$version\$" requirements.txt || { echo "envs/torch-cpu.txt: torch $version is not the version in requirements.txt; update its digests" >&2; exit 1; }
digests=$(grep -o 'sha256:[0-9a-f]\{64\}' envs/torch-cpu.txt)
tmp=$(mktemp)
grep -vF "$digests" lock.txt > "$tmp" # keep present versions where possible
uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url -o "$tmp" requirements-dev.txt
grep -vF "$digests" "$tmp" | awk -v digests="$digests" '{ print }
    /^torch==.*\\$/ { n = split(digests, one, "\n"); for (i = 1; i <= n; i++) print "    --hash=" one[i] " \\" }' > lock.txt
rm "$tmp"
