"""Reads what `coverage.sh` measured.

    coverage.py objects BUILD    prints the programs of cargo's messages
    coverage.py table LINES MIN  prints the covered lines per crate, and the files that
                                 miss most; fails if a crate is below MIN percent

Tests are not counted: files in a folder `tests`, files `tests.rs`, and the modules for tests at
the end of a file.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CRATES = [
    "crates/times",
    "crates/jq",
    "crates/events",
    "crates/steps",
    "crates/core",
    "workflows",
]
TEST_MODULE = re.compile(r"^#\[cfg\(test\)\]\n(pub(\(crate\))? )?mod \w+ \{", re.MULTILINE)


def objects(build):
    for line in open(build, encoding="utf-8"):
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable"):
            print(message["executable"])


def measured(lines):
    """The lines of each file of the crates: number and count of runs."""
    files, own = {}, None
    for line in open(lines, encoding="utf-8"):
        key, _, value = line.strip().partition(":")
        if key == "SF":
            path = pathlib.Path(value)
            own = counted(path) if path.is_relative_to(ROOT) else None
            end = end_of_code(path) if own else 0
        elif key == "DA" and own:
            number, count = value.split(",")[:2]
            if int(number) < end:
                files.setdefault(own, {})[int(number)] = int(count)
    return files


def counted(path):
    path = path.relative_to(ROOT)
    is_test = "tests" in path.parts or path.name == "tests.rs"
    return None if is_test else str(path)


def end_of_code(path):
    text = path.read_text(encoding="utf-8")
    found = TEST_MODULE.search(text)
    return text.count("\n", 0, found.start()) + 1 if found else sys.maxsize


def table(lines, limit):
    files = measured(lines)
    below = False
    print(f"{'crate':<16}{'lines':>8}{'covered':>9}{'percent':>9}")
    for crate in CRATES:
        own = {name: runs for name, runs in files.items() if name.startswith(crate + "/src/")}
        total = sum(len(runs) for runs in own.values())
        covered = sum(1 for runs in own.values() for count in runs.values() if count)
        percent = 100 * covered / max(total, 1)
        below |= percent < limit
        mark = f"  below {limit:g}" if percent < limit else ""
        print(f"{crate:<16}{total:>8}{covered:>9}{percent:>9.1f}{mark}")
        missed = {name: sum(1 for count in runs.values() if not count) for name, runs in own.items()}
        worst = sorted(missed, key=lambda name: -missed[name])[: 12 if percent < limit else 3]
        for name in worst:
            if missed[name]:
                print(f"    {missed[name]:>4} not run: {name}")
    sys.exit(1 if below else 0)


if __name__ == "__main__":
    if sys.argv[1] == "objects":
        objects(sys.argv[2])
    else:
        table(sys.argv[2], float(sys.argv[3]))
