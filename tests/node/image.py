#!/usr/bin/env python3
"""Writes an OCI image of one layer into a tar file that `ctr images import`, `podman load` and `kind load image-archive` take. No registry, no daemon.

    image.py OUT.tar NAME:TAG [--entrypoint JSON] [--user UID] [--env K=V]… [--tree FOLDER] [FILE:PATH]…

Files are executable, and the shared libraries that a program names (ldd) come along; a folder comes with all that is in it, and `--tree` puts one
under /.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile

USERS = b"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"
GROUPS = b"root:x:0:\nnonroot:x:65532:\n"
# What glibc loads by itself to resolve names.
NAMES = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"]


def libraries(program):
    """The shared libraries of a program, by their paths on this machine."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for line in said.splitlines():
        words = line.split()
        if "=>" in words and words[2].startswith("/"):
            yield words[2]
        elif words and words[0].startswith("/"):
            yield words[0]


class Layer:
    def __init__(self, path):
        self.tar = tarfile.open(path, "w")
        self.there = set()

    def folder(self, path, mode=0o755):
        path = path.strip("/")
        if not path or path in self.there:
            return
        self.folder(os.path.dirname(path))
        self.there.add(path)
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        self.tar.addfile(entry)

    def file(self, path, data, mode=0o755):
        path = path.strip("/")
        if path in self.there:
            return
        self.folder(os.path.dirname(path))
        self.there.add(path)
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(data), mode
        self.tar.addfile(entry, io.BytesIO(data))

    def program(self, source, path):
        self.file(path, read(source))
        for library in libraries(source):
            self.file(library, read(library))
            if "/libc.so" in library:
                for name in NAMES:
                    beside = os.path.join(os.path.dirname(library), name)
                    if os.path.exists(beside):
                        self.file(beside, read(beside))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def digest(path):
    whole = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            whole.update(piece)
    return whole.hexdigest()


def write(out, name, layer, config):
    """The image layout: an index that names a manifest, which names a configuration and a layer."""
    layer_digest = digest(layer)
    config["rootfs"] = {"type": "layers", "diff_ids": ["sha256:" + layer_digest]}
    blobs = {}

    def blob(value):
        data = json.dumps(value).encode()
        sha = hashlib.sha256(data).hexdigest()
        blobs[sha] = data
        return {"digest": "sha256:" + sha, "size": len(data)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(config)},
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": "sha256:" + layer_digest,
                "size": os.path.getsize(layer),
            }
        ],
    }
    named = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1]}
    described = {"mediaType": manifest["mediaType"], **blob(manifest), "annotations": named}
    index = {"schemaVersion": 2, "manifests": [described]}
    with tarfile.open(out, "w") as tar:
        files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
        files |= {"blobs/sha256/" + sha: data for sha, data in blobs.items()}
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        tar.add(layer, "blobs/sha256/" + layer_digest)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("name")
    parser.add_argument("files", nargs="*", metavar="FILE:PATH")
    parser.add_argument("--entrypoint", default="[]", help="a JSON list")
    parser.add_argument("--user", default="", help="such as 65532")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--tree", help="a folder that is put under /")
    wanted = parser.parse_intermixed_args()
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(os.path.abspath(wanted.out))) as file:
        layer = Layer(file.name)
        if wanted.tree:
            layer.tar.add(wanted.tree, ".", filter=lambda e: None if e.name.startswith(("./dev/", "./proc/")) else e)
        else:
            layer.folder("tmp", 0o1777)
            layer.file("etc/passwd", USERS, 0o644)
            layer.file("etc/group", GROUPS, 0o644)
            layer.file("etc/nsswitch.conf", b"hosts: files dns\n", 0o644)
        for pair in wanted.files:
            source, path = pair.split(":", 1)
            if os.path.isdir(source):
                layer.tar.add(source, path.strip("/"))
            else:
                layer.program(source, path)
        layer.tar.close()
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        running = {"Entrypoint": json.loads(wanted.entrypoint), "User": wanted.user, "WorkingDir": "/"}
        running["Env"] = ["PATH=" + path, *wanted.env]
        write(wanted.out, wanted.name, file.name, {"architecture": "amd64", "os": "linux", "config": running})
    os.chmod(wanted.out, 0o644)


if __name__ == "__main__":
    main()
