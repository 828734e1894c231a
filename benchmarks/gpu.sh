#!/usr/bin/env bash
# What only a GPU can tell: are captured and stacked steps the plain ones, how fast are they, and what do networks of
# the paper recipe learn from the paper's 64 million graphs?
#
#   benchmarks/gpu.sh [weights] [speed] [simulate] [networks]      all of them, unless some are named
#
# reads   nothing
# writes  ${OUT:-outputs/gpu}: weights.json, speed.json, networks.tar with config.json, history.csv,
#         model.safetensors and linear_fit.json of each network; results/speed.json (section gpu), datasets/,
#         model_weights/ and outputs/ as ever
#
# QUICK=1 goes through the same code with tiny sizes, on a CPU too. Every part has a limit in seconds (LIMIT_<PART>);
# one that fails or runs over is named, and the next one starts. A network should take about 400 s on an H100
# (64 million graphs at the 163,000 a second that speed has measured); l1 comes first.
set -u
cd "$(dirname "$0")/.." || exit 1
export OUT="${OUT:-outputs/gpu}" PYTHONUNBUFFERED=1 JAX_PLATFORMS=cpu
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" # a machine where nothing can be installed has the scripts only
python="${PYTHON:-python3}"
quick=${QUICK:+--quick}
systems="${SYSTEMS:-spring r2 r1 charge}"
variants="${VARIANTS:-l1 bottleneck}"
precision="${PRECISION:-float32}"
epochs="${EPOCHS:-160}" # of 400,000 graphs
failed=""
mkdir -p "$OUT"

# part <name> <seconds> <command ...>: say when it starts, how it ended and how long it took
part() {
    local name=$1 limit=$2 start=$SECONDS code=0
    shift 2
    echo "== $name (at most $limit s)"
    timeout --kill-after=10 "$limit" "$@" || code=$?
    [ $code -eq 0 ] || { failed="$failed $name"; echo "== $name FAILED, exit code $code (124: ran over)"; }
    echo "== $name: $((SECONDS - start)) s"
    return $code
}

dataset() { echo "$1_n4_d2_s221${QUICK:+_quick}"; }

# One process a system.
simulate() {
    local system jobs=()
    "$python" -c "import matplotlib.pyplot" # its font list is made once, not by every fit at the same time
    for system in $systems; do
        # shellcheck disable=SC2086
        "$python" simulate.py --system "$system" --n 4 --dim 2 --seed 221 \
            ${QUICK:+--tag quick --n-trajectories 100 --n-frames 20} & jobs+=($!)
    done
    local code=0 job
    for job in "${jobs[@]}"; do wait "$job" || code=1; done
    return $code
}

# One after the other: networks of different datasets cannot be stacked.
networks() {
    local system variant code=0
    for variant in $variants; do
        for system in $systems; do
            "$python" train.py --dataset "$(dataset "$system")" --variant "$variant" --recipe paper --seed 221 \
                --epochs "$epochs" --precision "$precision" --tag full --resume $quick || code=1
        done
    done
    return $code
}

# The messages of every network that is done, and their fit to the true forces.
fits() {
    local system variant run jobs=() job code=0
    for variant in $variants; do
        for system in $systems; do
            run="$(dataset "$system")__$variant-paper__s221_full"
            [ -f "model_weights/$run/config.json" ] || continue
            { "$python" extract_messages.py --run "$run" --seed 221 --overwrite $quick &&
                "$python" fit_linear.py --run "$run" --seed 221 --overwrite $quick; } & jobs+=($!)
        done
    done
    for job in ${jobs[@]+"${jobs[@]}"}; do wait "$job" || code=1; done
    return $code
}

pack() {
    local config run folder
    folder=$(mktemp -d)
    for config in model_weights/*__s221_full/config.json; do
        [ -f "$config" ] || continue
        run=$(basename "$(dirname "$config")")
        mkdir -p "$folder/$run"
        cp "model_weights/$run/"{config.json,history.csv,model.safetensors} "$folder/$run/"
        cp "outputs/$run/linear_fit.json" "$folder/$run/" || failed="$failed $run"
    done
    tar -C "$folder" -cf "$OUT/networks.tar" . && rm -r "$folder"
}

export -f simulate networks fits dataset
export python quick systems variants precision epochs
for name in "${@:-weights speed simulate networks}"; do
    for name in $name; do
        case $name in
        weights)
            part weights "${LIMIT_WEIGHTS:-120}" "$python" benchmarks/gpu_check.py weights --out "$OUT" $quick
            ;;
        speed) # one timing of two seconds of each of 36 configurations
            part speed "${LIMIT_SPEED:-240}" "$python" benchmarks/speed.py gpu --rounds 1 $quick
            cp results/speed.json "$OUT/"
            ;;
        simulate)
            part simulate "${LIMIT_SIMULATE:-120}" bash -c simulate
            ;;
        networks)
            part networks "${LIMIT_NETWORKS:-4000}" bash -c networks
            part fits "${LIMIT_FITS:-120}" bash -c fits
            pack
            ;;
        *)
            echo "unknown part $name"
            failed="$failed $name"
            ;;
        esac
    done
done
echo "== done after $SECONDS s${failed:+; FAILED:$failed}"
[ -z "$failed" ]
