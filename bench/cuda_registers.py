"""Registers, shared memory, stack and spills of each CUDA kernel of a network, as ptxas reports them.

    python3 bench/cuda_registers.py MODEL [SM] [-- OPTIONS of tlc compile]     prints a table (Markdown)

Exit code 1 if a convolution, a product or an update spills or uses the stack.  TLC names the compiler.  Needs nvcc; no card."""
import sys
import tempfile

import cuda_model


def main():
    arguments, options = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, options = arguments[:at], arguments[at + 1:]
    sm = arguments[1] if len(arguments) > 1 else "86"
    with tempfile.TemporaryDirectory() as folder:
        cuda_model.compile_model(arguments[0], f"{folder}/net", options)
        taken = cuda_model.ask_ptxas(f"{folder}/net", [sm])
    worst = {}
    for (name, _), t in taken.items():
        operator = name.split("_", 1)[1]
        before = worst.get(operator, [0] * 5)
        worst[operator] = [before[0] + 1] + [max(a, b) for a, b in zip(before[1:], (t.registers, t.shared, t.stack, t.spilled))]
    print(f"sm_{sm}, {len(taken)} kernels; the largest of each operator\n")
    print("| operator | kernels | registers | shared bytes | stack bytes | spilled bytes |\n|---|---|---|---|---|---|")
    for operator, numbers in sorted(worst.items()):
        print(f"| {operator} | " + " | ".join(map(str, numbers)) + " |")
    return any(t.is_bad_in(name) for (name, _), t in taken.items())


sys.exit(main())
