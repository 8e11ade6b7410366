"""Each direct dependency has its reason in .deny.toml, is used by a package, and by its source.

Reads the lines `#   NAME: reason` of .deny.toml, the root Cargo.toml's [workspace.dependencies] and each member's dependencies.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Named by no source: a feature of theirs is wanted in what others bring along.
FEATURES_ALONE = {"aws-lc-rs"}


def manifest(folder: Path) -> dict:
    return tomllib.loads((folder / "Cargo.toml").read_text(encoding="utf-8"))


def named(folder: Path, name: str) -> bool:
    word = re.compile(rf"\b{name.replace('-', '_')}\b")
    return any(word.search(file.read_text(encoding="utf-8")) for file in folder.rglob("*.rs"))


def main() -> int:
    root = manifest(ROOT)
    reasons = set(re.findall(r"^#   ([a-z0-9_-]+): \S", (ROOT / ".deny.toml").read_text(encoding="utf-8"), re.MULTILINE))
    external = {name for name, spec in root["workspace"]["dependencies"].items() if not (isinstance(spec, dict) and "path" in spec)}
    wrong = [f"{name}: no reason in .deny.toml" for name in sorted(external - reasons)]
    wrong += [f"{name}: has a reason in .deny.toml, but is no dependency" for name in sorted(reasons - external)]

    used = set()
    for member in root["workspace"]["members"]:
        package = manifest(ROOT / member)
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, spec in package.get(kind, {}).items():
                used.add(name)
                if not (isinstance(spec, dict) and spec.get("workspace")):
                    wrong.append(f"{name}: {member} gives a version of its own, not the workspace's")
                if name not in FEATURES_ALONE and not named(ROOT / member, name):
                    wrong.append(f"{name}: {member} asks for it, and no source there names it")
    wrong += [f"{name}: in the workspace, and no package asks for it" for name in sorted(external - used)]

    print("\n".join(wrong) or f"{len(external)} direct dependencies, each with its reason and its use")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
