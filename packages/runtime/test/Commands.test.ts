// Commands from a person's side: they answer at once whatever runs, they reach only what came before them, and their
// effect is in the store with their reply. Questions of a turn are answered by a word, a number or a command.
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { Label } from "../src/internal/boundary.ts"
import { TestAgent } from "../src/testing/index.ts"
import { type Boot, boot, given, rest, type World, world } from "./guarantees/boots.ts"

/** What kim sees, without the sentence for those who wait. */
const seen = (place: World, peer = "kim") =>
  (place.far.chat?.seen(peer) ?? []).filter((text) => !text.startsWith("Got it."))

/** Says it and returns what is answered to it, while no time passes. */
const asked = Effect.fnUntraced(function* (current: Boot, text: string) {
  const at = yield* Clock.monotonicTimeNanos
  const { seq } = yield* current.say("kim", text)
  const standing = yield* current.handle().ended(seq)
  assert.strictEqual(yield* Clock.monotonicTimeNanos, at)
  return standing?.replies.map((reply) => reply.text).join() ?? ""
})

describe("/stop", () => {
  it.effect("Q7: cancels the turn, the open burst and the queue, tells the number, and nothing of it ever runs", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, debounce: { quiet: "300 millis" }, queue: { mode: "followup" } })
      yield* current.say("kim", "running")
      yield* TestClock.adjust("300 millis")
      const run = yield* agent.run(1)
      for (const text of ["queued 1", "queued 2"]) {
        yield* current.say("kim", text)
        yield* TestClock.adjust("300 millis")
      }
      yield* current.say("kim", "still typing")
      assert.strictEqual(yield* asked(current, "/stop"), "Stopped. 3 messages that waited are cancelled too.")
      assert.strictEqual(yield* run.over, "interrupted")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(given(agent), ["running"])
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { "cancelled(stop)": 4, command: 1 })
      assert.strictEqual(yield* asked(current, "/stop"), "There is nothing to stop.")
      yield* current.say("kim", "next")
      yield* TestClock.adjust("300 millis")
      yield* (yield* agent.run(2)).finish("fine")
      yield* rest(current, "chat/kim")
      assert.strictEqual(seen(place).at(-1), "fine")
    })
  )

  it.effect("Q7: a turn that waits for its next try is stopped too, and /retry brings it back", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "a")
      yield* (yield* agent.run(1)).fail()
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(yield* asked(current, "/stop"), "Stopped.")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(given(agent), ["a"])
      yield* current.say("kim", "/retry")
      yield* (yield* agent.run(2)).finish("A")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(seen(place), ["Stopped.", "Trying again with 1 message.", "A"])
    })
  )

  it.effect("Q7: an agent that takes its time to let go keeps nobody waiting but the next turn of its own", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "a")
      const run = yield* agent.run(1)
      assert.strictEqual(yield* asked(current, "/stop"), "Stopped.")
      yield* current.say("kim", "b")
      const second = yield* agent.run(2)
      assert.strictEqual(yield* run.over, "interrupted")
      yield* second.finish("B")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(agent.overlaps, [])
    })
  )
})

