#!/usr/bin/env bash
# The engine benchmarks, one system after another, each in a fresh process; finished runs are kept and not done again.
# To be run on an idle machine: `SYSTEMS`, `LAYERS`, `PARTS` narrow it down, DATA=folder of the few-shot sets,
# BIN=folder of python, ARGS=further arguments of grid.py (--runs 1 for a quick look, which wants its own OUT).
set -euo pipefail
cd "$(dirname "$0")/../.."

DATA=${DATA:-../shared/data/fewshot}
BIN=${BIN:-.venv/bin}
OUT=${OUT:-benchmarks/engine/results}
LAYERS=${LAYERS:-top2 all}
SYSTEMS=${SYSTEMS:-fewtune trainer-bf16 trainer-float32}
PARTS=${PARTS:-grid probes scaling padding gpu}
# Threads are for each system to choose: every one gets its defaults.
unset OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS TOKENIZERS_PARALLELISM
HERE=benchmarks/engine

for part in $PARTS; do
    if [ "$part" = grid ]; then
        for layers in $LAYERS; do
            for system in $SYSTEMS; do
                # shellcheck disable=SC2086 # ARGS is several arguments
                "$BIN/python" $HERE/grid.py --system "$system" --layers "$layers" --data "$DATA" --out "$OUT" ${ARGS:-}
            done
        done
        "$BIN/python" $HERE/table.py --results "$OUT"
    elif [ "$part" = gpu ]; then
        "$BIN/python" $HERE/gpu.py --out "$OUT"
    else
        "$BIN/python" "$HERE/$part.py" --data "$DATA" --out "$OUT"
    fi
done
