"""An ESTIMATE, by arithmetic alone, of what an A100 and an H100 leave room for, a kernel or an operator a line.

    python3 bench/cuda_roofline.py MODEL [--batch 32] [--layers] [-- OPTIONS of tlc compile]      prints tables (Markdown)

Nothing here was measured.  Occupancy follows from registers and shared memory by ptxas and the limits below.  The time of
a kernel is the larger of two floors: its multiply-adds at the card's fp32 peak, that peak cut to the share of
multiprocessors which have a block to run, wave by wave; and every operand moved once at the memory's peak.  Caches, latency,
shared memory and launches are left out, so a real time is longer.  TLC names the compiler.  Needs nvcc; no card."""
import argparse
import sys
import tempfile

import cuda_model

THREADS = 256        # of a block: TLK_CUDA_THREADS
WARP = 32

# Multiprocessors, fp32 without tensor cores, memory: NVIDIA's data sheets "A100 80GB SXM" and "H100 SXM" (dense figures).
# Limits of a multiprocessor: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability" 8.0 and 9.0.
CARDS = {
    "A100": dict(sm="80", multiprocessors=108, teraflops=19.5, gigabytes=2039, shared=164 << 10),
    "H100": dict(sm="90", multiprocessors=132, teraflops=67.0, gigabytes=3350, shared=228 << 10),
}
REGISTERS, MOST_WARPS, MOST_BLOCKS = 65536, 64, 32
REGISTER_UNIT, SHARED_UNIT, SHARED_RESERVED = 256, 128, 1024   # registers a warp; bytes a block, and bytes the system takes of it


def up(value, unit):
    return -(-value // unit) * unit


def resident_blocks(card, taken):
    """Blocks of a kernel that one multiprocessor holds at a time."""
    warps = THREADS // WARP
    by_registers = REGISTERS // (up(taken.registers * WARP, REGISTER_UNIT) * warps)
    by_shared = card["shared"] // (up(taken.shared, SHARED_UNIT) + SHARED_RESERVED)
    return min(by_registers, by_shared, MOST_WARPS // warps, MOST_BLOCKS)


def busy(card, blocks):
    """Share of the multiprocessors' time in which they have a block: they take blocks in turn, the last turn is not whole."""
    turns = -(-blocks // card["multiprocessors"])
    return blocks / (turns * card["multiprocessors"])


class Estimate:
    def __init__(self, card, kernel, taken, n):
        blocks = kernel.blocks_for(n)
        self.compute = 2e6 * kernel.multiply_adds * n / (card["teraflops"] * 1e12) / busy(card, blocks)
        self.memory = 1e6 * kernel.bytes_for(n) / (card["gigabytes"] * 1e9)
        self.microseconds = max(self.compute, self.memory)
        self.bound = "arithmetic" if self.compute > self.memory else "memory"
        self.occupancy = resident_blocks(card, taken) * (THREADS // WARP) / MOST_WARPS


def head(first):
    print(f"| {first} | multiply-adds, M | MB moved | " + " | ".join(f"{c}: occupancy | us | bound" for c in CARDS) + " |")
    print("|---|---|---|" + "---|" * 3 * len(CARDS))


def line(name, multiply_adds, moved, estimates):
    cells = []
    for group in estimates:
        total = sum(e.microseconds for e in group)
        arithmetic = sum(e.microseconds for e in group if e.bound == "arithmetic")
        bound = group[0].bound if len(group) == 1 else f"arithmetic {100 * arithmetic / total:.0f} %"
        cells.append(f"{100 * min(e.occupancy for e in group):.0f} % | {total:.1f} | {bound}")
    print(f"| {name} | {multiply_adds / 1e6:.1f} | {moved / 1e6:.2f} | " + " | ".join(cells) + " |")


def table(first, groups, n):
    """A line for each group of (kernel, an estimate for each card)."""
    head(first)
    for name, members in groups:
        line(name, sum(k.multiply_adds for k, _ in members) * n, sum(k.bytes_for(n) for k, _ in members), list(zip(*(e for _, e in members))))


def main():
    arguments, options = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, options = arguments[:at], arguments[at + 1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--layers", action="store_true", help="a line for each kernel")
    a = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        kernels = cuda_model.read_kernels(cuda_model.compile_model(a.model, f"{folder}/net", options))
        taken = cuda_model.ask_ptxas(f"{folder}/net", [c["sm"] for c in CARDS.values()])
    rows = [(k, [Estimate(c, k, taken[k.name, c["sm"]], a.batch) for c in CARDS.values()]) for k in kernels]
    by_operator = {}
    for k, estimates in rows:
        by_operator.setdefault(k.operator, []).append((k, estimates))
    print(f"Estimate, not measured: {len(kernels)} kernels, batch {a.batch}.\n")
    if a.layers:
        table("kernel", [(k.name, [(k, e)]) for k, e in rows], a.batch)
        print()
    table("operator", [(f"{name} ({len(m)})", m) for name, m in by_operator.items()] + [("all", rows)], a.batch)


if __name__ == "__main__":
    main()