describe("/new and /session", () => {
  it.effect("Q8: /new without a name: nothing that waits leaks into the fresh one, all of it is cancelled", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent, debounce: { quiet: "300 millis" } })
      yield* current.say("kim", "running")
      yield* TestClock.adjust("300 millis")
      const run = yield* agent.run(1)
      yield* current.say("kim", "queued")
      yield* TestClock.adjust("300 millis")
      yield* current.say("kim", "typing")
      assert.strictEqual(yield* asked(current, "/new"), "A fresh start. 2 messages that waited are cancelled.")
      assert.strictEqual(yield* run.over, "interrupted")
      yield* current.say("kim", "fresh")
      yield* TestClock.adjust("300 millis")
      const fresh = yield* agent.run(2)
      assert.deepStrictEqual([fresh.turn.text, fresh.turn.session], ["fresh", "chat/kim"])
      yield* fresh.finish("hello")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { "cancelled(new)": 3, command: 1, replied: 1 })
      assert.deepStrictEqual(given(agent), ["running", "fresh"])
    })
  )

  it.effect("Q8: /new with a name and /session touch nothing that runs or waits, and answers find their chat", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      yield* current.say("kim", "main 1")
      const main = yield* agent.run(1)
      yield* current.say("kim", "main 2")
      yield* current.say("kim", "/new work")
      yield* current.say("kim", "work 1")
      const work = yield* agent.run(2)
      assert.deepStrictEqual([work.turn.text, work.turn.session], ["work 1", "chat/kim#work"])
      yield* current.say("kim", "/session main")
      // The name is taken: it goes back to what was said there, and says so.
      yield* current.say("kim", "/new work")
      yield* current.say("kim", "/new main")
      yield* current.say("kim", "main 3")
      yield* work.finish("W1")
      yield* main.finish("M1")
      const next = yield* agent.run(3)
      assert.deepStrictEqual([next.turn.text, next.turn.session], ["main 2\nmain 3", "chat/kim"])
      yield* next.finish("M2")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(seen(place), [
        'A fresh start: "work".',
        'This is "main" now.',
        'This is "work" now.',
        'This is "main" now.',
        "[work]\nW1",
        "M1",
        "M2"
      ])
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { command: 4, replied: 4 })
      assert.strictEqual(
        yield* asked(current, "/session nowhere"),
        'There is nothing called "nowhere". There is: work, main. /new nowhere starts it.'
      )
      // What a fresh start set aside has such a name; nobody can begin one.
      assert.strictEqual(
        yield* asked(current, "/session main~9"),
        'There is nothing called "main~9". There is: work, main.'
      )
      assert.match(yield* asked(current, "/session ../x"), /^"\.\.\/x" is not possible here/)
    })
  )

  it.effect("Q8: a name holds across a restart, and /stop concerns the current one only", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const first = yield* boot(place, { agent })
      yield* first.say("kim", "in main")
      const main = yield* agent.run(1)
      yield* first.say("kim", "/new work")
      yield* first.say("kim", "in work")
      const work = yield* agent.run(2)
      assert.strictEqual(yield* asked(first, "/stop"), "Stopped.")
      assert.strictEqual(yield* work.over, "interrupted")
      yield* main.finish("done")
      yield* rest(first, "chat/kim")
      assert.strictEqual(seen(place).at(-1), "[main]\ndone")
      yield* first.stop
      const second = yield* boot(place, { agent })
      yield* second.say("kim", "where am I")
      assert.strictEqual((yield* agent.run(3)).turn.session, "chat/kim#work")
    })
  )
})

