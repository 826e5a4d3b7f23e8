// C8: no silent end. Each accepted message ends as exactly one of the listed ways, whoever is concerned hears of it, and
// the ledger balances at every moment, also over crashes and after retention has let the rows go.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Agent from "../../src/Agent.ts"
import { TestAgent } from "../../src/testing/index.ts"
import { type Boot, boot, given, meanwhile, rest, until, world } from "./boots.ts"

/** What the ledger must say at any moment. */
const balanced = ({ gateway }: Boot) =>
  Effect.map(gateway.audit, (ledger) => {
    const ended = Object.values(ledger.ends).reduce((sum, count) => sum + count, 0)
    assert.strictEqual(ledger.accepted, ended + ledger.open)
    assert.isTrue(ledger.balanced)
    return ledger
  })

describe("C8: errors", () => {
  for (const [what, fail, options] of [
    ["fails", (run: TestAgent.Run) => run.fail(), {}],
    ["stalls", () => Effect.void, { stallTimeout: 30_000 }],
    ["takes too long", () => Effect.void, { turnTimeout: 30_000 }]
  ] as const) {
    it.effect(
      `D20: a message whose turn ${what} three times: the person hears it after the last try, /retry has it again`,
      () =>
        Effect.gen(function* () {
          const place = yield* world()
          const agent = TestAgent.make(options)
          const current = yield* boot(place, { agent })
          yield* current.say("kim", "poison", "m1")
          for (let attempt = 1; attempt <= 3; attempt++) {
            const run = yield* meanwhile(agent.run(attempt))
            assert.strictEqual(run.turn.attempt, attempt)
            assert.deepStrictEqual(place.far.chat?.seen("kim"), [], "nothing is said before the last try")
            yield* fail(run)
          }
          yield* rest(current, "chat/kim")
          assert.strictEqual(agent.runs.length, 3)
          assert.match(place.far.chat?.seen("kim").join() ?? "", /^"poison" failed 3 times, so I've set it aside\./)
          assert.deepStrictEqual((yield* balanced(current)).detail, { "suspended(failed)": 1 })

          // The payload is kept, also over a restart.
          yield* current.stop
          const later = TestAgent.make(options)
          const second = yield* boot(place, { agent: later })
          assert.deepStrictEqual(given(later), [])
          yield* second.say("kim", "/retry")
          const again = yield* later.run(1)
          assert.deepStrictEqual([again.turn.text, again.turn.attempt], ["poison", 1])
          yield* again.finish("this time")
          yield* rest(second, "chat/kim")
          assert.strictEqual(place.far.chat?.seen("kim").at(-1), "this time")
          assert.deepInclude(yield* balanced(second), { accepted: 3, open: 0 })
        })
    )
  }

  it.effect("D20 D15: a crash in the backoff costs no try, and the wait goes on where it was", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const turns = { backoff: ["1 minute", "1 minute"] } as const
      const first = yield* boot(place, { agent, turns })
      yield* first.say("kim", "flaky")
      yield* (yield* agent.run(1)).fail()
      yield* TestClock.adjust("20 seconds")
      yield* first.say("kim", "waits behind it")
      yield* first.crash
      const later = TestAgent.make()
      const second = yield* boot(place, { agent: later, turns })
      yield* TestClock.adjust("39 seconds")
      assert.deepStrictEqual(given(later), [])
      yield* TestClock.adjust("2 seconds")
      const run = yield* later.run(1)
      assert.deepStrictEqual([run.turn.text, run.turn.attempt, run.turn.interrupted], ["flaky", 2, undefined])
      yield* run.finish("ok")
      assert.strictEqual((yield* later.run(2)).turn.text, "waits behind it")
      const [session] = yield* second.gateway.sessions
      assert.deepStrictEqual([session?.turn?.crashes, session?.turn?.errors], [0, 0])
    })
  )

  it.effect("an input that can never be answered is set aside at once, one whose history is gone is asked about", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "no")
      yield* (yield* agent.run(1)).fail("Rejected")
      yield* current.say("lee", "remember?")
      yield* (yield* agent.run(2)).fail("HistoryGone")
      yield* rest(current, "chat/kim", "chat/lee")
      assert.strictEqual(agent.runs.length, 2)
      assert.match(place.far.chat?.seen("kim").join() ?? "", /^I can't answer this as it is/)
      assert.match(place.far.chat?.seen("lee").join() ?? "", /^I can't find our earlier conversation/)
      const { detail } = yield* balanced(current)
      assert.deepStrictEqual(detail, { "suspended(failed)": 1, "suspended(ask)": 1 })
    })
  )
})

