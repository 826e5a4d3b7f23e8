// `sluice chat` over kill -9 in each window of one message: before its commit, between the commit and its acknowledgement,
// and between the commit of its reply and the reader. The terminal sends again and asks from its number on, so one message
// goes through all three deaths and is answered once.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { launch, program, running, start, temporaryFolder, tool } from "../harness.ts"

const crashing = fileURLToPath(new URL("../programs/crashing.ts", import.meta.url))

/** The terminal with one line of input; completes with what it printed and its code. */
const chat = (folder: string, line: string) =>
  Effect.callback<{ readonly out: string; readonly err: string; readonly code: number | null }>((resume) => {
    const child = spawn(process.execPath, [program, "chat", "--as", "kim"], { cwd: folder })
    const [out, err]: [Array<string>, Array<string>] = [[], []]
    child.stdout.on("data", (data: Buffer) => void out.push(data.toString("utf8")))
    child.stderr.on("data", (data: Buffer) => void err.push(data.toString("utf8")))
    child.once("close", (code) => resume(Effect.succeed({ out: out.join(""), err: err.join(""), code })))
    child.stdin.end(`${line}\n`)
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

describe("the terminal", () => {
  it.live(
    "D9 S19: killed before a line's commit, before its acknowledgement and before its answer is read: one answer",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const far = yield* temporaryFolder
        const dying = (label: string) =>
          launch({ folder, program: crashing, environment: { CRASHING_LABEL: label, CRASHING_FAR: far } })
        const first = yield* dying("inside:admit")
        yield* running(first)
        const talk = yield* Effect.forkScoped(chat(folder, "hello over three deaths"))
        const deaths = [(yield* first.exited).signal]
        for (const label of ["after:admit", "after:settle"]) {
          const next = yield* dying(label)
          deaths.push((yield* next.exited).signal)
        }
        assert.deepStrictEqual(deaths, ["SIGKILL", "SIGKILL", "SIGKILL"])
        const last = yield* start({ folder })
        const { code, err, out } = yield* Fiber.join(talk)
        assert.strictEqual(code, 0, err)
        assert.strictEqual(out.trim(), "hello over three deaths")
        yield* last.signal("SIGTERM")
        yield* last.exited
        const ledger = yield* tool(folder, ["audit", "--json"])
        assert.deepInclude(ledger.json, { accepted: 1, open: 0, balanced: true })
      }).pipe(Effect.scoped)
  )
})
