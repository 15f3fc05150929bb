#!/bin/bash
# The runs behind learning.json, on a GPU machine that has no network and takes little at a time.
#
#   bash docs/measured/learning.sh pack TOKENS   here, with `make real`: build/carry/0 to 3, each to
#                                                be copied there as build/carry of its checkout
#   bash docs/measured/learning.sh store         there, once a part: keeps it in $STATE
#   bash docs/measured/learning.sh time          how long a step takes, and every other part runs
#   bash docs/measured/learning.sh train STEPS SECONDS
#                                                killed after SECONDS; again to go on where it was
#   bash docs/measured/learning.sh evaluate SECONDS
#   bash docs/measured/learning.sh joint SECONDS STEPS RUN...
#                                                the trunk's training: see make_record.JOINT_RUNS
#   bash docs/measured/learning.sh short STEPS NAME...
#                                                short runs: see make_record.SHORT_RUNS
#
# The last three are independent: with several GPUs, start them side by side, each with its own
# CUDA_VISIBLE_DEVICES.
# Results are copied to $OUT. Made by the same commands as at home: see docs/model_card.md.
set -eo pipefail
STATE=${STATE:-/tmp/msa} OUT=${OUT:-build/out} PYTHON=${PYTHON:-python3}
RUN=$STATE/run MODEL=$STATE/model.gguf
T="--tokens $STATE/tokens --weights $MODEL"
case $1 in store | time | train | evaluate | joint | short) mkdir -p "$STATE" "$OUT" ;; esac
export PYTHONPATH=.:kernels:$STATE/tools PYTHONUNBUFFERED=1
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
L="$PYTHON -m msa_learning"
# A run that its time limit ends is no failure: what it left is kept.
within() { local s=$1; shift; timeout "$s" "$@" || [ $? -eq 124 ]; }
keep() { for file in "$@"; do if [ -e "$file" ]; then cp "$file" "$OUT/"; fi; done; }

case $1 in
pack)
  rm -rf build/carry && mkdir -p build/carry/{0,1,2,3}
  GGUF=$($PYTHON -c 'from msa_ref import smollm2; print(smollm2.find_weights())')
  split -n 3 -d -a 1 "$GGUF" build/carry/model.
  for n in 0 1 2; do mv build/carry/model.$n build/carry/$n/; done
  sha256sum "$GGUF" | cut -d' ' -f1 > build/carry/2/model.sha256
  cp -r "$2" build/carry/3/tokens
  mkdir build/carry/3/tools
  cp -r "$($PYTHON -c 'import gguf, os; print(os.path.dirname(gguf.__file__))')" build/carry/3/tools/
  du -sh build/carry/*
  ;;
store)
  cp -r build/carry/* "$STATE/"
  if [ -e "$STATE/model.sha256" ] && [ -e "$STATE/model.0" ] && [ -e "$STATE/model.1" ]; then
    cat "$STATE"/model.[012] > "$MODEL"
    echo "$(cat "$STATE/model.sha256")  $MODEL" | sha256sum -c
  fi
  ls "$STATE"
  ;;
time)
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
  $PYTHON -c 'import platform, torch, triton; print(platform.python_version(), torch.__version__, triton.__version__)'
  rm -rf "$STATE/trial"
  $L.train --config index --minutes 0.3 $T --out "$STATE/trial"
  within 45 $L.evaluate $T --index "$STATE/trial" --texts 1 --needles 20 --out "$OUT/trial.json"
  $L.train.joint $T --index "$STATE/trial" --steps 4 --runs dense msa --out "$OUT/trial_joint.json"
  keep "$STATE/trial/log.jsonl" "$STATE/trial/run.json"
  ;;
train)
  within "$3" $L.train --config index --steps "$2" $T --out "$RUN"
  keep "$RUN"/{log.jsonl,run.json,index_0.safetensors,index_1.safetensors,snapshots.npz}
  ;;
evaluate)
  within "$2" $L.evaluate $T --index "$RUN" --texts 3 --needles 200 \
    --out "$OUT/evaluation.json"
  ;;
joint)
  INDEX=
  # On a machine that trained none, the index that ships.
  if [ -e "$RUN/index_1.safetensors" ]; then INDEX="--index $RUN"; fi
  within "$2" $L.train.joint $T $INDEX --steps "$3" --runs "${@:4}" --out "$OUT/joint_${4// /_}.json"
  ;;
short)
  for name in "${@:3}"; do
    at=$STATE/$name config=warm seed=1
    case $name in seed*) seed=${name#seed} ;; random | cold) config=$name ;; esac
    if [ "$name" = resumed ]; then # seed1 once more, killed on the way
      $L.train --config warm --seed 1 --steps "$2" $T --out "$at" & run=$!
      until [ "$(grep -c '"kl"' "$at/log.jsonl")" -ge $(($2 * 3 / 5)) ]; do
        sleep 0.2
        kill -0 $run
      done 2> /dev/null
      kill -KILL $run
      wait $run || true
    fi
    $L.train --config $config --seed $seed --steps "$2" $T --out "$at"
    cp "$at/log.jsonl" "$OUT/$name.jsonl"
  done
  ;;
*) sed -n '2,20s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