describe("what is shown", () => {
  it.effect("Q9: /status answers while a turn is blocked: what it does, how long, what waits", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      assert.match(yield* asked(current, "/status"), /^main: idle\nnothing waits/)
      yield* current.say("kim", "a")
      const run = yield* agent.run(1)
      yield* run.emit({ _tag: "ToolStarted", id: "1", name: "make", sideEffects: false })
      yield* current.say("kim", "b")
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(
        yield* asked(current, "/status"),
        "main: running make, 2 min so far\n1 message waits\nwaits for tool make\nagent main"
      )
    })
  )

  it.effect(
    "Q14: /sessions: state, persona and agent, queue depth and last activity of each, the current one marked",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make()
        const current = yield* boot(place, {
          agent,
          agents: { coder: agent.agent },
          personas: { planner: { agent: "coder" } },
          session: { idleTimeout: "1 minutes" }
        })
        yield* current.say("kim", "a")
        yield* (yield* agent.run(1)).finish("A")
        yield* rest(current, "chat/kim")
        yield* TestClock.adjust("5 minutes")
        yield* current.say("kim", "/new plan planner")
        yield* current.say("kim", "b")
        yield* agent.run(2)
        yield* current.say("kim", "c")
        yield* current.say("kim", "/new broken")
        yield* current.say("kim", "d")
        yield* (yield* agent.run(3)).fail()
        yield* TestClock.adjust("1 millis")
        const lines = (yield* asked(current, "/sessions")).split("\n").sort()
        assert.deepStrictEqual(lines, [
          "  main, suspended, main, 0 waiting, active 5 min ago",
          "  plan, live, planner/coder, 1 waiting, active just now",
          "* broken, next try in 2 s, planner/coder, 0 waiting, active just now"
        ])
      })
  )

  it.effect("Q14: a session that has begun to work after a pause is active now", () =>
    Effect.gen(function* () {
      const agent = TestAgent.make()
      const current = yield* boot(yield* world(), { agent })
      yield* current.say("kim", "a")
      yield* (yield* agent.run(1)).finish("A")
      yield* rest(current, "chat/kim")
      yield* TestClock.adjust("5 minutes")
      yield* current.say("kim", "b")
      yield* agent.run(2)
      assert.strictEqual(yield* asked(current, "/sessions"), "* main, live, main, 0 waiting, active just now")
    })
  )

  it.effect("Q14: a host's list has the latest activity first, and nothing that runs in what was set aside", () =>
    Effect.gen(function* () {
      const agent = TestAgent.make({ answer: (turn) => turn.text })
      const current = yield* boot(yield* world(), { agent })
      for (const [peer, text] of [
        ["kim", "a"],
        ["ann", "b"],
        ["kim", "c"]
      ] as const) {
        yield* current.say(peer, text)
        yield* rest(current, `chat/${peer}`)
        yield* TestClock.adjust("1 minute")
      }
      const list = Effect.map(current.gateway.sessions, (rows) =>
        rows.map(({ archived, conversationKey, live, name }) =>
          [conversationKey, name, archived ? "archived" : "here", live?.state.name ?? "none"].join()
        )
      )
      assert.deepStrictEqual(yield* list, ["chat/kim,main,here,idle", "chat/ann,main,here,idle"])
      yield* current.say("ann", "/new")
      yield* rest(current, "chat/ann")
      assert.sameMembers(
        [...(yield* list)],
        ["chat/ann,main,here,none", "chat/ann,main~2,archived,none", "chat/kim,main,here,idle"]
      )
    })
  )

  it.effect(
    "Q13: /timeout shows and sets 1 to 120 minutes, refuses others, holds after a restart and from at once",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = TestAgent.make({ answer: (turn) => turn.text })
        const current = yield* boot(place, { agent })
        assert.strictEqual(yield* asked(current, "/timeout"), "I let go after 10 minutes without anything to do.")
        for (const wrong of ["0", "121", "-1", "1.5", "soon", "1e2"]) {
          assert.strictEqual(
            yield* asked(current, `/timeout ${wrong}`),
            `"${wrong}" is not possible here. Possible: 1 to 120 minutes.`
          )
        }
        yield* current.say("kim", "a")
        yield* rest(current, "chat/kim")
        yield* TestClock.adjust("3 minutes")
        assert.strictEqual(agent.open.size, 1)
        // Idle for three minutes already: it is over at once.
        assert.strictEqual(
          yield* asked(current, "/timeout 2"),
          "From now on I let go after 2 minutes without anything to do."
        )
        for (let tick = 0; tick < 100 && agent.open.size > 0; tick++) yield* Effect.yieldNow
        assert.strictEqual(agent.open.size, 0)
        yield* current.stop
        const later = yield* boot(place, { agent })
        assert.strictEqual(yield* asked(later, "/timeout"), "I let go after 2 minutes without anything to do.")
      })
  )

  it.effect("a command that there is not gets a hint and costs no turn; a path is no command", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = TestAgent.make()
      const current = yield* boot(place, { agent })
      assert.strictEqual(yield* asked(current, "/restart now"), "I don't know /restart. /help lists what I understand.")
      assert.match(yield* asked(current, "/help"), /^\/stop {2}cancel/)
      assert.match(yield* asked(current, "/STOP@sluice_bot"), /nothing to stop/)
      yield* current.say("kim", "/etc/passwd is a file")
      yield* (yield* agent.run(1)).finish("It is")
      yield* rest(current, "chat/kim")
      assert.deepStrictEqual(given(agent), ["/etc/passwd is a file"])
      assert.deepStrictEqual((yield* current.gateway.audit).detail, { command: 2, "command(unknown)": 1, replied: 1 })
    })
  )
})

describe("a store that is gone", () => {
  it.effect(
    "S8, D11: a command that it refused keeps nobody waiting who stops the gateway, and the next boot runs it",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const gone = (label: Label) =>
          label === "before:command" ? Effect.die(new Error("the disk is gone")) : Effect.void
        const first = yield* boot(place, { at: gone })
        yield* first.say("kim", "/queue followup")
        assert.strictEqual((yield* first.journal.failed).reason, "Storage")
        // Its scope ends with it, and no time passes meanwhile.
        const at = yield* Clock.monotonicTimeNanos
        assert.strictEqual((yield* first.stop).exitCode, 74)
        assert.strictEqual(yield* Clock.monotonicTimeNanos, at)

        const second = yield* boot(place)
        yield* rest(second, "chat/kim")
        assert.deepStrictEqual((yield* second.gateway.audit).detail, { command: 1 })
      })
  )
})
