// The agent of the worlds is a witness: what it writes of its runs, and what it prints, has to be right whatever it is
// told to do. And what a gateway leaves behind is found by the world's own mark.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Run } from "../src/history/Operation.ts"
import { read } from "../src/history/reader.ts"
import { answerOf } from "../src/world/sayings.ts"
import { end, marked } from "../src/world/Gateway.ts"

const agent = fileURLToPath(new URL("../src/world/agents/command.mjs", import.meta.url))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-agent-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

const runsIn = (file: string): ReadonlyArray<Run> =>
  read(file).lines.flatMap(({ operation }) => (operation.op === "run" ? [operation] : []))

/** The history's file has a line of the phase. Not every file system tells of changes: it is looked at again and again. */
const has = (file: string, phase: Run["phase"]) =>
  Effect.callback<void>((resume) => {
    const look = () => {
      if (existsSync(file) && readFileSync(file, "utf8").includes(`"phase":"${phase}"`)) resume(Effect.void)
    }
    const again = setInterval(look, 5)
    look()
    return Effect.sync(() => clearInterval(again))
  })

/** Starts a turn with these texts. */
const turn = Effect.fnUntraced(function* (texts: ReadonlyArray<string>, attempt = 1) {
  const history = join(yield* folder, "history.jsonl")
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [agent], {
        env: { TORTURE_HISTORY: history, SLUICE_MARKER: "store/7/3/t1" },
        stdio: ["pipe", "pipe", "ignore"]
      })
    ),
    () => Effect.sync(() => marked(history).forEach(end))
  )
  let printed = ""
  child.stdout.on("data", (data: Buffer) => {
    printed += data.toString("utf8")
  })
  const messages = texts.map((text) => ({ text }))
  child.stdin.end(JSON.stringify({ conversation: "http/kim", turn: "t1", attempt, messages }))
  const ended = Effect.callback<number | NodeJS.Signals | null>((resume) => {
    child.on("close", (code, signal) => resume(Effect.succeed(signal ?? code)))
  })
  return { history, child, ended, printed: () => printed }
})

const phases = (history: string) => runsIn(history).flatMap(({ phase }) => (phase === "info" ? [] : [phase]))

describe("the agent of a world", () => {
  it.live("writes when it begins and ends, for whom and by whom it was begun, and names that in its answer", () =>
    Effect.gen(function* () {
      const { child, ended, history, printed } = yield* turn(["#a.1 work1", "#a.2 hello"])
      assert.strictEqual(yield* ended, 0)
      assert.deepStrictEqual(phases(history), ["invoke", "ok"])
      const [first] = runsIn(history)
      assert.isDefined(first)
      assert.deepStrictEqual([first.conversation, first.pid, first.epoch], ["http/kim", child.pid, 7])
      assert.deepStrictEqual(first.ids, ["a.1", "a.2"])
      assert.deepStrictEqual(answerOf(printed()), { run: first.run, ids: ["a.1", "a.2"] })
    }).pipe(Effect.scoped)
  )

  it.live("says that it gave up when it is told to stop, and nothing when it is deaf to that", () =>
    Effect.gen(function* () {
      const willing = yield* turn(["#a.1 work60000"])
      yield* has(willing.history, "invoke")
      willing.child.kill("SIGTERM")
      assert.strictEqual(yield* willing.ended, 143)
      assert.deepStrictEqual(phases(willing.history), ["invoke", "fail"])

      const deaf = yield* turn(["#a.1 stubborn work300"])
      yield* has(deaf.history, "invoke")
      deaf.child.kill("SIGTERM")
      assert.strictEqual(yield* deaf.ended, 0)
      assert.deepStrictEqual(phases(deaf.history), ["invoke", "ok"])
    }).pipe(Effect.scoped)
  )

  it.live("misbehaves at its first attempt only, so that a world comes to rest", () =>
    Effect.gen(function* () {
      for (const [text, code, lines] of [
        ["#a.1 exit", 3, ["invoke", "fail"]],
        ["#a.1 crash", "SIGKILL", ["invoke"]]
      ] as const) {
        const first = yield* turn([text])
        assert.strictEqual(yield* first.ended, code)
        assert.deepStrictEqual(phases(first.history), [...lines])
        const second = yield* turn([text], 2)
        assert.strictEqual(yield* second.ended, 0)
        assert.deepStrictEqual(phases(second.history), ["invoke", "ok"])
      }
    }).pipe(Effect.scoped)
  )

  it.live("leaves a grandchild that carries the world's mark, which is how it is found", () =>
    Effect.gen(function* () {
      const { child, ended, history } = yield* turn(["#a.1 fork work1"])
      assert.strictEqual(yield* ended, 0)
      const left = marked(history)
      assert.strictEqual(left.length, 1)
      assert.notInclude(left, child.pid)
      assert.deepStrictEqual(marked(`${history}-of-another-world`), [])
    }).pipe(Effect.scoped)
  )
})
