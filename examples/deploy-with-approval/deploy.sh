#!/bin/sh
# A deployment that asks two people before it does anything. `ff work` runs it twice: once to ask, and
# once more when both have answered.
set -eu

if [ -z "$FF_SIGNALS_FILE" ]; then
    ff task progress 10 "waits for two people"
    ff task suspend --for approval --people 2 --timeout 2d --on-timeout cancel
    exit # the lease is gone; what this run answers ends nothing
fi

# The answers are a JSON list in a file that only this user can read.
people=$(grep -o '"by":"[^"]*"' "$FF_SIGNALS_FILE" | cut -d'"' -f4 | sort -u | paste -sd' ' -)
if grep -q '"name":"rejected"' "$FF_SIGNALS_FILE"; then
    echo "somebody of $people said no" >&2
    exit 65 # EX_DATAERR: no other attempt changes that
fi

ff task progress 90 "deploying"
echo "deployed $(cat), approved by $people"