describe("C8: placeholders", () => {
  for (const [how, end, last] of [
    ["a /stop", (current: Boot) => current.say("kim", "/stop"), "Stopped."],
    ["a /new", (current: Boot) => current.say("kim", "/new"), "A fresh start."],
    ["an answer without a text", ({ agent }: Boot) => Effect.flatMap(agent.run(1), (run) => run.finish("")), undefined]
  ] as const) {
    it.effect(`a turn that ends without a reply by ${how} leaves no half sentence behind: its end is edited in`, () =>
      Effect.gen(function* () {
        const place = yield* world({ chat: "edit" })
        const current = yield* boot(place)
        yield* current.say("kim", "work")
        const run = yield* current.agent.run(1)
        yield* until(() => place.far.chat?.seen("kim").join() === "…")
        yield* run.emit(Agent.text(""))
        yield* TestClock.adjust("5 seconds")
        if (last !== undefined) {
          yield* run.emit(Agent.text("Let me s"))
          yield* until(() => place.far.chat?.seen("kim").join() === "Let me s")
        }
        yield* end(current)
        yield* rest(current, "chat/kim")
        const ended = "(Ended without an answer.)"
        assert.deepStrictEqual(place.far.chat?.seen("kim"), last === undefined ? [ended] : [ended, last])
        assert.isTrue(place.far.chat?.requests.every(({ text }) => text !== ""))
      })
    )
  }
})

/** One message for each way to end, in a conversation of its own. */
const everyEnd = (current: Boot, seen: (text: string) => void) =>
  Effect.gen(function* () {
    const { agent, say } = current
    const next = (text: string, channel?: string) =>
      Effect.gen(function* () {
        const count = agent.runs.length
        yield* say(text, text, undefined, channel)
        seen(text)
        const run = yield* agent.run(count + 1)
        yield* balanced(current)
        return run
      })
    yield* (yield* next("replied")).finish("hello")
    yield* (yield* next("no-reply")).finish("")
    yield* next("cancelled")
    yield* say("cancelled", "/stop")
    const busy = yield* next("dropped")
    for (let n = 0; n < 3; n++) yield* say("dropped", `dropped ${n}`)
    yield* busy.finish("done")
    yield* (yield* agent.run(agent.runs.length + 1)).finish("done")
    yield* (yield* next("suspended")).fail("Rejected")
    yield* (yield* next("undeliverable", "refuses")).finish("nobody wants this")
    yield* (yield* next("unknown", "loses")).finish("who knows")
  })

describe("C8: the ledger", () => {
  it.effect("D21: it balances through every way to end, over a crash, and after retention let the rows go", () =>
    Effect.gen(function* () {
      const place = yield* world({ chat: "keyed", refuses: "keyed", loses: "ambiguous-hold" })
      place.far.refuses?.otherwise("refuse")
      place.far.loses?.otherwise("lose")
      const journal = {
        retention: { ledger: "1 day", transcript: "1 day", attachments: "1 day", deadLetters: "1 day" }
      } as const
      const options = { queue: { cap: 2, drop: "old" }, journal } as const
      const peers: Array<string> = []
      const first = yield* boot(place, options)
      yield* everyEnd(first, (peer) => void peers.push(peer))
      yield* rest(first, ...peers.map((peer) => `chat/${peer}`), "refuses/undeliverable", "loses/unknown")
      const before = yield* balanced(first)
      assert.deepStrictEqual(before.detail, {
        replied: 4,
        "no-reply": 1,
        command: 1,
        "cancelled(stop)": 1,
        "dropped(old)": 1,
        "suspended(failed)": 1,
        undeliverable: 1,
        unknown: 1
      })
      assert.deepInclude(before, { accepted: 11, open: 0 })
      yield* first.crash

      const second = yield* boot(place, options)
      assert.deepStrictEqual(yield* balanced(second), before)
      // Everybody starts afresh, so that nothing is needed any more, and more than the 8 days of uptime pass.
      for (const peer of peers) yield* second.say(peer, "/new")
      yield* second.say("undeliverable", "/new", undefined, "refuses")
      yield* second.say("unknown", "/new", undefined, "loses")
      yield* TestClock.adjust("12 days")
      const after = yield* balanced(second)
      assert.strictEqual(after.accepted, before.accepted + peers.length + 2)
      const standing = yield* second.handle().ended(1)
      assert.isUndefined(standing, "its row is gone")
      yield* second.crash
      assert.deepStrictEqual(yield* balanced(yield* boot(place, options)), after)
    })
  )
})
