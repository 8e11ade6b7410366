"""What docs/testing.md names exists: each path in its table of promises, and each test that is named after a path."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    table = (ROOT / "docs/testing.md").read_text(encoding="utf-8").split("## Which promise is shown where", 1)[1]
    wrong, named = [], 0
    for row in (line for line in table.splitlines() if line.startswith("| ") and line.count("|") == 3):
        file = None
        for word in re.findall(r"`([^`]+)`", row.split("|")[2]):
            if "/" in word:
                file = ROOT / word
                if not file.exists():
                    wrong.append(f"{word}: not there")
            elif file is not None and "_" in word:
                if file.is_file() and f"fn {word}(" not in file.read_text(encoding="utf-8"):
                    wrong.append(f"{word}: no such test in {file.relative_to(ROOT)}")
            else:
                continue
            named += 1
    print("\n".join(wrong) or f"docs/testing.md names {named} tests and files, all of them there")
    return 1 if wrong or named == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
