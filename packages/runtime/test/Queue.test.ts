// Bursts and what waits behind a running turn, from the outside: what a person typed in one go is one prompt, what comes
// while a turn runs waits its turn, cuts it off, or falls by a policy that says so to the person, the agent and the ledger.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { DatabaseSync } from "node:sqlite"
import * as Agent from "../src/Agent.ts"
import { TestAgent } from "../src/testing/index.ts"
import { boot, given, meanwhile, rest, type World, world } from "./guarantees/boots.ts"

/** How the messages of a store ended, by their text. */
const endings = (place: World): Readonly<Record<string, string>> => {
  const database = new DatabaseSync(place.file, { readOnly: true })
  try {
    const rows = database.prepare("select text, ending, why from sluice_inbound").all()
    return Object.fromEntries(rows.map((row) => [String(row.text), `${String(row.ending)}(${String(row.why)})`]))
  } finally {
    database.close()
  }
}

const photo = { hash: "ab".repeat(32), size: 3, type: "image/png" }

describe("Q4: bursts", () => {
  it.effect("Q4: the cap holds under a stream that never pauses: a prompt at least every five quiet periods", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.echo()
      const current = yield* boot(place, { agent, debounce: { quiet: "300 millis" }, queue: { cap: 1000 } })
      for (let n = 0; n < 60; n++) {
        yield* current.say("kim", String(n))
        yield* TestClock.adjust("100 millis")
      }
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(
        agent.runs.flatMap(({ turn }) => turn.messages.map(({ text }) => Number(text))),
        Array.from({ length: 60 }, (_, n) => n)
      )
      // 1.5 s of messages each, 100 ms apart.
      assert.deepStrictEqual(
        agent.runs.map(({ turn }) => turn.messages.length),
        [15, 15, 15, 15]
      )
    })
  )

  it.effect("Q24 Q4: text is being debounced and a photo comes: one turn at once, in order", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.echo()
      const current = yield* boot(place, { agent, debounce: { quiet: "300 millis" } })
      yield* current.say("kim", "look at")
      yield* TestClock.adjust("100 millis")
      yield* current.handle().accept({
        conversation: "kim",
        sender: "kim",
        text: "this",
        attachments: [photo],
        closes: true
      })
      yield* current.say("kim", "and then")
      yield* meanwhile(agent.run(1), { step: 0 })
      assert.deepStrictEqual(
        agent.runs[0]?.turn.messages.map(({ attachments, text }) => [text, attachments.length]),
        [
          ["look at", 0],
          ["this", 1]
        ]
      )
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(given(agent), ["look at\nthis", "and then"])
    })
  )

  it.effect("Q24: a photo that is still being loaded holds the text in front of it, but not past the cap", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.echo()
      const current = yield* boot(place, { agent, debounce: { quiet: "300 millis" } })
      yield* current.say("kim", "look at")
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* current.handle().receiving({ conversation: "kim" })
          yield* TestClock.adjust("1400 millis")
          assert.deepStrictEqual(given(agent), [])
          yield* current.handle().accept({
            conversation: "kim",
            sender: "kim",
            text: "",
            attachments: [photo],
            closes: true
          })
          yield* agent.run(1)
          assert.strictEqual(agent.runs[0]?.turn.messages.length, 2)
        })
      )
      yield* current.say("kim", "again")
      yield* Effect.scoped(
        Effect.andThen(current.handle().receiving({ conversation: "kim" }), TestClock.adjust("1500 millis"))
      )
      yield* agent.run(2)
      assert.strictEqual(agent.runs[1]?.turn.text, "again")
    })
  )

  it.effect("Q4: a command neither waits for a burst nor ends it", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.echo()
      const current = yield* boot(place, { agent, debounce: { quiet: "300 millis" } })
      yield* current.say("kim", "a")
      yield* TestClock.adjust("200 millis")
      yield* current.say("kim", "/status")
      yield* meanwhile(place.far.chat?.requested(1) ?? Effect.void, { step: 0 })
      assert.match(place.far.chat?.seen("kim")[0] ?? "", /^main: receiving/)
      yield* TestClock.adjust("50 millis")
      yield* current.say("kim", "b")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(given(agent), ["a\nb"])
    })
  )
})

