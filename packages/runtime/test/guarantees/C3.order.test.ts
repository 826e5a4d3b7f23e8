// C3: the unit of order is the session. Within it turns start in commit order, one at a time, also over boots: what waited
// before a crash goes first, as the bursts that it was, and no cap drops what was there already.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { TestAgent } from "../../src/testing/index.ts"
import { type Boot, boot, finishing, given, lived, rest, world } from "./boots.ts"

const quiet = { quiet: "300 millis" } as const
const texts = (name: string, count: number) => Array.from({ length: count }, (_, index) => `${name} ${index + 1}`)
const answered = (seen: ReadonlyArray<string> | undefined) => (seen ?? []).flatMap((text) => text.split("\n"))

describe("C3: bursts and follow-ups over a crash", () => {
  it.effect("D2: three messages in one debounce window, then a crash: one turn with the three in order", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const first = yield* boot(place, { debounce: { quiet: "2 seconds" } })
      for (const text of ["one", "two", "three"]) {
        yield* first.say("kim", text)
        yield* TestClock.adjust("500 millis")
      }
      yield* first.crash
      const agent = TestAgent.echo()
      const second = yield* boot(place, { agent, debounce: { quiet: "2 seconds" } })
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(agent), ["one\ntwo\nthree"])
    })
  )

  for (const [mode, expected] of [
    ["followup", ["running", "a1\na2", "b1"]],
    ["collect", ["running", "a1\na2\nb1"]]
  ] as const) {
    it.effect(
      `D2: two bursts that were apart before the crash: ${expected.length - 1} turn(s) in ${mode}, in order`,
      () =>
        Effect.gen(function* () {
          const place = yield* world()
          const agent = TestAgent.make()
          const first = yield* boot(place, { agent, debounce: quiet, queue: { mode } })
          for (const burst of [["running"], ["a1", "a2"], ["b1"]]) {
            for (const text of burst) yield* first.say("kim", text)
            yield* TestClock.adjust("1 second")
          }
          assert.deepStrictEqual(given(agent), ["running"])
          yield* first.crash
          const later = TestAgent.echo()
          const second = yield* boot(place, { agent: later, debounce: quiet, queue: { mode } })
          yield* rest(second, "chat/kim")
          assert.deepStrictEqual(given(later), expected)
        })
    )
  }

  it.effect("D3: a running turn and two queued follow-ups, then a crash: all answered in order, none twice", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const queue = { mode: "followup" } as const
      const first = yield* boot(place, { agent, queue })
      for (const text of ["one", "two", "three"]) yield* first.say("kim", text, text)
      yield* agent.run(1)
      yield* first.crash
      const later = TestAgent.echo()
      const second = yield* boot(place, { agent: later, queue })
      // The clients have no receipt any more, and try again.
      for (const text of ["one", "two", "three"]) assert.isTrue((yield* second.say("kim", text, text)).duplicate)
      yield* rest(second, "chat/kim")
      assert.deepStrictEqual(given(later), ["one", "two", "three"])
      assert.deepStrictEqual(
        answered(place.far.chat?.seen("kim")).filter((text) => /^(one|two|three)$/.test(text)),
        ["one", "two", "three"]
      )
      assert.deepInclude(yield* second.gateway.audit, { accepted: 3, open: 0, balanced: true })
    })
  )
})

describe("C3: a backlog", () => {
  for (const mode of ["collect", "followup"] as const) {
    it.effect(`D27 D30: 500 messages of an older boot: none is dropped or overtaken (${mode})`, () =>
      Effect.gen(function* () {
        const place = yield* world()
        const old = texts("old", 500)
        const first = yield* boot(place, { debounce: { quiet: "1 hour" } })
        yield* Effect.forEach(old, (text) => first.say("kim", text), { concurrency: "unbounded" })
        yield* first.crash

        const agent = TestAgent.make()
        const second = yield* boot(place, {
          agent,
          queue: { mode, cap: 20 },
          kept: texts("kept", 5).map((text) => ({ peer: "kim", text }))
        })
        const run = yield* agent.run(1)
        for (const text of texts("new", 15)) yield* second.say("kim", text)
        yield* run.finish("ok")
        yield* finishing(agent, 2, "ok")
        yield* rest(second, "chat/kim")
        assert.deepStrictEqual(given(agent).join("\n").split("\n"), [...old, ...texts("kept", 5), ...texts("new", 15)])
        assert.deepStrictEqual(agent.overlaps, [])
        const { accepted, balanced, ends } = yield* second.gateway.audit
        assert.deepStrictEqual([accepted, ends.replied, balanced], [520, 520, true])
      })
    )
  }

  it.effect("D8 D30: 500 messages that the platform kept: the cap does not touch them when one more comes", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const kept = texts("kept", 500)
      const current = yield* boot(place, {
        agent,
        debounce: quiet,
        queue: { cap: 20 },
        kept: kept.map((text) => ({ peer: "kim", text }))
      })
      yield* TestClock.adjust("2 seconds")
      const run = yield* agent.run(1)
      yield* current.say("kim", "one more")
      yield* TestClock.adjust("2 seconds")
      yield* run.finish("ok")
      yield* finishing(agent, 2, "ok")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(given(agent).join("\n").split("\n"), [...kept, "one more"])
      assert.strictEqual((yield* current.gateway.audit).ends.dropped, 0)
    })
  )

  it.effect("Q5: what comes behind a running turn falls at the cap, also right after a backlog", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, {
        agent,
        debounce: quiet,
        queue: { cap: 20, drop: "old" },
        kept: texts("kept", 100).map((text) => ({ peer: "kim", text }))
      })
      yield* TestClock.adjust("2 seconds")
      yield* agent.run(1)
      for (const text of texts("new", 30)) {
        yield* current.say("kim", text)
        yield* TestClock.adjust("2 seconds")
      }
      const { balanced, detail } = yield* current.gateway.audit
      assert.deepStrictEqual([detail["dropped(old)"], balanced], [10, true])
    })
  )
})

