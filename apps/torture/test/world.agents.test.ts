// The agents of the worlds that are kept between their turns, each under the agent of the gateway that drives it: what they
// write of their runs, how they listen, and that their conversations outlive them, which is what a crash is judged by.
import * as Acp from "@sluice/agents/Acp"
import * as ClaudeCode from "@sluice/agents/ClaudeCode"
import { assert, describe, it } from "@effect/vitest"
import type * as Agent from "@sluice/runtime/Agent"
import { answerText, type Keeping, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Run } from "../src/history/Operation.ts"
import { read } from "../src/history/reader.ts"
import { end, marked } from "../src/world/Gateway.ts"
import { messagesOf } from "../src/world/agents/real.ts"
import { answerOf } from "../src/world/sayings.ts"

const program = (name: string) => fileURLToPath(new URL(`../src/world/agents/${name}.mjs`, import.meta.url))

/** A folder that goes with the test, with whoever works in it. */
const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-agents-"))),
  (folder) =>
    Effect.sync(() => {
      marked(join(folder, "history.jsonl")).forEach(end)
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
    })
)

const made = (kind: "acp" | "claude", folder: string): Agent.Agent => {
  const TORTURE_HISTORY = join(folder, "history.jsonl")
  // What was left behind listens to nothing: nobody waits for it.
  const grace = { ask: "100 millis", term: "100 millis" } as const
  if (kind === "acp") {
    return Acp.make({
      argv: [process.execPath, program("acp")],
      grace,
      env: { set: { TORTURE_HISTORY, ACP_SESSIONS: join(folder, "acp") } }
    })
  }
  return ClaudeCode.make({
    argv: [process.execPath, program("claude")],
    grace,
    configFolder: join(folder, "claude"),
    env: { set: { TORTURE_HISTORY } }
  })
}

/** A session that is kept: each time it is opened another process serves it. */
const setting = Effect.fnUntraced(function* (kind: "acp" | "claude") {
  const where = yield* folder
  const history = join(where, "history.jsonl")
  const keeping: Keeping = {}
  const agent = made(kind, where)
  const open = (epoch = 1) => agent.open(sessionOf({ instance: where, keeping, epoch }))
  const runs = (): ReadonlyArray<Run> =>
    read(history).lines.flatMap(({ operation }) => (operation.op === "run" ? [operation] : []))
  const phases = () => runs().flatMap(({ phase }) => (phase === "info" ? [] : [phase]))
  return { agent, history, open, phases, runs, where }
})

/** The history's file has a line of the phase. Not every file system tells of changes: it is looked at again and again. */
const has = (file: string, words: string) =>
  Effect.callback<void>((resume) => {
    const look = () => {
      if (existsSync(file) && readFileSync(file, "utf8").includes(words)) resume(Effect.void)
    }
    const again = setInterval(look, 5)
    look()
    return Effect.sync(() => clearInterval(again))
  })

const answered = (open: Agent.OpenAgent, text: string, id: string) =>
  Effect.map(Stream.runCollect(open.answer(turnOf([text], { id }))), (events) => answerOf(answerText(events)))

