#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make_data.sh PROGRAM OUT_DIR: runs make_data and records the SHA-256 of every file that it wrote in SHA256SUMS.
# To check the shipped files later: cd examples/data && sha256sum --check SHA256SUMS
set -eu
if [ $# -ne 2 ]; then
  echo "usage: make_data.sh PROGRAM OUT_DIR" >&2
  exit 2
fi
program=$1
out=$2
mkdir -p "$out"
list=$(mktemp)
trap 'rm -f "$list"' EXIT
"$program" "$out" >"$list"
cat "$list"
awk '{ print $2 }' "$list" | LC_ALL=C sort | (cd "$out" && xargs sha256sum) >"$out/SHA256SUMS"