describe("Q5: the cap", () => {
  /** A turn runs, five more come one after the other, and three may wait. */
  const crowded = Effect.fnUntraced(function* (drop: "summarize" | "old" | "new") {
    const place = yield* world()
    const agent = TestAgent.make()
    const current = yield* boot(place, { agent, queue: { cap: 3, drop } })
    yield* current.say("kim", "first")
    const run = yield* agent.run(1)
    for (const n of [1, 2, 3, 4, 5])
      yield* Effect.exit(current.say("kim", `m${n} ${"x".repeat(200)}\nsecond line`, `m${n}`))
    yield* meanwhile(place.far.chat?.requested(2) ?? Effect.void, { step: 0 })
    return { place, agent, current, run }
  })
  const long = (n: number) => `m${n} ${"x".repeat(200)}\nsecond line`

  it.effect("Q5: summarize: the oldest fall, and the next turn and the person are told of them", () =>
    Effect.gen(function* () {
      const { agent, current, place, run } = yield* crowded("summarize")
      yield* run.finish("1")
      const second = yield* agent.run(2)
      assert.deepStrictEqual(
        second.turn.messages.map(({ text }) => text),
        [long(3), long(4), long(5)]
      )
      assert.strictEqual(second.turn.summary?.count, 2)
      assert.deepStrictEqual(second.turn.summary?.lines, [`m1 ${"x".repeat(157)}…`, `m2 ${"x".repeat(157)}…`])
      yield* second.finish("2")
      yield* rest(current, "chat/kim")
      yield* current.say("kim", "more")
      assert.isUndefined((yield* agent.run(3)).turn.summary)
      assert.include(
        place.far.chat?.seen("kim") ?? [],
        "A lot came in while I was busy. I kept the newest 3 and a summary of the one before."
      )
      const ends = endings(place)
      assert.deepStrictEqual([ends[long(1)], ends[long(2)]], ["dropped(summarize)", "dropped(summarize)"])
      assert.isTrue((yield* current.gateway.audit).balanced)
    })
  )

  it.effect("Q5: a summary that nobody was told of survives a restart", () =>
    Effect.gen(function* () {
      const { current, place } = yield* crowded("summarize")
      yield* current.crash
      const agent = TestAgent.make()
      const second = yield* boot(place, { agent, queue: { cap: 3 } })
      // The cut-off turn first, as it was; then what waited, with the summary.
      assert.deepStrictEqual(
        (yield* agent.run(1)).turn.messages.map(({ text }) => text),
        ["first"]
      )
      yield* (yield* agent.run(1)).finish("1")
      const run = yield* agent.run(2)
      assert.deepStrictEqual([run.turn.messages.length, run.turn.summary?.count], [3, 2])
      yield* run.fail()
      // An attempt that failed has told nobody.
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* agent.run(3)).turn.summary?.count, 2)
      yield* (yield* agent.run(3)).finish("2")
      yield* rest(second, "chat/kim")
    })
  )

  it.effect("Q5: old: the oldest fall and the person is told, the agent is not", () =>
    Effect.gen(function* () {
      const { agent, current, place, run } = yield* crowded("old")
      yield* run.finish("1")
      const second = yield* agent.run(2)
      assert.deepStrictEqual(
        second.turn.messages.map(({ text }) => text),
        [long(3), long(4), long(5)]
      )
      assert.isUndefined(second.turn.summary)
      yield* second.finish("2")
      yield* rest(current, "chat/kim")
      assert.include(
        place.far.chat?.seen("kim") ?? [],
        "A lot came in while I was busy. I kept the newest 3 and left out the one before."
      )
      assert.strictEqual((yield* current.gateway.audit).detail["dropped(old)"], 2)
    })
  )

  it.effect("Q5: new: a poller's message is stored, falls, and its sender is told which one it was", () =>
    Effect.gen(function* () {
      const { agent, current, place, run } = yield* crowded("new")
      yield* run.finish("1")
      const second = yield* agent.run(2)
      assert.deepStrictEqual(
        second.turn.messages.map(({ text }) => text),
        [long(1), long(2), long(3)]
      )
      yield* second.finish("2")
      yield* rest(current, "chat/kim")
      const told = (place.far.chat?.seen("kim") ?? []).filter((text) => text.includes("couldn't take"))
      assert.strictEqual(told.length, 2)
      assert.match(told[0] ?? "", /couldn't take "m4 x/)
      assert.match(told[1] ?? "", /couldn't take "m5 x/)
      assert.strictEqual((yield* current.gateway.audit).detail["dropped(new)"], 2)
    })
  )

  it.effect("Q5: new: where the channel can say so, the message is refused before it is stored", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, queue: { cap: 1, drop: "new" } })
      const say = (text: string) => current.gateway.accept({ conversation: "kim", sender: "kim", text, id: text })
      yield* say("first")
      const run = yield* agent.run(1)
      yield* say("second")
      const refused = yield* Effect.flip(say("third"))
      assert.deepStrictEqual([refused._tag, "scope" in refused && refused.scope], ["RateLimited", "queue"])
      // C2: what was accepted before has its receipt, however full the queue is, and another body is a conflict.
      assert.isTrue((yield* say("second")).duplicate)
      const other = yield* Effect.flip(
        current.gateway.accept({ conversation: "kim", sender: "kim", text: "something else", id: "second" })
      )
      assert.strictEqual(other._tag, "Conflict")
      yield* say("/status")
      yield* run.finish("1")
      yield* (yield* agent.run(2)).finish("2")
      yield* meanwhile(current.gateway.settled("kim"))
      yield* say("third")
      yield* (yield* agent.run(3)).finish("3")
      yield* meanwhile(current.gateway.settled("kim"))
      assert.deepStrictEqual(given(agent), ["first", "second", "third"])
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { replied: 3, command: 1 })
    })
  )
})