describe("C3: the session of a message", () => {
  const sessionOfTurn = ({ gateway }: Boot) =>
    Effect.map(gateway.sessions, (sessions) => sessions.filter(({ turn }) => turn !== undefined).map(({ id }) => id))

  for (const pipelined of [false, true]) {
    it.effect(
      `Q8: what is sent after /new is of the fresh one${pipelined ? ", also without waiting for its receipt" : ""}`,
      () =>
        Effect.gen(function* () {
          const place = yield* world()
          const current = yield* boot(place)
          yield* current.say("kim", "first")
          yield* current.agent.run(1)
          yield* Effect.forEach(["/new", "hello", "and this"], (text) => current.say("kim", text), {
            concurrency: pipelined ? "unbounded" : 1
          })
          const run = yield* current.agent.run(2)
          assert.deepStrictEqual(yield* sessionOfTurn(current), [2])
          yield* run.finish("hi")
          yield* finishing(current.agent, 3, "hi")
          yield* rest(current, "chat/kim")
          assert.deepStrictEqual(given(current.agent).join("\n").split("\n"), ["first", "hello", "and this"])
          assert.deepStrictEqual(
            current.agent.runs.map(({ turn }) => turn.session),
            current.agent.runs.map(() => "chat/kim")
          )
          const { balanced, detail } = yield* current.gateway.audit
          assert.deepStrictEqual([detail["cancelled(new)"], balanced], [1, true])
        })
    )
  }

  it.effect("Q8: a /session that nobody has runs its course, and whoever waited behind it is admitted", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const current = yield* boot(place, { agent: TestAgent.echo() })
      const left = yield* Effect.forkChild(current.say("kim", "/new work"), { startImmediately: true })
      yield* Fiber.interrupt(left)
      yield* Effect.forEach(["/session nowhere", "hello"], (text) => current.say("kim", text), {
        concurrency: "unbounded"
      })
      yield* rest(current, "chat/kim")
      assert.isTrue(place.far.chat?.seen("kim").includes("hello"))
      assert.deepInclude(yield* current.gateway.audit, { accepted: 3, open: 0, balanced: true })
    })
  )

  it.effect("Q8: a /new that an earlier boot admitted has its effect before what comes now", () =>
    Effect.gen(function* () {
      const place = yield* world()
      yield* lived(place, { grave: { label: "before:command", nth: 1 } }, (current) =>
        Effect.andThen(
          Effect.forEach(["first", "/new"], (text) => current.say("kim", text)),
          Effect.never
        )
      )
      const second = yield* boot(place, { kept: [{ peer: "kim", text: "hello" }] })
      yield* second.agent.run(1)
      assert.deepStrictEqual(given(second.agent), ["hello"])
      assert.deepStrictEqual(yield* sessionOfTurn(second), [2])
    })
  )
})

describe("C3: replies", () => {
  it.effect("D32: a post and a reply in the same millisecond: both arrive, and the numbers have no hole", () =>
    Effect.gen(function* () {
      const place = yield* world({ chat: "pull", push: "keyed" })
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      for (let round = 1; round <= 20; round++) {
        yield* current.say("kim", `question ${round}`)
        yield* current.say("kim", `question ${round}`, undefined, "push")
        const runs = [yield* agent.run(2 * round - 1), yield* agent.run(2 * round)]
        yield* Effect.all(
          [
            ...runs.map((run) => run.finish(`answer ${round}`)),
            current.handle().post({ conversation: "kim" }, { text: `post ${round}` }),
            current.handle("push").post({ conversation: "kim" }, { text: `post ${round}` })
          ],
          { concurrency: "unbounded" }
        )
        yield* rest(current, "chat/kim", "push/kim")
      }
      const replies = yield* Stream.runCollect(Stream.take(current.gateway.replies("chat/kim"), 40))
      assert.deepStrictEqual(
        replies.map(({ number }) => number),
        Array.from({ length: 40 }, (_, index) => index + 1)
      )
      const expected = [...texts("answer", 20), ...texts("post", 20)].toSorted()
      assert.deepStrictEqual(replies.map(({ text }) => text).toSorted(), expected)
      assert.deepStrictEqual(place.far.push?.seen("kim").toSorted(), expected)
    })
  )

  it.effect("sessions don't wait for each other: one that hangs delays nobody", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "hang")
      yield* agent.run(1)
      for (let n = 2; n < 12; n++) {
        yield* current.say(`peer ${n}`, "hello")
        yield* (yield* agent.run(n)).finish("hi")
      }
      yield* rest(current, ...Array.from({ length: 10 }, (_, index) => `chat/peer%20${index + 2}`))
      assert.strictEqual((yield* current.gateway.audit).ends.replied, 10)
    })
  )
})
