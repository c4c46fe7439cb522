"""Square products through `torch.matmul`, f32 with TF32 off: what wgrad's `matmul` benchmark is held against on a GPU.

Prints one line of JSON: the best GFLOP/s of each form and size.
"""

import argparse
import json
import time

import torch


def rate(product, size, wait, rounds, count):
    """The best GFLOP/s of some rounds, each of many products and one wait."""
    product()
    wait()
    least = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(count):
            product()
        wait()
        least = min(least, (time.perf_counter() - start) / count)
    return 2 * size**3 / least / 1e9


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", default="1024")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--count", type=int, default=10)
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    where = torch.device(args.device)
    cuda = where.type == "cuda"
    wait = (lambda: torch.cuda.synchronize(where)) if cuda else (lambda: None)
    line = {
        "version": torch.__version__,
        "device": torch.cuda.get_device_name(where) if cuda else f"cpu, {torch.get_num_threads()} threads",
        "gflops": {},
    }
    for size in map(int, args.sizes.split(",")):
        # The same range as in the benchmark: clocks follow power, and power the operands.
        a, b = (torch.rand(size, size, device=where) * 0.1 - 0.05 for _ in range(2))
        c = torch.empty(size, size, device=where)
        forms = {"AB": (a, b), "AtB": (a.T, b), "ABt": (a, b.T)}
        for form, (x, y) in forms.items():
            product = lambda: torch.matmul(x, y, out=c)
            line["gflops"][f"{form} {size}"] = rate(product, size, wait, args.rounds, args.count)
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
