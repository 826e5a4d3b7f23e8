// What a person sees of a turn while it runs and of an answer that comes when they are somewhere else: by the session's
// output mode, and never a line longer than its turn.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Agent from "../src/Agent.ts"
import type { Progress } from "../src/Message.ts"
import * as Notices from "../src/Notices.ts"
import { TestAgent } from "../src/testing/index.ts"
import { type Boot, boot, rest, until, type World, world } from "./guarantees/boots.ts"

const tool = { _tag: "ToolStarted", id: "t", name: "Read notes.md", sideEffects: false } as const

/** What is told to somebody who watches kim's conversation until its turn has ended. */
const watching = Effect.fnUntraced(function* (current: Boot, turn: Effect.Effect<void>) {
  const watched = yield* Effect.forkChild(
    current.gateway.progress("chat/kim").pipe(
      Stream.takeUntil((event) => event._tag === "TurnEnded"),
      Stream.runCollect
    ),
    { startImmediately: true }
  )
  yield* turn
  return [...(yield* Fiber.join(watched))]
})

const tags = (events: ReadonlyArray<Progress>) => events.filter(({ _tag }) => _tag !== "State").map(({ _tag }) => _tag)

const states = (events: ReadonlyArray<Progress>) =>
  events.flatMap((event) => (event._tag === "State" && event.state.name !== "receiving" ? [event.state.name] : []))

describe("a running turn", () => {
  it.effect("Q21, Q20: tools and texts are told while it runs, with /smart only that something is done", () =>
    Effect.gen(function* () {
      const agent = TestAgent.make()
      const current = yield* boot(yield* world(), { agent })
      const turn = Effect.fnUntraced(function* (n: number) {
        yield* current.say("kim", "question")
        const run = yield* agent.run(n)
        yield* run.emit(tool)
        yield* run.emit({ _tag: "ToolFinished", id: "t" })
        yield* run.emit({ _tag: "Line", text: "half way" })
        yield* run.emit(Agent.text("It is "))
        yield* run.finish("42.")
        yield* rest(current, "chat/kim")
      }, Effect.orDie)
      const usual = yield* watching(current, turn(1))
      assert.deepStrictEqual(tags(usual), ["ToolStarted", "ToolFinished", "Line", "Text", "Text", "TurnEnded"])
      yield* current.say("kim", "/smart")
      yield* rest(current, "chat/kim")
      const smart = yield* watching(current, turn(2))
      assert.deepStrictEqual(tags(smart), ["TurnEnded"])
      assert.deepStrictEqual(states(smart), states(usual))
      yield* current.say("kim", "/verbose")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(tags(yield* watching(current, turn(3))), tags(usual))
    })
  )

  it.effect(
    "Q20: who begins to watch in the middle of a turn is told that something is done, and of rest nothing",
    () =>
      Effect.gen(function* () {
        const agent = TestAgent.make()
        const current = yield* boot(yield* world(), { agent })
        yield* current.say("kim", "question")
        const run = yield* agent.run(1)
        const [first] = yield* Stream.runCollect(Stream.take(current.gateway.progress("chat/kim"), 1))
        assert.deepInclude(first, { _tag: "State", session: "chat/kim", state: { name: "processing" } })
        yield* run.finish("42.")
        yield* rest(current, "chat/kim")
        const events = yield* watching(
          current,
          Effect.gen(function* () {
            yield* current.say("kim", "again")
            yield* (yield* agent.run(2)).finish("43.")
          }).pipe(Effect.orDie)
        )
        assert.deepStrictEqual(states(events), ["processing", "responding"])
      })
  )

  it.effect("Q17, Q21: a turn that failed says for how long it waits for its next try, with /smart it does not", () =>
    Effect.gen(function* () {
      const place = yield* world({ chat: "edit" })
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, turns: { backoff: ["30 seconds", "0 millis"] } })
      const { chat } = place.far
      const line = "That didn't work. Trying again in 30 s ..."
      const shows = (text: string) =>
        Effect.andThen(
          TestClock.adjust("2 seconds"),
          until(() => chat?.seen("kim").at(-1) === text)
        )
      const turn = Effect.fnUntraced(function* (n: number, begun: string, waiting: string) {
        yield* current.say("kim", "question")
        const run = yield* agent.run(n)
        yield* run.emit(Agent.text("Half an answer"))
        yield* shows(begun)
        yield* run.fail()
        yield* shows(waiting)
        yield* TestClock.adjust("30 seconds")
        yield* (yield* agent.run(n + 1)).finish("It is 42.")
        yield* rest(current, "chat/kim")
      }, Effect.orDie)
      const usual = yield* watching(current, turn(1, "Half an answer", line))
      assert.deepStrictEqual(
        usual.flatMap((event) => (event._tag === "Line" ? [event.text] : [])),
        [line]
      )
      assert.deepStrictEqual(chat?.seen("kim"), ["It is 42."])
      yield* current.say("kim", "/smart")
      yield* rest(current, "chat/kim")
      const smart = yield* watching(current, turn(3, "…", "…"))
      assert.notInclude(tags(smart), "Line")
    })
  )

  it.effect("Q21: in a placeholder the tool that runs stands under the answer, and with /smart nothing does", () =>
    Effect.gen(function* () {
      const place = yield* world({ chat: "edit" })
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      const { chat } = place.far
      const shows = (text: string) =>
        Effect.andThen(
          TestClock.adjust("2 seconds"),
          until(() => chat?.seen("kim").at(-1) === text)
        )
      const progress = () => chat?.requests.filter(({ kind }) => kind === "progress").length
      yield* current.say("kim", "question")
      const run = yield* agent.run(1)
      yield* shows("…")
      yield* run.emit(tool)
      yield* shows("Read notes.md ...")
      yield* run.emit(Agent.text("Let me look."))
      yield* run.emit({ ...tool, id: "u", name: "Bash" })
      yield* shows("Let me look.\n\nBash ...")
      yield* run.emit({ _tag: "ToolFinished", id: "u" })
      yield* shows("Let me look.")
      yield* run.finish(" It is 42.")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(chat?.seen("kim"), ["Let me look. It is 42."])
      yield* current.say("kim", "/smart")
      yield* rest(current, "chat/kim")
      yield* current.say("kim", "question")
      const quiet = yield* agent.run(2)
      yield* shows("…")
      const before = progress()
      yield* quiet.emit(tool)
      yield* quiet.emit({ _tag: "Line", text: "half way" })
      yield* quiet.emit(Agent.text("It is "))
      yield* TestClock.adjust("10 seconds")
      yield* quiet.finish("42.")
      yield* rest(current, "chat/kim")
      assert.strictEqual(progress(), before)
      assert.strictEqual(chat?.seen("kim").at(-1), "It is 42.")
    })
  )
})

