// C1: accepted = committed. A receipt means that the row is on disk, whatever becomes of the caller or of the process;
// without a commit there is no receipt. What a platform kept while the gateway was down comes in like anything else.
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { DatabaseSync } from "node:sqlite"
import { TestAgent } from "../../src/testing/index.ts"
import { boot, given, lived, meanwhile, rest, world } from "./boots.ts"

/** What another process finds in the file right now. */
const onDisk = (file: string): ReadonlyArray<string> => {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return database
      .prepare("select text from sluice_inbound order by seq")
      .all()
      .map((row) => String(row.text))
  } finally {
    database.close()
  }
}

describe("C1: accepted = committed", () => {
  it.effect("a receipt is given after the commit: another process reads the message at that very moment", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const { say } = yield* boot(place)
      for (const text of ["one", "two", "three"]) {
        yield* say("kim", text)
        assert.strictEqual(onDisk(place.file).at(-1), text)
      }
      yield* Effect.forEach(["four", "five", "six"], (text) => say("lee", text), { concurrency: "unbounded" })
      assert.sameMembers([...onDisk(place.file)].slice(3), ["four", "five", "six"])
    })
  )

  for (const label of ["before:admit", "inside:admit", "after:admit"] as const) {
    it.effect(`D1: dies at ${label}: no receipt, and the sender's retry is answered once`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        let receipt: Exit.Exit<unknown, unknown> | undefined
        const first = yield* lived(place, { grave: { label, nth: 1 } }, ({ say }) =>
          Effect.map(Effect.exit(say("kim", "hello", "m1")), (exit) => {
            receipt = exit
          })
        )
        assert.isTrue(first.died)
        assert.isTrue(receipt === undefined || Exit.isFailure(receipt), "nobody was told yes")

        const agent = TestAgent.echo()
        const next = yield* boot(place, { agent })
        const again = yield* next.say("kim", "hello", "m1")
        assert.strictEqual(again.duplicate, label === "after:admit", "only the commit decides whether it is a repeat")
        yield* rest(next, "chat/kim")
        assert.deepStrictEqual(given(agent), ["hello"])
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["hello"])
        assert.deepInclude(yield* next.gateway.audit, { accepted: 1, open: 0, balanced: true })
      })
    )
  }

  it.effect("D1: a message acknowledged in its debounce window survives the crash: one turn, one reply", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.echo()
      const debounce = { quiet: "2 seconds" } as const
      const first = yield* boot(place, { agent, debounce })
      const accepted = yield* first.say("kim", "hello", "m1")
      assert.isFalse(accepted.duplicate)
      yield* TestClock.adjust("700 millis")
      yield* first.crash
      assert.deepStrictEqual(given(agent), [])

      const later = TestAgent.echo()
      const second = yield* boot(place, { agent: later, debounce })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(agent, later), ["hello"])
      assert.deepStrictEqual(place.far.chat?.seen("kim"), ["hello"])
      assert.deepInclude(yield* second.gateway.audit, { accepted: 1, open: 0, balanced: true })
    })
  )

  it.effect("D8: what the platform kept while the gateway was down is processed in order, nothing skipped", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const first = yield* boot(place, { agent: TestAgent.echo() })
      yield* first.say("kim", "before", "u1")
      yield* rest(first, "chat/kim")
      yield* first.stop

      // The poller asks again from its last committed offset: one update comes a second time.
      const agent = TestAgent.echo()
      const second = yield* boot(place, { agent, debounce: { quiet: "300 millis" } })
      const updates = ["before", ...Array.from({ length: 30 }, (_, index) => `update ${index}`)]
      for (const [index, text] of updates.entries()) yield* second.say("kim", text, `u${index + 1}`)
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(agent).join("\n").split("\n"), updates.slice(1))
      assert.deepInclude(yield* second.gateway.audit, { accepted: 31, open: 0, balanced: true })
    })
  )

  it.effect("D22: the client leaves between the commit and the hand-over: the message is answered all the same", () =>
    Effect.gen(function* () {
      const place = yield* world()
      for (const leaving of ["before the commit", "after the commit"]) {
        const agent = TestAgent.echo()
        const current = yield* boot(place, { agent })
        const client = yield* Effect.forkChild(current.say("kim", leaving, leaving), { startImmediately: true })
        if (leaving === "after the commit") {
          // The writer is past its commit as soon as the row is there; the client has not been told yet or just now.
          while (!onDisk(place.file).includes(leaving)) yield* Effect.yieldNow
        }
        yield* Fiber.interrupt(client)
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual(given(agent), [leaving])
        assert.strictEqual(place.far.chat?.seen("kim").at(-1), leaving)
        yield* current.stop
      }
    })
  )

  it.effect("a message that comes in while the gateway stops is stored and answered after its restart", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const draining = yield* Deferred.make<void>()
      const first = yield* boot(place, {
        agent,
        drain: {
          watch: (news) => {
            if (news._tag === "Phase" && news.name === "drain") Deferred.doneUnsafe(draining, Exit.void)
          }
        }
      })
      yield* first.say("lee", "busy")
      const run = yield* agent.run(1)
      const stop = yield* Effect.forkChild(first.stop)
      yield* Deferred.await(draining)
      const accepted = yield* first.say("kim", "hello", "m1")
      assert.deepStrictEqual([accepted.duplicate, accepted.held], [false, true])
      yield* run.finish("done")
      assert.strictEqual((yield* meanwhile(Fiber.join(stop))).exitCode, 0)
      assert.strictEqual(agent.runs.length, 1)

      const later = TestAgent.echo()
      const second = yield* boot(place, { agent: later })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(later), ["hello"])
    })
  )
})
