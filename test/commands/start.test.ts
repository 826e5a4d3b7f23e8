// `npm start` as a person meets it: npm, a shell and the program are one process group, Ctrl-C goes to all of them, and
// npm passes it on once more. What must come of it is one stop, its exit code, and nobody left behind.
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const folder = mkdtempSync(join(tmpdir(), "sluice-start-"))
const env = { ...process.env, SLUICE_STATE_DIR: join(folder, "state"), SLUICE_PORT: "0" }

interface Entry {
  readonly message: string
  readonly annotations?: { readonly report?: { readonly by: ReadonlyArray<string>; readonly exitCode: number } }
}

/** The program's log; what npm says in between is not part of it. */
async function* entries(lines: AsyncIterable<string>): AsyncGenerator<Entry> {
  for await (const line of lines) if (line.startsWith("{")) yield JSON.parse(line)
}

const aliveIn = (group: number): boolean => {
  try {
    process.kill(-group, 0)
    return true
  } catch {
    return false
  }
}

beforeAll(() => writeFileSync(join(folder, "bad.yaml"), "drain: { timeout: soon }\n"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("npm start", () => {
  it("takes flags as those of a run, stops once at Ctrl-C, with the report, and leaves nobody behind", async () => {
    const args = ["start", "--", "--log-level", "info"]
    const npm = spawn("npm", args, { cwd: root, env, detached: true, stdio: ["ignore", "pipe", "inherit"] })
    const { pid = 0 } = npm
    const left = once(npm, "exit")
    const seen: Array<Entry> = []
    for await (const entry of entries(createInterface({ input: npm.stdout }))) {
      seen.push(entry)
      if (entry.message === "ready") process.kill(-pid, "SIGINT")
    }
    expect(await left).toEqual([0, null])
    expect(seen.filter(({ message }) => message === "ready")).toHaveLength(1)
    const stops = seen.filter(({ message }) => message === "stopped")
    expect(stops.map(({ annotations }) => annotations?.report)).toMatchObject([{ by: ["SIGINT"], exitCode: 0 }])
    expect(aliveIn(pid)).toBe(false)
  })

  it("hands on its arguments and the exit code", () => {
    const args = ["start", "--silent", "--", "check", "--config", join(folder, "bad.yaml")]
    const { status, stderr, stdout } = spawnSync("npm", args, { cwd: root, env, encoding: "utf8" })
    expect({ status, output: `${stdout}${stderr}` }).toEqual({
      status: 78,
      output: expect.stringContaining("drain.timeout")
    })
  })
})
