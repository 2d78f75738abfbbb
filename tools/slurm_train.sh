#!/usr/bin/env bash
# Run tools/train.py as a Slurm job, one task per GPU.
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of tools/train.py]
# The environment may set GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS (more options of srun) and PYTHON, and REQUEUE=1
# to queue a job that was preempted again, with --resume: one that wrote a checkpoint on a signal and ended with 75.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of tools/train.py]" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
shift 3
if [ $# -gt 0 ] && [[ $1 != -* ]]; then
    set -- --work-dir "$@"
fi
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
read -r -a SRUN_ARGS <<< "${SRUN_ARGS:-}"
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

export PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}"

while true; do
    status=0
    srun \
        --partition="$PARTITION" \
        --job-name="$JOB_NAME" \
        --gres=gpu:"$GPUS_PER_NODE" \
        --ntasks="$GPUS" \
        --ntasks-per-node="$GPUS_PER_NODE" \
        --cpus-per-task="${CPUS_PER_TASK:-8}" \
        --kill-on-bad-exit=1 \
        ${SRUN_ARGS[@]+"${SRUN_ARGS[@]}"} \
        "${PYTHON:-python}" -u "$TOOLS/train.py" "$CONFIG" --launcher slurm "$@" || status=$?
    if [ "${REQUEUE:-0}" != 1 ] || [ "$status" != 75 ]; then
        exit "$status"
    fi
    echo "preempted: queued again" >&2
    if [[ " $* " != *" --resume "* ]]; then
        set -- "$@" --resume
    fi
done
