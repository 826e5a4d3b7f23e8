// The table of docs/delivery.md: delivery class x how a request ended. What a crash leaves is decided by the same row
// as a request without an answer, so the two can't drift apart.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Channel from "../../src/Channel.ts"
import {
  backoff,
  type Facts,
  longestWait,
  type Outcome,
  unanswered,
  verdict
} from "../../src/internal/outbox/verdict.ts"

const answer = () => Effect.succeed({})
const deliveries = {
  keyed: Channel.keyed(answer),
  edit: Channel.edit({ place: () => Effect.succeed({ remoteId: "1" }), edit: answer }),
  hold: Channel.ambiguous("hold", answer),
  resend: Channel.ambiguous("resend-once", answer)
} satisfies Record<string, Channel.Delivery>
const classes = Object.keys(deliveries) as ReadonlyArray<keyof typeof deliveries>

const bounds = { base: 1_000, cap: 300_000, deadAfter: 86_400_000 }
const young: Facts = { marked: false, failures: 0, row: 0, age: 0, failingFor: 0 }
const old: Facts = { ...young, age: bounds.deadAfter, failingFor: bounds.deadAfter }
/** A day old by the wall clock, and not tried for long: nobody knows whether the clock jumped. */
const seemsOld: Facts = { ...old, failingFor: 3_599_999 }

const tagOf = (name: keyof typeof deliveries, outcome: Outcome, facts: Facts) => {
  const decided = verdict(deliveries[name], bounds, facts, outcome)
  return decided._tag === "Later" && decided.marked ? "LaterMarked" : decided._tag
}

const lost: Outcome = { _tag: "NoAnswer", error: "timeout" }
const unsent: Outcome = { _tag: "NotSent", error: "no route" }

describe("what follows from a request's end", () => {
  it("D7: a request without an answer is decided by the delivery class", () => {
    assert.strictEqual(tagOf("keyed", lost, young), "Later")
    assert.strictEqual(tagOf("edit", lost, young), "Later")
    assert.strictEqual(tagOf("hold", lost, young), "Unknown")
    assert.strictEqual(tagOf("resend", lost, young), "LaterMarked")
    assert.strictEqual(tagOf("resend", lost, { ...young, marked: true }), "Unknown")
  })

  it("C5: an ambiguous channel is never asked a third time", () => {
    for (const policy of ["hold", "resend"] as const) {
      let facts = young
      let sends = 1
      while (true) {
        const decided = unanswered(deliveries[policy], bounds, facts, "crash")
        if (decided._tag !== "Later") break
        sends++
        facts = { ...facts, marked: decided.marked, failures: facts.failures + 1 }
      }
      assert.strictEqual(sends, policy === "hold" ? 1 : 2)
    }
  })

  it("what never left is tried again until it is a day old, on every class", () => {
    for (const name of classes) {
      assert.strictEqual(tagOf(name, unsent, young), "Later", name)
      assert.strictEqual(tagOf(name, unsent, { ...young, marked: true }), "LaterMarked", name)
      assert.strictEqual(tagOf(name, unsent, old), "Dead", name)
    }
    assert.strictEqual(tagOf("keyed", lost, old), "Dead")
  })

  it("D19: a reply that seems a day old is given up only after an hour of tries in this process", () => {
    for (const name of classes) {
      assert.strictEqual(tagOf(name, unsent, seemsOld), "Later", name)
      assert.strictEqual(tagOf(name, unsent, { ...seemsOld, failingFor: 3_600_000 }), "Dead", name)
    }
    assert.strictEqual(tagOf("keyed", lost, seemsOld), "Later")
    const impatient = { ...bounds, deadAfter: 20_000 }
    const decided = verdict(deliveries.keyed, impatient, { ...seemsOld, failingFor: 20_000 }, unsent)
    assert.strictEqual(decided._tag, "Dead", "a shorter bound is its own")
  })

  it("refused is dead, throttled waits, and refused credentials kill nothing, however old the reply is", () => {
    for (const name of classes) {
      for (const facts of [young, old]) {
        assert.strictEqual(tagOf(name, { _tag: "Answered", remoteId: undefined }, facts), "Sent", name)
        assert.strictEqual(tagOf(name, { _tag: "Refused", error: "gone" }, facts), "Dead", name)
        assert.strictEqual(tagOf(name, { _tag: "Throttled", wait: 5, scope: "channel" }, facts), "Throttled", name)
        assert.strictEqual(tagOf(name, { _tag: "Unauthorized", error: "401" }, facts), "Hold", name)
      }
    }
  })

  it("a wait that the other side asks for is at least a millisecond and at most a day", () => {
    for (const [asked, kept] of [
      [0, 1],
      [-7, 1],
      [30_000, 30_000],
      [10 ** 12, longestWait]
    ] as const) {
      const decided = verdict(deliveries.keyed, bounds, young, {
        _tag: "Throttled",
        wait: asked,
        scope: "conversation"
      })
      assert.deepStrictEqual(decided, { _tag: "Throttled", wait: kept, scope: "conversation" })
    }
  })

  it.effect.prop(
    "the backoff grows to its cap, spread by a fifth, and is always positive",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 40 }))
    ],
    ([failures, row]) =>
      Effect.sync(() => {
        const wait = backoff(bounds, failures, row)
        const middle = Math.min(bounds.cap, bounds.base * 2 ** Math.min(failures, 40))
        assert.isAtLeast(wait, Math.floor(middle * 0.8))
        assert.isAtMost(wait, Math.ceil(middle * 1.2))
      })
  )
})
