"""What makes up the size of a release binary: bytes of code and data by crate, from its symbols.

usage: binary_size.py BINARY
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

# The first path segment of a demangled Rust symbol: `core::fmt`, `<alloc::vec::Vec<T> as …>`.
CRATE = re.compile(r"^[<&*(\[ ]*(?:dyn |mut |impl )*(?P<name>[a-z_][a-z0-9_]*)::")
STANDARD = {"core", "alloc", "std", "hashbrown", "gimli", "addr2line", "rustc_demangle", "miniz_oxide"}


def main(binary: Path) -> None:
    symbols = subprocess.run(
        ["nm", "--demangle=rust", "--print-size", "--size-sort", binary], check=True, text=True, stdout=subprocess.PIPE
    )
    sizes: Counter[str] = Counter()
    for line in symbols.stdout.splitlines():
        _, size, _, *name = line.split(" ", 3)
        found = CRATE.match(name[0]) if name else None
        crate = found["name"] if found else "C and other symbols"
        sizes["standard library" if crate in STANDARD else crate] += int(size, 16)
    total = binary.stat().st_size
    print(f"\n### Size of the release binary: {total / 1e6:.1f} MB\n")
    print("| crate | size | share |\n|---|---|---|")
    for crate, size in sizes.most_common(24):
        print(f"| {crate} | {size / 1e6:.2f} MB | {size / total:.1%} |")
    rest = total - sum(sizes.values())
    print(f"| not in any symbol (embedded UI, tables, symbol names) | {rest / 1e6:.2f} MB | {rest / total:.1%} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