describe("an agent of a world that is kept between its turns", () => {
  for (const kind of ["acp", "claude"] as const) {
    it.live(`${kind}: has several runs in one process, and goes on in its conversation in another one`, () =>
      Effect.gen(function* () {
        const { open, phases, runs } = yield* setting(kind)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const first = yield* open()
            assert.deepStrictEqual((yield* answered(first, "#ann.1 work1", "1"))?.ids, ["ann.1"])
            assert.deepStrictEqual((yield* answered(first, "#ann.2 work1 garbage", "2"))?.ids, ["ann.2"])
          })
        )
        const again = yield* answered(yield* open(2), "#ann.3 work1", "3")
        const begun = runs().filter(({ phase }) => phase === "invoke")
        assert.deepStrictEqual(phases(), ["invoke", "ok", "invoke", "ok", "invoke", "ok"])
        assert.strictEqual(again?.run, begun[2]?.run)
        assert.deepStrictEqual(
          begun.map(({ conversation, epoch, ids }) => [conversation, epoch, ...ids]),
          [
            ["http/ann", 1, "ann.1"],
            ["http/ann", 1, "ann.2"],
            ["http/ann", 2, "ann.3"]
          ]
        )
        assert.strictEqual(begun[0]?.pid, begun[1]?.pid)
        assert.notStrictEqual(begun[1]?.pid, begun[2]?.pid)
        assert.strictEqual(new Set(begun.map(({ memory }) => memory)).size, 1)
      }).pipe(Effect.scoped)
    )

    it.live(`${kind}: gives up when it is told to stop, and works on for the next turn`, () =>
      Effect.gen(function* () {
        const { history, open, phases } = yield* setting(kind)
        const one = yield* open()
        const stopped = yield* Effect.forkChild(Stream.runDrain(one.answer(turnOf(["#ann.1 work60000"], { id: "1" }))))
        yield* has(history, `"phase":"invoke"`)
        yield* Fiber.interrupt(stopped)
        assert.deepStrictEqual((yield* answered(one, "#ann.2 work1", "2"))?.ids, ["ann.2"])
        assert.deepStrictEqual(phases(), ["invoke", "fail", "invoke", "ok"])
      }).pipe(Effect.scoped)
    )

    it.live(`${kind}: dies at the first try of a message only, and what it left behind goes with its session`, () =>
      Effect.gen(function* () {
        const { history, open, phases } = yield* setting(kind)
        const scope = yield* Scope.make()
        const one = yield* Scope.provide(open(), scope)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(answered(one, "#ann.1 work1 crash", "1"))))
        assert.deepStrictEqual((yield* answered(one, "#ann.1 work1 crash", "1"))?.ids, ["ann.1"])
        assert.deepStrictEqual((yield* answered(one, "#ann.2 work1 fork", "2"))?.ids, ["ann.2"])
        assert.strictEqual(marked(history, "left behind").length, 1)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(marked(history), [])
        assert.deepStrictEqual(phases(), ["invoke", "invoke", "ok", "invoke", "ok"])
      }).pipe(Effect.scoped)
    )
  }

  it.live("claude: what it says of an answer that is written down is true for whoever reads its transcript", () =>
    Effect.gen(function* () {
      const { history, open, phases, runs } = yield* setting("claude")
      const one = yield* open()
      assert.deepStrictEqual((yield* answered(one, "#ann.1 work1", "1"))?.ids, ["ann.1"])
      yield* has(history, `"stored":true`)
      // The next attempt of a turn whose answer nobody had settled.
      const again = one.answer(turnOf(["#ann.1 work1"], { id: "1", attempt: 2, interrupted: { by: "crash" } }))
      const found = answerOf(answerText(yield* Stream.runCollect(again)))
      assert.deepStrictEqual(phases(), ["invoke", "ok"])
      assert.strictEqual(found?.run, runs()[0]?.run)
    }).pipe(Effect.scoped)
  )
})

describe("the model that the real programs ask", () => {
  const user = (...texts: ReadonlyArray<string>) => ({
    role: "user",
    content: texts.map((text) => ({ type: "text", text }))
  })
  const others = [{ role: "system", content: "# Environment" }]
  const said = { role: "assistant", content: "[[run ann.1]]" }
  const asked = (...messages: Parameters<typeof messagesOf>[0]["messages"][number][]) =>
    messagesOf({ model: "made-up", messages })

  it("knows which messages it is asked about: the last, what it was cut off from, and what came meanwhile", () => {
    const first = user("<system-reminder>\n# claudeMd\n</system-reminder>", "#ann.1 hello\n#ann.2 slow")
    assert.deepStrictEqual(asked(first, ...others), ["#ann.1 hello", "#ann.2 slow"])
    assert.deepStrictEqual(asked(first, said, user("#ann.3 hello")), ["#ann.3 hello"])
    const cut = user(
      "[An earlier attempt at this was cut off (crash).]",
      "[Your answer to the message before was cut off. Go on.]"
    )
    assert.deepStrictEqual(asked(first, cut), ["#ann.1 hello", "#ann.2 slow"])
    const joined = user("[This was written meanwhile. You may have seen it.]", "#ann.3 hello")
    assert.deepStrictEqual(asked(first, cut, joined), ["#ann.1 hello", "#ann.2 slow", "#ann.3 hello"])
    // Set aside, and never answered: the next one stands for itself.
    assert.deepStrictEqual(asked(first, cut, user("#ann.4 hello")), ["#ann.4 hello"])
  })

  it("is asked for nobody where nobody has written since its answer", () => {
    assert.deepStrictEqual(asked(user("#ann.1 hello"), said, user("[SUGGESTION MODE: what comes next?]")), [])
    assert.deepStrictEqual(asked(user("Write a title for this")), [])
  })
})
