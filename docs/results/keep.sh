#!/usr/bin/env bash
# Keep the small files of a study: recipe, log, splits, figures of merit and cost of each run, and the report.
# Usage: SEGDISTILL_DATA=FOLDER keep.sh OUT STUDY    (called by each study's run.sh)
set -euo pipefail
out=$1 study=$2
rm -rf "$study/runs" "$study/figures"
for run in "$out"/*/run.json; do
  name=$(basename "$(dirname "$run")")
  mkdir -p "$study/runs/$name"
  for file in recipe.yaml run.json splits.json log.jsonl metrics.json cost.json; do
    cp "$out/$name/$file" "$study/runs/$name/"
  done
done
cp -r "$out/report/figures" "$out/report/report.md" "$out/report/report.html" "$study/"
# Where the images and runs lay is nobody else's business.
grep -rlZ --include=*.json --include=*.jsonl --include=*.yaml --include=*.md --include=*.html . "$study" |
  xargs -0 sed -i "s#$SEGDISTILL_DATA#DATA#g; s#$out#RUNS#g; s#$study#.#g; s#$(dirname "$study")#..#g"
