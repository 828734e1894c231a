#!/usr/bin/env bash
# What only a GPU can tell: are captured and stacked steps the plain ones, is a resumed network the one that was not
# interrupted, how fast are they, and what do networks of the paper recipe learn from the paper's 64 million graphs?
#
#   benchmarks/gpu.sh [weights] [speed] [simulate] [networks]      all of them, unless some are named
#
# reads   ${OUT:-outputs/gpu}/networks.tar, where an earlier call has left one: its networks are gone on with
# writes  results/gpu.json (what was measured before stays in it), results/speed.json (section gpu), datasets/,
#         model_weights/ and outputs/ as ever; copies in $OUT: weights.json, speed.json, gpu.json and networks.tar with
#         config.json, history.csv, model.safetensors and linear_fit.json of a network, checkpoint.safetensors of one
#         that is not done
#
# All of it takes LIMIT seconds at most (480): weights and speed have limits of their own, and networks get what is
# left, one after the other. Where time runs out the network is interrupted, as by Ctrl-C, and the next call resumes
# it: benchmarks/gpu.sh simulate networks. One network alone has taken 430 to 440 s (results/gpu.json); l1 comes first.
# A part that fails or runs over is named, and the next one starts.
#
# QUICK=1 goes through the same code with tiny sizes, on a CPU too, and leaves results/ alone. Nothing is installed or
# downloaded: the packages of requirements.txt that training needs have to be there, in any version (what is published
# was measured with PyTorch 2.11).
set -u
cd "$(dirname "$0")/.." || exit 1
export OUT="${OUT:-outputs/gpu}" PYTHONUNBUFFERED=1 JAX_PLATFORMS=cpu
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" # a machine where nothing can be installed has the scripts only
python="${PYTHON:-python3}"
quick=${QUICK:+--quick}
systems="${SYSTEMS:-spring r2 r1 charge}"
variants="${VARIANTS:-l1 bottleneck}"
precision="${PRECISION:-float32}"
epochs="${EPOCHS:-${QUICK:+2}}" # of 400,000 graphs
epochs="${epochs:-160}"
limit="${LIMIT:-480}"
reserve="${RESERVE:-45}" # seconds kept for the fits of networks, for packing and for the summary
runs="${DISTILL_MODEL_WEIGHTS:-model_weights}" outputs="${DISTILL_OUTPUTS:-outputs}"
failed="" unfinished=""
mkdir -p "$OUT"

dataset() { echo "$1_n4_d2_s221${QUICK:+_quick}"; }
run_of() { echo "$(dataset "$2")__$1-paper__s221_full"; } # variant, system
left() { echo $((limit - reserve - SECONDS)); }
finished() { [ -f "$runs/$1/config.json" ] && [ ! -f "$runs/$1/checkpoint.safetensors" ]; }

# part <name> <seconds> <command ...>: say when it starts, how it ended and how long it took
part() {
    local name=$1 most=$2 start=$SECONDS code=0
    shift 2
    [ "$name" = fits ] || [ "$most" -le "$(left)" ] || most=$(left)
    if [ "$most" -lt 1 ]; then
        failed="$failed $name"
        echo "== $name: no time is left"
        return 1
    fi
    echo "== $name (at most $most s)"
    timeout --kill-after=10 "$most" "$@" || code=$?
    [ $code -eq 0 ] || { failed="$failed $name"; echo "== $name FAILED, exit code $code (124: ran over)"; }
    echo "== $name: $((SECONDS - start)) s"
    return $code
}

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

# One after the other (networks of different datasets cannot be stacked), each as long as time is left.
networks() {
    local system variant run seconds code
    for variant in $variants; do
        for system in $systems; do
            run=$(run_of "$variant" "$system")
            seconds=$(left)
            if finished "$run"; then
                echo "== $run: done before"
            elif [ "$seconds" -lt 1 ]; then
                unfinished="$unfinished $run"
            else
                echo "== $run (at most $seconds s)"
                code=0
                timeout --signal=INT --kill-after=10 "$seconds" \
                    "$python" train.py --dataset "$(dataset "$system")" --variant "$variant" --recipe paper \
                    --seed 221 --epochs "$epochs" --precision "$precision" --tag full --resume $quick || code=$?
                case $code in
                0) ;;
                124) unfinished="$unfinished $run" ;;
                *) failed="$failed $run" ;;
                esac
            fi
        done
    done
}

