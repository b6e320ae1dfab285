#!/usr/bin/env bash
# On a machine with a CUDA GPU, in under ten minutes: parity of the graphs, step times against the plain loop, the
# forecast of the paper's arithmetic and a real part of it. Everything it finds lands in the folder given, or in gpu/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
into=$(mkdir -p "${1:-gpu}" && cd "${1:-gpu}" && pwd)

command -v uv >/dev/null || python3 -m pip install --quiet uv
uv sync --quiet
nvidia-smi | tee "$into/nvidia-smi.txt"

uv run pytest tests/subind/test_graphs.py -rs | tee "$into/parity.txt"
timeout 240 uv run python -m benchmarks training --device cuda --json >"$into/training.json" || echo "bench training: cut off"

# Depth 12, every control and sample count, three seeds. The same command again goes on with what is missing.
part=(paper-arithmetic --where num_layers=12 --where 'seed<3' --store "$into/store")
uv run subind plan paper-arithmetic --device cuda --store "$into/store" | tee "$into/forecast.txt"
timeout --signal=INT 240 uv run subind run "${part[@]}" --device cuda | tee "$into/run.txt" || true
uv run subind status "${part[@]}" | tee "$into/status.txt"
uv run subind plan paper-arithmetic --device cuda --store "$into/store" | tee "$into/forecast-measured.txt"
cp -r results "$into/"
