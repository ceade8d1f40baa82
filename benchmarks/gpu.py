"""CoLAKE and KEPLER at base size on the GPUs of this machine: samples a second, MFU, and the wait for the loader.

    python -m benchmarks.gpu [--ranks N] [--steps N] [--system colake kepler] [--set KEY=VALUE ...] [--data DATASET]
    python -m benchmarks.gpu --device cpu --layers 2 --hidden 128      (no figures to keep: to see that it runs)

Random weights of RoBERTa-base's shape, the base recipes with the batch cut to what a device takes at once, on a dataset
built here (the real sample where WIKILOOM_DATA is set, else examples/), or on one with tokens that was built elsewhere:
a machine for training alone has no pipelines. Writes results/gpu.json for a GPU; without one it says so and ends.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.loader import build_sample
from benchmarks.timing import save
from training.metrics import read_metrics

ROOT = Path(__file__).parent.parent
GOALS = {"colake": (3_670, 4_710)}
"""Samples a second on one H200: 35 % and 45 % of its peak."""
SHAPES = {
    "colake": {"train.batch_size": 512, "train.micro_batch": 256, "colake.encode_graphs": 128},
    "kepler": {
        "train.batch_size": 256,
        "train.micro_batch": 128,
        "kepler.blocks": 256,
        "kepler.encode_tokens": 65_536,
    },
}
RECIPES = {"colake": "colake-base", "kepler": "kepler-wiki-base"}
WARM = 10
"""Steps that are not counted: memory is taken, kernels are chosen."""


def main() -> int:
    """Run and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40, help="counted, after the first ones")
    parser.add_argument("--system", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--set", nargs="*", default=[], help="KEY=VALUE, on top of the rest")
    parser.add_argument("--data", type=Path, help="a dataset with tokens/t")
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("benchmarks.gpu: this machine (or this build of torch) has no CUDA device; nothing was measured.")
        return 0
    name = torch.cuda.get_device_name() if chosen.device == "cuda" else "cpu"
    figures: dict[str, Any] = {"device": name, "ranks": chosen.ranks, "torch": torch.__version__, "systems": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tokens = chosen.data / "tokens" / "t" if chosen.data else build_sample(folder)
        encoder = random_encoder(folder / "encoder", chosen.layers, chosen.hidden)
        for system in chosen.system:
            found = measured(system, tokens, encoder, folder / system, chosen)
            figures["systems"][system] = found
            print(system, ", ".join(f"{key} {value:,.4g}" for key, value in found.items()), flush=True)
            for goal in GOALS.get(system, ()) if "H200" in name and chosen.ranks == 1 else ():
                print(f"  goal {goal:,} samples/s: {found['samples'] / goal:.2f} of it")
    if chosen.device == "cuda":
        print(save("gpu", figures))
    return 0


def random_encoder(folder: Path, layers: int, hidden: int) -> Path:
    """A RoBERTa with random weights, as a folder that a recipe can name."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    sizes = RobertaConfig(
        vocab_size=50_265,
        max_position_embeddings=514,
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden,
    )
    torch.manual_seed(0)
    RobertaForMaskedLM(sizes).save_pretrained(folder)
    return folder


def measured(system: str, tokens: Path, encoder: Path, run: Path, chosen: argparse.Namespace) -> dict[str, float]:
    """The rates of a training run of its own, the median of its log's lines after the first ones."""
    steps = WARM + chosen.steps
    settings: dict[str, Any] = {
        **SHAPES[system],
        "encoder.name": encoder,
        "data.tokens": tokens.name,
        "train.device": chosen.device,
        "train.steps": steps,
        "train.log_every": 5,
        "train.valid_every": 10 * steps,
        "train.save_every": 10 * steps,
        "train.valid_batches": 1,
        "optim.warmup_steps": 0,
    }
    settings |= dict(pair.split("=", 1) for pair in chosen.set)
    command = [sys.executable, "-m", "wikiloom", "train", RECIPES[system], "--data", str(tokens.parent.parent)]
    command += ["--out", str(run), *(f"--set={key}={value}" for key, value in settings.items())]
    if chosen.ranks > 1:
        launcher = ["torch.distributed.run", "--standalone", "--no-python", f"--nproc-per-node={chosen.ranks}"]
        command = [sys.executable, "-m", *launcher, *command]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    lines = [line for line in read_metrics(run) if "speed/samples" in line and line["step"] > WARM]
    names = [name for name in lines[0] if name.startswith("speed/")]
    return {name.removeprefix("speed/"): statistics.median(line[name] for line in lines) for name in names}


if __name__ == "__main__":
    sys.exit(main())