describe("an answer of another session", () => {
  it.effect(
    "Q15: says whose it is, in the host's words, and nobody remembers that; in its own session it does not",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const notices = Notices.make({ fromSession: ({ name }) => `Von ${name}:` })
        const current = yield* boot(place, { agent }).pipe(Effect.provideService(Notices.Notices, notices))
        yield* current.say("kim", "long")
        const long = yield* agent.run(1)
        yield* current.say("kim", "/new work")
        yield* current.say("kim", "here")
        const here = yield* agent.run(2)
        const events = yield* watching(
          current,
          Effect.gen(function* () {
            yield* here.emit(Agent.text("I am "))
            yield* long.emit(Agent.text("All "))
            yield* long.finish("done.")
          })
        )
        const elsewhere = events.flatMap((event) => ("elsewhere" in event ? [event.session] : []))
        assert.deepStrictEqual([...new Set(elsewhere)], ["chat/kim"])
        yield* here.finish("here.")
        yield* rest(current, "chat/kim")
        assert.deepStrictEqual(place.far.chat?.seen("kim").slice(1), ["Von main:\nAll done.", "I am here."])
        const [main] = yield* current.journal.history(1, { limit: 1 })
        assert.strictEqual(main?.answer, "All done.")
      })
  )

  it.effect("Q15: what was set aside in another session says in which, as /retry is to be said there", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "impossible")
      const run = yield* agent.run(1)
      const { seq } = yield* current.say("kim", "/new work")
      yield* current.handle().ended(seq)
      yield* run.fail("Rejected")
      yield* rest(current, "chat/kim")
      assert.match(place.far.chat?.seen("kim").at(-1) ?? "", /^\[main\]\nI can't answer this as it is\./)
    })
  )

  for (const kind of ["keyed", "edit", "pull"] as const) {
    it.effect(`Q15: over a restart, on a channel of class ${kind}: the first of its parts has the name`, () =>
      Effect.gen(function* () {
        const whole = yield* world({ chat: kind })
        const { chat } = whole.far
        if (chat === undefined) return yield* Effect.die("no chat")
        const split = (text: string): ReadonlyArray<string> => text.match(/[^]{1,24}/g) ?? []
        const place: World = { ...whole, far: { chat: { ...chat, channel: { ...chat.channel, split } } } }
        const agent = TestAgent.make()
        const first = yield* boot(place, { agent })
        yield* first.say("kim", "long")
        yield* agent.run(1)
        const { seq } = yield* first.say("kim", "/new work")
        yield* first.handle().ended(seq)
        yield* first.crash
        const next = yield* boot(place, { agent })
        yield* (yield* agent.run(2)).finish("The answer is 42 and no other number.")
        yield* rest(next, "chat/kim")
        const { replies } = yield* next.handle().page({ conversation: "kim" }, { after: 0, limit: 10 })
        const answers = replies.filter(({ kind }) => kind === "answer")
        assert.deepStrictEqual(
          answers.map(({ session, text }) => [session, text]),
          [
            ["main", "The answer is 42 and no "],
            [undefined, "other number."]
          ]
        )
        const seen = chat.seen("kim").filter((text) => text.includes("answer") || text.includes("[main]"))
        // What does not fit in one message is one of its own: ahead, or behind a placeholder that stood there before.
        if (kind === "keyed") assert.deepStrictEqual(seen, ["[main]", "The answer is 42 and no "])
        if (kind === "edit") assert.deepStrictEqual(seen, ["The answer is 42 and no ", "[main]"])
      })
    )
  }

  it.effect("Q15: a switch back before it is done takes the name away again", () =>
    Effect.gen(function* () {
      const place = yield* world({ chat: "pull" })
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "long")
      const long = yield* agent.run(1)
      for (const text of ["/new work", "/session main"]) {
        const { seq } = yield* current.say("kim", text)
        yield* current.handle().ended(seq)
      }
      yield* long.finish("All done.")
      yield* rest(current, "chat/kim")
      const { replies } = yield* current.handle().page({ conversation: "kim" }, { after: 0, limit: 10 })
      assert.strictEqual(replies.at(-1)?.text, "All done.")
    })
  )
})
