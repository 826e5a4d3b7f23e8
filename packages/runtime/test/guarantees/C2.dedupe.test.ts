// C2: an id names one version of one event in one conversation, for as long as its row lives. Whoever delivers it again
// gets the first one's receipt, and it never runs twice: not before its claim, not in its turn, not after its end, not
// after a restart.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/testing/TestClock"
import { TestAgent } from "../../src/testing/index.ts"
import { type Boot, boot, given, rest, world } from "./boots.ts"

const again = (boot: Boot, seq: number) =>
  Effect.map(boot.say("kim", "hello", "u1"), (repeat) =>
    assert.deepStrictEqual([repeat.seq, repeat.id, repeat.duplicate], [seq, "u1", true])
  )

describe("C2: a repeat is the first one", () => {
  it.effect("D9: the platform delivers an update again, at every point of its life: one turn, one reply", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent, debounce: { quiet: "300 millis" } })
      const { seq } = yield* first.say("kim", "hello", "u1")
      yield* again(first, seq)
      yield* TestClock.adjust("300 millis")
      const run = yield* agent.run(1)
      yield* again(first, seq)
      yield* first.crash

      const later = TestAgent.make()
      const second = yield* boot(place, { agent: later, debounce: { quiet: "300 millis" } })
      yield* again(second, seq)
      const resumed = yield* later.run(1)
      assert.deepStrictEqual([resumed.turn.id, resumed.turn.attempt], [run.turn.id, 2])
      yield* again(second, seq)
      yield* resumed.finish("hi")
      yield* rest(second, "chat/kim")
      yield* again(second, seq)
      yield* rest(second, "chat/kim")
      yield* second.stop

      const last = TestAgent.echo()
      const third = yield* boot(place, { agent: last })
      yield* again(third, seq)
      yield* rest(third, "chat/kim")
      assert.deepStrictEqual(given(last), [])
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["hi"])
      assert.deepInclude(yield* third.gateway.audit, { accepted: 1, open: 0, balanced: true })
    })
  )

  it.effect("D10: the same id with another body is a conflict that names the first, also after a restart", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.echo()
      const first = yield* boot(place, { agent })
      const { seq } = yield* first.say("kim", "hello", "m1")
      for (let round = 0; round < 2; round++) {
        const current = round === 0 ? first : yield* boot(place, { agent })
        const error = yield* Effect.flip(current.say("kim", "something else", "m1"))
        assert.strictEqual(error._tag, "Conflict")
        assert.deepInclude(JSON.parse(JSON.stringify(error)), { id: "m1", seq })
        yield* rest(current, "chat/kim")
        yield* current.stop
      }
      assert.deepStrictEqual(given(agent), ["hello"])
    })
  )

  it.effect("D23: the same id in two conversations is two messages; without an id every message is new", () =>
    Effect.gen(function* () {
      const place = yield* world({ chat: "keyed", other: "keyed" })
      const agent = TestAgent.echo()
      const current = yield* boot(place, { agent })
      const accepted = yield* Effect.forEach(
        [
          ["kim", "chat", "1"],
          ["lee", "chat", "1"],
          ["kim", "other", "1"],
          ["kim", "chat", undefined],
          ["kim", "chat", undefined]
        ] as const,
        ([peer, channel, id]) => current.say(peer, "hello", id, channel),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(accepted.map(({ seq }) => seq)).size, 5)
      assert.isTrue(accepted.every(({ duplicate }) => !duplicate))
      yield* rest(current, "chat/kim", "chat/lee", "other/kim")
      assert.strictEqual((yield* current.gateway.audit).accepted, 5)
      assert.deepStrictEqual(place.far.other?.seen("kim"), ["hello"])
      assert.deepStrictEqual(place.far.chat?.seen("lee"), ["hello"])
    })
  )

  it.effect("D23: two retries in flight together are one message and hear the same", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.echo()
      const current = yield* boot(place, { agent })
      const receipts = yield* Effect.forEach(
        Array.from({ length: 8 }, () => "hello"),
        (text) => current.say("kim", text, "m1"),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(receipts.map(({ seq }) => seq)).size, 1)
      assert.strictEqual(receipts.filter(({ duplicate }) => !duplicate).length, 1)
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(given(agent), ["hello"])
    })
  )
})

describe("C2: a command is a message", () => {
  it.effect("D25: a retried /stop runs once and never cancels what came after it", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "first", "m1")
      const first = yield* agent.run(1)
      yield* current.say("kim", "/stop", "c1")
      assert.strictEqual(yield* first.over, "interrupted")
      yield* current.say("kim", "second", "m2")
      const second = yield* agent.run(2)
      const repeat = yield* current.say("kim", "/stop", "c1")
      assert.isTrue(repeat.duplicate)
      yield* rest(current, "chat/lee")
      yield* second.finish("done")
      assert.strictEqual(yield* second.over, "ended")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(place.far.chat?.seen("kim").slice(-1), ["done"])
      assert.strictEqual(place.far.chat?.seen("kim").filter((text) => text.startsWith("Stopped")).length, 1)
      const { detail, ends } = yield* current.gateway.audit
      assert.deepStrictEqual([ends.command, detail["cancelled(stop)"], ends.replied], [1, 1, 1])
    })
  )

  for (const label of ["before:command", "inside:command", "after:command"] as const) {
    it.effect(
      `D25: dies at ${label} of a /stop that is delivered again: it runs once, what came after it is answered`,
      () =>
        Effect.gen(function* () {
          const place = yield* world()
          const agent = TestAgent.make()
          const first = yield* boot(place, { agent, grave: { label, nth: 1 } })
          yield* first.say("kim", "first", "m1")
          yield* agent.run(1)
          yield* Effect.exit(first.say("kim", "/stop", "c1"))
          // Too late for this boot, or just in time: either way the sender tries again.
          const lost = yield* Effect.exit(first.say("kim", "second", "m2"))

          const later = TestAgent.echo()
          const second = yield* boot(place, { agent: later })
          assert.isTrue((yield* second.say("kim", "/stop", "c1")).duplicate)
          const { duplicate } = yield* second.say("kim", "second", "m2")
          assert.isTrue(duplicate || Exit.isFailure(lost), "what was acknowledged is there")
          yield* rest(second, "chat/kim")
          assert.deepStrictEqual(given(later).at(-1), "second")
          assert.notInclude(given(later), "first")
          assert.deepStrictEqual(place.far.chat?.seen("kim").toSorted(), ["Stopped.", "second"])
          const { accepted, balanced, detail, open } = yield* second.gateway.audit
          assert.deepStrictEqual([accepted, open, balanced], [3, 0, true])
          assert.strictEqual(detail["cancelled(stop)"], 1)
        })
    )
  }
})
