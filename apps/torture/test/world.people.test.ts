// People who are told something that is not about their message have been told nothing: a gateway that died leaves its
// port to anybody, also to the gateway of another world.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { read } from "../src/history/reader.ts"
import { History } from "../src/history/writer.mjs"
import { gather, habits } from "../src/world/clients.ts"
import { open } from "../src/world/far.ts"
import { type Answer, Unanswered, type Wire } from "../src/world/wire.ts"

/** Somebody says one thing to gateways that answer so, one after the other; the phases of what is written down of it. */
const saying = (...answers: ReadonlyArray<Answer | Unanswered>) => Effect.scoped(said(answers))

const said = Effect.fnUntraced(function* (answers: ReadonlyArray<Answer | Unanswered>) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-people-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const history = History.open(join(folder, "history.jsonl"))
  yield* Effect.addFinalizer(() => Effect.sync(() => history.close()))
  const left = [...answers]
  const wire: Wire = {
    url: "",
    ask: (path) =>
      Effect.suspend(() => {
        const next = path.endsWith("/messages") ? left.shift() : undefined
        if (next === undefined) return Effect.never
        return next instanceof Unanswered ? Effect.fail(next) : Effect.succeed(next)
      }),
    close: () => {}
  }
  const nobodyElse = { ...habits, http: [], peers: [], guests: ["sam"] }
  const people = yield* gather({ wire, token: "" }, history, yield* open(history), 1, nobodyElse)
  yield* people.say("sam", "hello")
  return {
    phases: read(history.file).lines.flatMap(({ operation }) => (operation.op === "send" ? [operation.phase] : [])),
    acknowledged: people.acknowledged(),
    left: left.length
  }
})

const accepted = { status: 202, body: { seq: 1 } }
const answer = (status: number): Answer => ({ status, body: {} })

describe("the people of a world", () => {
  it.live("insist until somebody accepts, whatever a gateway that is not theirs says", () =>
    Effect.gen(function* () {
      const lost = new Unanswered({ reached: true, code: "ECONNRESET" })
      const found = yield* saying(lost, answer(401), answer(503), answer(404), answer(421), answer(429), accepted)
      assert.deepStrictEqual(found, { phases: ["invoke", "info", "ok"], acknowledged: 1, left: 0 })
    })
  )

  it.live("write down that a message was refused for good", () =>
    Effect.gen(function* () {
      for (const status of [400, 409, 413]) {
        const found = yield* saying(answer(status), accepted)
        assert.deepStrictEqual(found, { phases: ["invoke", "fail"], acknowledged: 0, left: 1 })
      }
    })
  )
})
