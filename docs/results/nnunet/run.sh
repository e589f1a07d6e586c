#!/usr/bin/env bash
# A real nnU-Net v2 with few iterations on the CPU, a student a tenth its size distilled from its folder, the same student
# alone, three seeds each; then nnUNetv2_predict and the students on the same 12 cases. Hippocampus, 72 cases.
# Usage: SEGDISTILL_DATA=FOLDER ./run.sh OUT     (resumes where it was interrupted; needs `make nnunet`)
# To try it: SEEDS=0 NNUNET_BUDGET="EPOCHS ITERATIONS" ./run.sh OUT train.epochs=1 ... (words for the students)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:?"usage: run.sh OUT"}"); shift
words=("$@")
task=${SEGDISTILL_DATA:?"the folder that holds Task04_Hippocampus"}/Task04_Hippocampus
segdistill=${SEGDISTILL:-segdistill}
python=${PYTHON:-python}
nnunet=${SEGDISTILL_NNUNET:-$here/../../../.venv-nnunet/bin/python}
[ -x "$nnunet" ] || { echo "needs nnU-Net: make nnunet, or SEGDISTILL_NNUNET=its python" >&2; exit 1; }
export OMP_WAIT_POLICY=PASSIVE SEGDISTILL_STORE=$out/preprocessed MPLBACKEND=Agg
export nnUNet_raw=$out/nnUNet_raw nnUNet_preprocessed=$out/nnUNet_preprocessed nnUNet_results=$out/nnUNet_results
export nnUNet_def_n_proc=1 nnUNet_n_proc_DA=1 nnUNet_compile=f
dataset=Dataset004_Hippocampus
teacher=$nnUNet_results/$dataset/nnUNetTrainer__nnUNetPlans__3d_fullres
images=$nnUNet_raw/$dataset/imagesTs
mkdir -p "$out/seconds"

timed() { # name command... : its seconds in seconds/NAME.json, unless they are there
  local name=$1 TIMEFORMAT='{"wall": %3R, "user": %3U, "system": %3S}'; shift
  [ -f "$out/seconds/$name.json" ] && return 0
  { time "$@" > "$out/seconds/$name.log" 2>&1; } 2> "$out/seconds/$name.part"
  mv "$out/seconds/$name.part" "$out/seconds/$name.json"
}
loaded() { # name python kind model : seconds of each case with the model loaded
  local name=$1; shift
  [ -f "$out/seconds/$name.json" ] && return 0
  "$1" "$here/seconds.py" "$2" "$3" "$images" "$out/seconds/$name" > "$out/seconds/$name.part" 2> "$out/seconds/$name.log"
  mv "$out/seconds/$name.part" "$out/seconds/$name.json"
}
one() { # name command recipe... : train, or go on, unless it is finished
  local name=$1; shift
  [ -f "$out/$name/metrics.json" ] && return 0
  $segdistill "$@" "$here/protocol.yaml" "data.path=$task" "data.splits.file=$here/splits.json" "${words[@]}" --out "$out/$name" --resume --no-report
  $segdistill evaluate "$out/$name" > /dev/null
}
each_case() { # one command a case, as a user would
  for image in "$images"/*_0000.nii.gz; do
    $segdistill predict "$out/distilled_0" "$image" --out "$out/seconds/predicted/$(basename "${image%_0000.nii.gz}").nii.gz" --overwrite
  done
}

[ -f "$nnUNet_raw/$dataset/dataset.json" ] || $python "$here/cases.py" "$task" "$nnUNet_raw/$dataset"
[ -f "$teacher/fold_0/made.json" ] || "$nnunet" "$here/train_nnunet.py" 4 $dataset "$here/splits.json" ${NNUNET_BUDGET:-} > "$out/nnunet.log" 2>&1
for seed in ${SEEDS:-0 1 2}; do
  one "distilled_$seed" distill hinton train.seed=$seed teachers.t.path="$teacher"
  one "alone_$seed" train student_alone train.seed=$seed
done

timed nnunet_predict "$(dirname "$nnunet")/nnUNetv2_predict" -i "$images" -o "$out/nnunet_masks" -d 4 -c 3d_fullres -f 0 --disable_tta -device cpu
loaded nnunet_loaded "$nnunet" nnunet "$teacher"
mkdir -p "$out/seconds/predicted"
timed student_predict each_case
timed student_evaluate $segdistill evaluate "$out/distilled_0"
loaded student_loaded "$python" segdistill "$out/distilled_0"

$segdistill report "$out"/distilled_? "$out"/alone_? --out "$out/report"
$python "$here/compare.py" "$out" --json > "$out/comparison.json"
cp "$out/comparison.json" "$here/"
"$here/../keep.sh" "$out" "$here"
$python "$here/compare.py" "$out"