describe("queue modes", () => {
  it.effect(
    "Q6: interrupt: the running turn ends as cancelled(interrupt), and the next one sees what it was about",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const current = yield* boot(place, { agent, queue: { mode: "interrupt" } })
        yield* current.say("kim", "write a poem")
        const first = yield* agent.run(1)
        yield* first.emit(Agent.text("Roses"))
        yield* current.say("kim", "no, a song")
        const second = yield* agent.run(2)
        assert.strictEqual(yield* first.over, "interrupted")
        assert.deepStrictEqual(
          [second.turn.text, second.turn.context?.map(({ text }) => text)],
          ["no, a song", ["write a poem"]]
        )
        yield* second.finish("La la")
        yield* rest(current, "chat/kim")
        yield* current.say("kim", "thanks")
        assert.isUndefined((yield* agent.run(3)).turn.context)
        yield* (yield* agent.run(3)).finish("Any time")
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual(place.far.chat?.seen("kim"), ["La la", "Any time"])
        assert.deepStrictEqual((yield* current.gateway.audit).detail, { "cancelled(interrupt)": 1, replied: 2 })
        assert.deepStrictEqual(agent.overlaps, [])
      })
  )

  it.effect("Q6: interrupt: after a /stop nothing is context any more", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, queue: { mode: "interrupt" }, turns: { limit: 1 } })
      yield* current.say("kim", "one")
      const first = yield* agent.run(1)
      yield* current.say("bo", "hello")
      yield* current.say("kim", "two")
      assert.strictEqual(yield* first.over, "interrupted")
      // Bo has the only place now; what would have seen "one" is cancelled before it starts.
      const second = yield* agent.run(2)
      yield* current.say("kim", "/stop")
      yield* meanwhile(place.far.chat?.requested(1) ?? Effect.void, { step: 0 })
      yield* current.say("kim", "three")
      yield* second.finish("hi")
      assert.deepStrictEqual([(yield* agent.run(3)).turn.text, agent.runs[2]?.turn.context], ["three", undefined])
      yield* (yield* agent.run(3)).finish("3")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual((yield* current.gateway.audit).detail, {
        "cancelled(interrupt)": 1,
        "cancelled(stop)": 1,
        command: 1,
        replied: 2
      })
    })
  )

  it.effect("Q6: interrupt: whoever ends the turn first wins, in any tick: one answer or one cut, never both", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, queue: { mode: "interrupt" } })
      for (let n = 0; n < 60; n++) {
        const peer = `p${n}`
        yield* current.say(peer, "one")
        const first = yield* agent.run(2 * n + 1)
        yield* first.finish("1")
        for (let tick = 0; tick < n; tick++) yield* Effect.yieldNow
        yield* current.say(peer, "two")
        const second = yield* agent.run(2 * n + 2)
        yield* second.finish("2")
        yield* current.gateway.settled(`chat/${peer}`)
        const seen = place.far.chat?.seen(peer) ?? []
        const cut = second.turn.context !== undefined
        assert.deepStrictEqual(seen, cut ? ["2"] : ["1", "2"])
        assert.strictEqual(second.turn.text, "two")
      }
      const { balanced, ends } = yield* current.gateway.audit
      assert.deepStrictEqual([balanced, (ends.replied ?? 0) + (ends.cancelled ?? 0)], [true, 120])
    })
  )

  it.effect("/queue: shows the mode, sets it at once and for good, and refuses what is none", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      const seen = () => place.far.chat?.seen("kim").filter((text) => !text.startsWith("Got it")) ?? []
      for (const text of ["/queue", "/queue sideways", "/queue Followup"]) yield* current.say("kim", text)
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(seen(), [
        'What you write while I\'m busy is handled as "collect". There is: collect, followup, steer, interrupt.',
        '"sideways" is not possible here. Possible: collect, followup, steer, interrupt.',
        'From now on, what you write while I\'m busy is handled as "followup".'
      ])
      yield* current.say("kim", "a")
      yield* agent.run(1)
      yield* current.say("kim", "b")
      yield* current.say("kim", "c")
      yield* (yield* agent.run(1)).finish("A")
      assert.strictEqual((yield* agent.run(2)).turn.text, "b")
      yield* current.say("kim", "/queue collect")
      yield* current.say("kim", "d")
      yield* meanwhile(place.far.chat?.requested(6) ?? Effect.void)
      yield* (yield* agent.run(2)).finish("B")
      assert.strictEqual((yield* agent.run(3)).turn.text, "c\nd")
      yield* (yield* agent.run(3)).finish("C")
      yield* rest(current, "chat/kim")
      yield* current.say("kim", "/queue interrupt")
      yield* rest(current, "chat/kim")
      yield* current.stop
      const later = yield* boot(place, { agent })
      yield* later.say("kim", "/queue")
      yield* rest(later, "chat/kim")
      assert.match(seen().at(-1) ?? "", /is handled as "interrupt"\. There is: collect, /)
    })
  )
})
