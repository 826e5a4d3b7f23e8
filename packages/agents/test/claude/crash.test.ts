// A gateway is killed in the middle of a turn, and the next boot's attempt finds in the CLI's transcript what became of
// it: the answer, only the question, or nothing. With the real CLI, and a gateway in small that is killed with -9.
import { assert, describe, it } from "@effect/vitest"
import { type Keeping, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import * as Children from "../../src/Children.ts"
import { claude, missing } from "../installed.ts"
import { lives, node } from "../processes.ts"
import type { Order } from "./programs/gateway.ts"
import { answerOf, optionsFor, place, until } from "./real.ts"

/** Starts the gateway in small; `line` waits for the next event that it prints. */
const gateway = (order: Order) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(node, [join(import.meta.dirname, "programs/gateway.ts"), JSON.stringify(order)], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      const over = new Promise<void>((resolve) => child.on("close", () => resolve()))
      return {
        until: (words: string) =>
          Effect.promise(async () => {
            for (;;) {
              const { done, value } = await lines.next()
              assert.isFalse(done, `the gateway ended before it said ${words}`)
              if (value.includes(words)) return
            }
          }),
        over: Effect.promise(() => over),
        kill: Effect.promise(() => {
          child.kill("SIGKILL")
          return over
        })
      }
    }),
    ({ kill }) => kill
  )

/** Waits until the CLI has written of a message to its transcript, which it does a moment after it knows. */
const written = (config: string, words: string) =>
  until(() => {
    const projects = join(config, "projects")
    const all = existsSync(projects)
      ? readdirSync(projects, { recursive: true, encoding: "utf8" })
          .filter((name) => name.endsWith(".jsonl"))
          .map((name) => readFileSync(join(projects, name), "utf8"))
      : []
    return all.some((text) => text.includes(words))
  })

const setting = Effect.gen(function* () {
  const all = yield* place
  const keepingFile = join(all.work, "../kept.json")
  const order: Order = { options: optionsFor(all), instance: all.instance, epoch: 1, keepingFile, text: "hold" }
  /** The next boot: what was committed is what the session has. */
  const next = Effect.sync((): Keeping => ({ value: readFileSync(keepingFile, "utf8") })).pipe(
    Effect.flatMap((keeping) => all.open({}, { keeping, epoch: 2 }))
  )
  const left = Children.orphans({ instance: all.instance, epoch: 2 })
  return { ...all, order, next, left }
})

const again = turnOf(["hold"], { id: "cut", attempt: 2, interrupted: { by: "crash" } })

/** Milliseconds; a process that starts takes its time on a machine that is busy. */
const longest = 120_000

describe.skipIf(claude === undefined)(`ClaudeCode after a crash ${claude === undefined ? missing : ""}`, () => {
  it.live(
    "Q16: a process that outlives its gateway finishes its turn, and its answer is delivered, not paid for again",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { left, model, next, order } = yield* setting
          const first = yield* gateway(order)
          const held = yield* model.ask(1)
          held.delta("the first half")
          yield* first.until("the first half")
          yield* first.kill
          const [orphan] = yield* left
          assert.isDefined(orphan)
          assert.isTrue(lives(orphan.pid))
          held.finish(" and the second")
          yield* orphan.gone
          const events = yield* Stream.runCollect((yield* next).answer(again))
          assert.strictEqual(answerOf(events), "the first half and the second")
          assert.strictEqual(model.asked.length, 1)
          const usage = events.find((event) => event._tag === "Usage")
          assert.strictEqual(usage?.usage["outputTokens"], 7)
          assert.deepStrictEqual(yield* left, [])
        })
      )
  )

  it.live(
    "a turn of which only the question is there is carried on under a new message, and the question is not asked twice",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { config, left, model, next, order } = yield* setting
          const first = yield* gateway(order)
          const held = yield* model.ask(1)
          held.delta("the first half")
          yield* first.until("the first half")
          yield* written(config, '"content":[{"type":"text","text":"hold"}]')
          yield* first.kill
          for (const orphan of yield* left) yield* orphan.reap
          const events = yield* Stream.runCollect((yield* next).answer(again))
          assert.strictEqual(model.asked.length, 2)
          const said = model.asked[1]?.said ?? []
          assert.strictEqual(said.filter((text) => text === "hold").length, 1)
          assert.match(said.at(-1) ?? "", /cut off\. Carry on/)
          assert.strictEqual(answerOf(events), said.at(-1))
        })
      )
  )

  it.live(
    "a turn that never arrived is sent again, once",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { left, model, next, order } = yield* setting
          const first = yield* gateway({ ...order, text: "is anybody there?", dieAt: "kept" })
          yield* first.over
          for (const orphan of yield* left) yield* orphan.gone
          assert.strictEqual(model.asked.length, 0)
          const turn = turnOf(["is anybody there?"], { id: "cut", attempt: 2, interrupted: { by: "crash" } })
          const events = yield* Stream.runCollect((yield* next).answer(turn))
          assert.strictEqual(answerOf(events), "is anybody there?")
          assert.strictEqual(model.asked.length, 1)
        })
      ),
    longest
  )

  it.live(
    "D18: a tool whose outcome nobody knows is named when the turn is carried on",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { config, left, model, next, order, work } = yield* setting
          const begun = join(work, "begun")
          const command = `echo begun > '${begun}'; sleep 300`
          const first = yield* gateway({
            ...order,
            options: { ...order.options, permissions: "allow" },
            text: `tool Bash ${JSON.stringify({ command })}`
          })
          yield* first.until('"ToolStarted"')
          yield* until(() => existsSync(begun))
          yield* until(() => existsSync(begun))
          yield* written(config, '"type":"tool_use"')
          yield* first.kill
          for (const orphan of yield* left) yield* orphan.reap
          const turn = turnOf(["deploy"], { id: "cut", attempt: 2, interrupted: { by: "crash", tool: "Bash" } })
          yield* Stream.runDrain((yield* next).answer(turn))
          const said = model.asked.at(-1)?.said ?? []
          assert.isTrue(said.some((text) => text.includes('while "Bash" was running, and nobody knows how that ended')))
          assert.strictEqual(said.filter((text) => text.startsWith("tool Bash")).length, 1)
          assert.strictEqual(model.asked.length, 2)
        })
      ),
    longest
  )

  it.live(
    "Q19: what a process did without the permission that it could not ask for any more is no answer: the person is asked again",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { left, model, next, order, work } = yield* setting
          const command = `echo done > '${join(work, "done")}'`
          const text = `tool Bash ${JSON.stringify({ command })}`
          const first = yield* gateway({ ...order, text })
          yield* first.until('"Permission"')
          yield* first.kill
          for (const orphan of yield* left) yield* orphan.gone
          // It was refused by nobody, and told the model so.
          const before = model.asked.length
          const turn = turnOf([text], { id: "cut", attempt: 2, interrupted: { by: "crash" } })
          yield* Stream.runDrain((yield* next).answer(turn))
          assert.strictEqual(model.asked.length, before + 1)
          assert.isFalse(existsSync(join(work, "done")))
        })
      ),
    longest
  )
})
