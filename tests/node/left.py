#!/usr/bin/env python3
"""left.py STATE LOCK [NAMESPACE…]: what is left on this machine of a node whose files were in the folder STATE, a line each; ends with 1 if there is anything.

A NAMESPACE is one of those that the node lived in, as /proc/PID/ns/* names them. This process and those that it comes from do not count."""

import os
import subprocess
import sys
from pathlib import Path

# What the node's network is made of: the link's two ends, and the addresses of node, Services and Pods (lib.sh, kube-proxy's and the CNI's settings).
LINKS = ("bannou-node", "bannou-inner")
ADDRESSES = ("10.200.0.", "10.96.0.0/16", "10.244.0.")
# How kubelet, kube-proxy, kube-router and the CNI call what they write into tables of packets.
TABLES = ("kube", "cni-", "10.96.0.", "10.244.0.")


def ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 0:
        found.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return found


def processes(state: str, lock: str, namespaces: set[str]):
    """Those of the node, those that name its folder, and those that a killed up.sh has left, by the lock that it hands down."""
    own = ancestors()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in own:
            continue
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            inside = {os.readlink(folder / "ns" / kind) for kind in ("pid", "net", "mnt")} & namespaces
            # Held, not only waited for.
            holds = any(os.readlink(fd) == lock and "\nlock:" in (folder / "fdinfo" / fd.name).read_text() for fd in (folder / "fd").iterdir())
            grouped = "/kubepods" in (folder / "cgroup").read_text()
        except OSError:  # It has ended meanwhile.
            continue
        why = [word for word, true in (("namespace", inside), ("files", state in line), ("lock", holds), ("cgroup", grouped)) if true]
        if why:
            yield f"process {folder.name} ({', '.join(why)}): {line[:160]}"


def lines(*command: str) -> list[str]:
    """What a tool says, where there is one; one that fails has nothing to say of what it cannot see."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    except FileNotFoundError:
        return []


def left(state: str, lock: str, namespaces: set[str]):
    yield from processes(state, lock, namespaces)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if state in line:
            yield f"mount: {line}"
    for line in lines("ip", "-oneline", "link"):
        if line.split(": ")[1].split("@")[0] in LINKS:
            yield f"link: {line.strip()}"
    for family in ("-4", "-6"):
        for line in lines("ip", family, "route", "show", "table", "all"):
            if any(word in line for word in (*LINKS, *ADDRESSES)):
                yield f"route: {line.strip()}"
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name.startswith("kubepods"):
                yield f"cgroup: {os.path.join(folder, name)}"
    for tool in (("nft", "list", "ruleset"), ("ipset", "list", "-name")):
        for line in lines(*tool):
            if any(word in line.lower() for word in TABLES):
                yield f"{tool[0]}: {line.strip()}"
    for path in (state, "/run/cni-ipam"):
        if os.path.exists(path):
            yield f"files: {path}"


def main() -> int:
    found = list(left(sys.argv[1], sys.argv[2], set(sys.argv[3:])))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