# The messages of every network that is done, and their fit to the true forces, where that is not there.
fits() {
    local system variant run jobs=() job code=0
    for variant in $variants; do
        for system in $systems; do
            run=$(run_of "$variant" "$system")
            finished "$run" || continue
            [ "$outputs/$run/linear_fit.json" -nt "$runs/$run/config.json" ] && continue
            { "$python" extract_messages.py --run "$run" --seed 221 --overwrite $quick &&
                "$python" fit_linear.py --run "$run" --seed 221 --overwrite $quick; } & jobs+=($!)
        done
    done
    for job in ${jobs[@]+"${jobs[@]}"}; do wait "$job" || code=1; done
    return $code
}

# Networks of an earlier call, where this machine has none of that name.
unpack() {
    local folder run
    folder=$(mktemp -d)
    tar -C "$folder" -xf "$OUT/networks.tar" || failed="$failed unpack"
    for run in "$folder"/*/; do
        run=$(basename "$run")
        [ -d "$folder/$run" ] && [ ! -d "$runs/$run" ] || continue
        mkdir -p "$runs/$run" "$outputs/$run"
        cp -p "$folder/$run"/* "$runs/$run/"
        [ ! -f "$runs/$run/linear_fit.json" ] || mv "$runs/$run/linear_fit.json" "$outputs/$run/"
    done
    rm -r "$folder"
}

pack() {
    local run folder name names
    folder=$(mktemp -d)
    for run in "$runs"/*"${QUICK:+_quick}__"*-paper__s221_full; do
        [ -d "$run" ] || continue
        run=$(basename "$run")
        case $run in *_quick__*) [ -n "$quick" ] || continue ;; esac
        mkdir -p "$folder/$run"
        names="config.json history.csv model.safetensors"
        finished "$run" || names="checkpoint.safetensors"
        for name in $names; do
            [ ! -f "$runs/$run/$name" ] || cp -p "$runs/$run/$name" "$folder/$run/"
        done
        [ ! -f "$outputs/$run/linear_fit.json" ] || ! finished "$run" ||
            cp -p "$outputs/$run/linear_fit.json" "$folder/$run/"
    done
    tar -C "$folder" -cf "$OUT/networks.tar" . && rm -r "$folder"
}

if [ -z "$quick" ]; then # without one, speed would replace what was measured by nothing
    "$python" -c "import sys, torch; sys.exit(not torch.cuda.is_available())" ||
        { echo "error: no GPU is at hand; QUICK=1 goes through the same code on a CPU" >&2; exit 1; }
fi
[ ! -f "$OUT/networks.tar" ] || unpack
export -f simulate fits dataset run_of finished
export python quick systems variants runs outputs
for name in "${@:-weights speed simulate networks}"; do
    for name in $name; do
        case $name in
        weights)
            part weights "${LIMIT_WEIGHTS:-60}" "$python" benchmarks/gpu_check.py weights --out "$OUT" $quick
            ;;
        speed) # one timing of two seconds of each of 36 configurations
            if part speed "${LIMIT_SPEED:-210}" "$python" benchmarks/speed.py gpu --rounds 1 $quick &&
                [ -z "$quick" ]; then
                cp results/speed.json "$OUT/"
            fi
            ;;
        simulate)
            part simulate "${LIMIT_SIMULATE:-120}" bash -c simulate
            ;;
        networks)
            networks
            rest=$((limit - SECONDS - 10)) # that of packing and of the summary
            part fits "$((rest > 5 ? rest : 5))" bash -c fits
            pack
            ;;
        *)
            echo "unknown part $name"
            failed="$failed $name"
            ;;
        esac
    done
done
"$python" benchmarks/gpu_check.py summary --out "$OUT" $quick || failed="$failed summary"
[ -n "$quick" ] || cp results/gpu.json "$OUT/"
echo "== done after $SECONDS s${unfinished:+; not done, the next call goes on:$unfinished}${failed:+; FAILED:$failed}"
[ -z "$failed" ]
