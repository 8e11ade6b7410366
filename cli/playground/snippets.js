// How a native client opens the media connection, in the languages of those who read this.

/** @typedef {{ host: string, port: string, token: string }} Grant */

/** @type {Record<string, { title: string, code: (grant: Grant) => string }>} */
export const snippets = {
  node: {
    title: "Node",
    code: ({ host, port, token }) => `import net from "node:net";
import readline from "node:readline";

const game = net.connect(${port}, "${host}");
const lines = readline.createInterface({ input: game })[Symbol.asyncIterator]();

// The token and a newline; the server says "ok".
game.write("${token}\\n");
console.log((await lines.next()).value);

// Then positions, a line of JSON each, and their echoes.
game.write('{"x":0.5,"y":0.5}\\n');
console.log((await lines.next()).value);`,
  },
  python: {
    title: "Python",
    code: ({ host, port, token }) => `import socket

with socket.create_connection(("${host}", ${port})) as game:
    lines = game.makefile("rw", encoding="utf-8", newline="\\n")

    # The token and a newline; the server says "ok".
    print("${token}", file=lines, flush=True)
    print(lines.readline())

    # Then positions, a line of JSON each, and their echoes.
    print('{"x":0.5,"y":0.5}', file=lines, flush=True)
    print(lines.readline())`,
  },
  csharp: {
    title: "C#",
    code: ({ host, port, token }) => `using System.Net.Sockets;

using var game = new TcpClient("${host}", ${port});
using var reader = new StreamReader(game.GetStream());
using var writer = new StreamWriter(game.GetStream()) { AutoFlush = true, NewLine = "\\n" };

// The token and a newline; the server says "ok".
await writer.WriteLineAsync("${token}");
Console.WriteLine(await reader.ReadLineAsync());

// Then positions, a line of JSON each, and their echoes.
await writer.WriteLineAsync("""{"x":0.5,"y":0.5}""");
Console.WriteLine(await reader.ReadLineAsync());`,
  },
  shell: {
    title: "Shell",
    code: ({ host, port, token }) => `{ echo '${token}'; echo '{"x":0.5,"y":0.5}'; sleep 1; } | nc ${host} ${port}
# ok
# {"x":0.5,"y":0.5}`,
  },
};
