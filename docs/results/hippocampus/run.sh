#!/usr/bin/env bash
# Teacher, student alone and distilled (hinton), three seeds each, on the hippocampus set.
# Usage: SEGDISTILL_DATA=FOLDER ./run.sh OUT     (resumes where it was interrupted)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?"usage: run.sh OUT"}
export OMP_WAIT_POLICY=PASSIVE SEGDISTILL_STORE=$out/preprocessed
data="data.path=${SEGDISTILL_DATA:?"the folder that holds Task04_Hippocampus"}/Task04_Hippocampus"
light="student.channels=[8,16,32]"
segdistill=${SEGDISTILL:-segdistill}

one() { # name command recipe... : train, or go on, unless it is finished
  local name=$1; shift
  [ -f "$out/$name/metrics.json" ] && return 0
  $segdistill "$@" "$here/protocol.yaml" "$data" --out "$out/$name" --resume --no-report
  $segdistill evaluate "$out/$name" > /dev/null
}
one teacher train student_alone "student.channels=[32,64,128,256]"
for seed in 0 1 2; do
  one "alone_$seed" train student_alone "$light" train.seed=$seed
  one "hinton_$seed" distill hinton "$light" train.seed=$seed "teachers.teacher.run=$out/teacher"
done
$segdistill report "$out"/hinton_? "$out"/alone_? "$out/teacher" --out "$out/report"
"$here/../keep.sh" "$out" "$here"
