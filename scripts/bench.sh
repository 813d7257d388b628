#!/usr/bin/env bash
# Every system on every set and draw, one cell after another; skips with a reason where the data are absent.
# DATA=folder of the few-shot sets, BIN=folder of python, SYSTEMS / SETS / ROWS / DRAWS narrow it down.
set -euo pipefail
cd "$(dirname "$0")/.."

DATA=${DATA:-../shared/data/fewshot}
BIN=${BIN:-.venv/bin}
SYSTEMS=${SYSTEMS:-$(cd benchmarks/fewshot/systems && ls ./*.py | sed 's|^\./||; s|\.py$||; /^_/d')}
SETS=${SETS:-trec emotion sst2 ag_news sms_spam banking77}
ROWS=${ROWS:-8 64}
DRAWS=${DRAWS:-0 1 2 3 4}

"$BIN/python" benchmarks/parts/speed.py

if [ ! -d "$DATA" ]; then
    echo "Benchmarks skipped: there is no folder $DATA."
    echo "Give the folder of the few-shot sets (SET/ROWS-DRAW/train.csv, SET/test.csv): make bench DATA=folder"
    exit 0
fi
"$BIN/python" benchmarks/audit/scale.py --data "$DATA"
for rows in $ROWS; do
    for set in $SETS; do
        for draw in $DRAWS; do
            for system in $SYSTEMS; do
                "$BIN/python" benchmarks/fewshot/cell.py \
                    --system "$system" --set "$set" --rows "$rows" --draw "$draw" --data "$DATA"
            done
        done
    done
done
"$BIN/python" benchmarks/fewshot/table.py --rows 8
"$BIN/python" benchmarks/fewshot/table.py --rows 64
"$BIN/python" benchmarks/fewshot/worth.py --data "$(dirname "$DATA")"
for design in given exchangeable; do
    "$BIN/python" benchmarks/fewshot/believe.py --part coverage --design "$design" --data "$DATA"
done
"$BIN/python" benchmarks/fewshot/halves.py --data "$DATA"
"$BIN/python" benchmarks/fewshot/believe.py --part shuffled --data "$DATA"

# The engine: LoRA grids against Trainer + PEFT, probe sweeps, scaling, padding, and a GPU where there is one.
BIN=$BIN DATA=$DATA bash benchmarks/engine/run.sh

# Models that write: tuning against prompting, every method, TRL's trainer; finished cells are kept, the peer needs trl.
GENERATION=${GENERATION:-../shared/data/generation}
"$BIN/python" benchmarks/generation/methods.py "$GENERATION"
"$BIN/python" benchmarks/generation/restaurant.py "$GENERATION"
"$BIN/python" benchmarks/generation/sft.py "$GENERATION"
