"""The arrows between folders (docs/design.md, 2), unique file names, and lengths.

Reads the #include lines of the source: a wrong arrow fails, even where a build would let it pass."""
import os
import re
import sys

SOURCE = os.environ.get("TLC_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

BASE, INFER = "runtime/base", "runtime/infer"
IR = ["compiler/base", "compiler/ir", "compiler/ops", BASE]
KERNELS = ["kernels", "kernels/cpu", "kernels/ref", "kernels/cuda"]
MAY_INCLUDE = {  # folder: others that its files may include
    "compiler/base": [BASE],
    "compiler/ir": IR,
    "compiler/ops": IR,
    "compiler/import": IR,
    "compiler/grad": IR,
    "compiler/plan": IR + ["kernels"],
    "compiler/passes": IR + ["compiler/grad", "compiler/plan"],
    "compiler/emit": IR + ["compiler/plan", INFER, "kernels"],
    "compiler/cli": IR + ["compiler/" + f for f in ("import", "grad", "plan", "passes", "emit")] + [INFER, "runtime/draw", "kernels"],
    "kernels": [],
    "kernels/cpu": ["kernels"],
    "kernels/ref": ["kernels"],
    "kernels/cuda": ["kernels"],
    "runtime/cuda": ["runtime/infer", "kernels", "kernels/cuda"],
    "runtime/base": [],
    "runtime/infer": [BASE] + KERNELS,
    "runtime/image": [BASE],
    "runtime/draw": [BASE],
    "runtime/train": [BASE, INFER] + KERNELS,
    "runtime/photos": [BASE, INFER, "runtime/image", "runtime/train"],
    "runtime/run": [BASE, INFER, "runtime/train"] + KERNELS,
    "runtime/cli": [BASE, INFER, "runtime/image", "runtime/draw", "runtime/train", "runtime/run"] + KERNELS,
}
LONGEST_FILE, LONGEST_LINE = 1000, 110

problems = []
where = {}
for folder in MAY_INCLUDE:
    for name in sorted(os.listdir(os.path.join(SOURCE, folder))):
        if name.endswith((".c", ".h", ".def")):
            if name in where:
                problems.append(f"{folder}/{name}: the name stands in {where[name]} too")
            where[name] = folder
for name, folder in where.items():
    with open(os.path.join(SOURCE, folder, name), encoding="utf-8") as f:
        lines = f.read().split("\n")
    if len(lines) > LONGEST_FILE:
        problems.append(f"{folder}/{name}: {len(lines)} lines, at most {LONGEST_FILE}")
    for i, line in enumerate(lines, 1):
        if len(line) > LONGEST_LINE and not name.endswith(".def"):
            problems.append(f"{folder}/{name}:{i}: {len(line)} columns, at most {LONGEST_LINE}")
        found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not found:
            continue
        target = where.get(found.group(1))
        if target and target != folder and target not in MAY_INCLUDE[folder]:
            problems.append(f"{folder}/{name}:{i}: includes {target}/{found.group(1)}, which it may not know")

for p in problems:
    print(p)
print(f"{len(where)} files; {len(problems)} problems")
sys.exit(1 if problems else 0)
