// How a native client opens the media connection, in the languages of those who read this.

/** @typedef {{ host: string, port: string, token: string }} Grant */

/** @type {Record<string, { title: string, code: (grant: Grant) => string }>} */
export const snippets = {
  node: {
    title: "Node",
    code: ({ host, port, token }) => `import net from "node:net";
import readline from "node:readline";

const socket = net.connect(${port}, "${host}");
socket.write("${token}\\n");            // 1. the token, and a newline

const lines = readline.createInterface({ input: socket })[Symbol.asyncIterator]();
console.log((await lines.next()).value); // 2. "ok"

socket.write('{"x":0.5,"y":0.5}\\n');   // 3. positions, a line of JSON each
console.log((await lines.next()).value); //    and their echoes`,
  },
  python: {
    title: "Python",
    code: ({ host, port, token }) => `import socket

with socket.create_connection(("${host}", ${port})) as game:
    lines = game.makefile("rw", encoding="utf-8", newline="\\n")
    print("${token}", file=lines, flush=True)  # 1. the token, and a newline
    assert lines.readline() == "ok\\n"          # 2. "ok"

    print('{"x":0.5,"y":0.5}', file=lines, flush=True)  # 3. positions, a line of JSON each
    print(lines.readline())                             #    and their echoes`,
  },
  csharp: {
    title: "C#",
    code: ({ host, port, token }) => `using System.Net.Sockets;

using var game = new TcpClient("${host}", ${port});
using var reader = new StreamReader(game.GetStream());
using var writer = new StreamWriter(game.GetStream()) { AutoFlush = true, NewLine = "\\n" };

await writer.WriteLineAsync("${token}");                // 1. the token, and a newline
Console.WriteLine(await reader.ReadLineAsync());        // 2. "ok"

await writer.WriteLineAsync("{\\"x\\":0.5,\\"y\\":0.5}");   // 3. positions, a line of JSON each
Console.WriteLine(await reader.ReadLineAsync());        //    and their echoes`,
  },
  shell: {
    title: "Shell",
    code: ({ host, port, token }) => `{ echo '${token}'; echo '{"x":0.5,"y":0.5}'; sleep 1; } | nc ${host} ${port}
# ok
# {"x":0.5,"y":0.5}`,
  },
};
