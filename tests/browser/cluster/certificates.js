// Certificates for tests, by openssl: an authority, and what it has signed.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect } from "node:tls";
import { apply, kubectl } from "./kubernetes.js";
import { run } from "./node.js";

export class Authority {
  #folder = mkdtempSync(join(tmpdir(), "bannou-certificates-"));
  #made = 0;

  static async create() {
    const authority = new Authority();
    await authority.#request("ca", ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]);
    authority.certificate = authority.#read("ca.crt");
    return authority;
  }

  #read(name) {
    return readFileSync(join(this.#folder, name), "utf8");
  }

  async #request(name, extensions, more = []) {
    // Nothing of what the machine's own configuration adds.
    const config = join(this.#folder, "config");
    writeFileSync(config, "[req]\ndistinguished_name = dn\n[dn]\n");
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${name}.key`, "-out", `${name}.crt`];
    const about = ["-config", config, "-days", "2", "-subj", `/CN=${name}`, ...extensions.flatMap((each) => ["-addext", each])];
    await run("openssl", ["req", "-x509", ...key, ...about, ...more], { cwd: this.#folder });
  }

  /** @param {string} names  as in subjectAltName @returns {Promise<{certificate: string, key: string, fingerprint: string}>} */
  async sign(names) {
    const name = `leaf-${++this.#made}`;
    const extensions = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth", `subjectAltName=${names}`];
    await this.#request(name, extensions, ["-CA", "ca.crt", "-CAkey", "ca.key"]);
    const certificate = this.#read(`${name}.crt`);
    return { certificate, key: this.#read(`${name}.key`), fingerprint: new X509Certificate(certificate).fingerprint256 };
  }

  /** Puts what it has signed into a Secret, with the authority beside it, in the place of what was there. */
  async put(namespace, name, { certificate, key }) {
    writeFileSync(join(this.#folder, "tls.crt"), certificate);
    writeFileSync(join(this.#folder, "tls.key"), key);
    const files = ["tls.crt", "tls.key"].map((file) => `--from-file=${join(this.#folder, file)}`);
    const ca = `--from-file=ca.crt=${join(this.#folder, "ca.crt")}`;
    await apply(await kubectl("-n", namespace, "create", "secret", "generic", name, "--type=kubernetes.io/tls", ...files, ca, "--dry-run=client", "-o", "yaml"));
  }

  /** @returns {Promise<string>} the fingerprint of the certificate that is served there, if it is one of this authority's, for that name */
  served(host, port, name = host) {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, ca: this.certificate, ...(isIP(name) ? {} : { servername: name }) }, () => {
        resolve(socket.getPeerCertificate().fingerprint256);
        socket.end();
      });
      socket.on("error", reject);
    });
  }

  close() {
    rmSync(this.#folder, { recursive: true });
  }
}
