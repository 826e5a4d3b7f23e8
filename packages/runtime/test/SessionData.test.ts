// Typed values of a host on a session: changed in one transaction, kept over crashes and fresh starts, and never guessed
// when they no longer decode.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { DatabaseSync } from "node:sqlite"
import * as Agent from "../src/Agent.ts"
import * as SessionData from "../src/SessionData.ts"
import { TestAgent } from "../src/testing/index.ts"
import { boot, rest, world } from "./guarantees/boots.ts"

const Plan = SessionData.make("acme/Plan", Schema.Literals(["free", "pro"]), { initial: "free" })
const Count = SessionData.make("acme/Count", Schema.Int, { initial: 0 })
const Due = SessionData.make("acme/Due", Schema.Date, { initial: new Date(0) })
const Note = SessionData.make("acme/Note", Schema.String, { initial: "" })

describe("data of a session", () => {
  it.effect("D4: a hundred changes at once are all counted, and there after the process died", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const one = yield* boot(place)
      const { update } = one.gateway.data("chat/kim")
      yield* Effect.all(
        Array.from({ length: 100 }, () => update(Count, (count) => count + 1)),
        { concurrency: "unbounded" }
      )
      yield* one.gateway.data("chat/kim").set(Due, new Date("2026-11-21T00:00:00Z"))
      yield* one.crash
      const next = yield* boot(place)
      assert.strictEqual(yield* next.gateway.data("chat/kim").get(Count), 100)
      assert.deepStrictEqual(yield* next.gateway.data("chat/kim").get(Due), new Date("2026-11-21T00:00:00Z"))
      assert.strictEqual(yield* next.gateway.data("chat/lee").get(Count), 0)
    })
  )

  it.effect("each session of a conversation has its own; a fresh start keeps what the host knows", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.echo()
      const { gateway, say } = yield* boot(place, { agent })
      const data = (name?: string) => gateway.data("chat/kim", name)
      assert.deepInclude(yield* Effect.flip(data("work").set(Plan, "pro")), {
        reason: "NoSession",
        key: "acme/Plan",
        session: "chat/kim#work"
      })
      yield* say("kim", "/new work", "1")
      yield* gateway.settled("chat/kim")
      yield* data("work").set(Plan, "pro")
      assert.strictEqual(yield* data().get(Plan), "free")
      yield* data().set(Note, "of the main one")
      yield* say("kim", "/new", "2")
      yield* gateway.settled("chat/kim")
      assert.strictEqual(yield* data("work").get(Plan), "pro")
      assert.strictEqual(yield* data().get(Note), "of the main one")
    })
  )

  it.effect("what no longer decodes is an error that names key and session, until it is set again", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const broken = Agent.make({
        open: Effect.fnUntraced(function* (session) {
          const plan = yield* session.get(Plan)
          return { answer: () => Stream.succeed(Agent.text(plan)) }
        })
      })
      const one = yield* boot(place, { agent: { ...TestAgent.make(), agent: broken }, turns: { backoff: [] } })
      const data = one.gateway.data("chat/kim")
      yield* data.set(Plan, "pro")
      const other = new DatabaseSync(place.file)
      other.exec(`update sluice_values set value = '"platinum"'`)
      other.close()
      const error = yield* Effect.flip(data.get(Plan))
      assert.deepInclude(error, { reason: "Undecodable", key: "acme/Plan", session: "chat/kim" })
      assert.match(
        error.message,
        /^data "acme\/Plan" of session "chat\/kim": what is stored is not of its schema any more: /
      )
      // It may be what somebody must not see.
      assert.notInclude(error.message, "platinum")
      assert.strictEqual((yield* Effect.flip(data.update(Plan, () => "pro"))).reason, "Undecodable")
      // The agent that needs it can't be opened: the turn fails, and the message is not lost.
      yield* one.say("kim", "hello", "1")
      yield* rest(one, "chat/kim")
      assert.deepInclude((yield* one.gateway.audit).ends, { suspended: 1 })
      yield* data.set(Plan, "free")
      yield* one.say("kim", "/retry", "2")
      yield* rest(one, "chat/kim")
      assert.deepInclude((yield* one.gateway.audit).ends, { replied: 1 })
    })
  )

  it.effect("a value that its schema refuses, or that is too long, is not stored", () =>
    Effect.gen(function* () {
      const { gateway } = yield* boot(yield* world())
      const data = gateway.data("chat/kim")
      yield* data.set(Count, 7)
      assert.strictEqual((yield* Effect.flip(data.update(Count, (count) => count / 2))).reason, "Invalid")
      assert.strictEqual((yield* Effect.flip(data.set(Note, "é".repeat(40_000)))).reason, "TooLarge")
      assert.strictEqual(yield* data.get(Count), 7)
      assert.strictEqual(yield* data.get(Note), "")
    })
  )

  it("a key is letters, digits and a few signs", () => {
    for (const key of ["", "acme plan", "../up", "a".repeat(129)]) {
      assert.throws(() => SessionData.make(key, Schema.String, { initial: "" }), TypeError)
    }
  })
})
