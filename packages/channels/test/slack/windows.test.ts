/**
 * Slack in front of the whole pipeline, over boots: what is said is committed before it
 * is acknowledged, what comes twice is one message, and each answer is there once,
 * whatever happens to the requests that carry it, and to the gateway meanwhile.
 *
 * Scenarios: D6, D7, D9, W6
 */
import { assert, describe, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import { TestAgent } from "@sluice/runtime/testing"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { StandIn } from "../standIn/slack.ts"
import { boot, dm, standIn, whileTimePasses } from "./world.ts"

describe("what comes in", () => {
  it.live("D9, W6: an event that comes again during the turn, after it and after a restart is one turn", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      const store = yield* boot.store
      const said = server.say(dm, "once")
      yield* boot(server, { agent, store }, () =>
        Effect.gen(function* () {
          const run = yield* agent.run(1)
          yield* server.confirmed(said)
          server.again(said)
          yield* server.confirmed(said)
          yield* run.finish("answered")
          yield* server.until(() => server.texts(dm).includes("answered"))
          server.again(said)
          yield* server.confirmed(said)
        })
      )
      server.again(said)
      yield* boot(server, { agent, store }, () =>
        Effect.gen(function* () {
          yield* server.confirmed(said)
          const other = server.say(dm, "another")
          yield* server.confirmed(other)
          yield* (yield* agent.run(2)).finish("answered too")
          yield* server.until(() => server.texts(dm).includes("answered too"))
        })
      )
      assert.deepStrictEqual(
        agent.runs.map(({ turn }) => turn.text),
        ["once", "another"]
      )
      assert.deepStrictEqual(server.texts(dm), ["answered", "answered too"])
    }).pipe(Effect.scoped)
  )
})

/** A boot that ends while this request is under way, and the one after it. */
const overBoots = Effect.fnUntraced(function* (
  method: string,
  fate: "hang" | "silence",
  delivery: "edit" | "plain" | "plain-hold"
) {
  const server = yield* standIn()
  const store = yield* boot.store
  const world = { store, options: { delivery } }
  server.script(method, fate)
  const said = server.say(dm, "hello")
  yield* boot(server, world, () => Effect.andThen(server.confirmed(said), server.called(method)))
  const before = server.texts(dm)
  yield* boot(server, world, (gateway) =>
    Effect.gen(function* () {
      if (delivery === "plain-hold") return yield* gateway.settled(`slack/${dm}`)
      yield* server.until(() =>
        server
          .texts(dm)
          .slice(before.length - (delivery === "edit" ? 1 : 0))
          .some((text) => text.includes("hello"))
      )
    })
  )
  return server.texts(dm)
})

describe("a boot that ends in the send window", () => {
  for (const [what, method, fate, seen] of [
    ["while the text is edited in", "chat.update", "hang", ["hello"]],
    ["while the text is edited in, which Slack never heard of", "chat.update", "silence", ["hello"]],
    ["while the placeholder is placed", "chat.postMessage", "hang", ["…", "hello"]],
    ["while the placeholder is placed, which Slack never heard of", "chat.postMessage", "silence", ["hello"]]
  ] as const) {
    it.effect(`D7, W6: edit, ${what}: the answer is there once`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* overBoots(method, fate, "edit"), seen)
      }).pipe(Effect.scoped, whileTimePasses)
    )
  }

  it.effect("D7, W6: plain: sent once more, marked", () =>
    Effect.gen(function* () {
      const [first, second = "", ...more] = yield* overBoots("chat.postMessage", "hang", "plain")
      assert.deepStrictEqual([first, more], ["hello", []])
      assert.match(second, /^\(You may have seen this before.*hello$/s)
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("D7, W6: plain-hold: shown once, and not sent again", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* overBoots("chat.postMessage", "hang", "plain-hold"), ["hello"])
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

/** A piece of an answer that is on its way to Slack, and gets there when the gate opens, whoever still waits for it. */
const straying = Effect.fnUntraced(function* (server: StandIn, agent: TestAgent.TestAgent) {
  const gate = yield* Deferred.make<void>()
  server.say(dm, "write")
  const run = yield* agent.run(1)
  yield* server.until(() => server.texts(dm).includes("…"))
  server.script("chat.update", { gate })
  yield* run.emit(Agent.text("a beginning"))
  yield* server.called("chat.update")
  return { gate, run }
})

/** The whole answer is shown, then what was on its way; in the end the answer stands. */
const overwritten = Effect.fnUntraced(function* (server: StandIn, gate: Deferred.Deferred<void>, whole: string) {
  yield* server.until(() => server.texts(dm).includes(whole))
  yield* Deferred.succeed(gate, undefined)
  yield* server.until(() => server.texts(dm).includes("a beginning"))
  yield* server.until(() => server.texts(dm).includes(whole))
  assert.deepStrictEqual(server.texts(dm), [whole])
})

describe("an update that arrives late", () => {
  it.effect("D7, W6: from a boot that has ended: the answer stands in the end", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      const store = yield* boot.store
      const { gate } = yield* boot(server, { agent, store }, () => straying(server, agent))
      yield* boot(server, { agent, store }, () =>
        Effect.gen(function* () {
          yield* (yield* agent.run(2)).finish("all of it")
          yield* overwritten(server, gate, "all of it")
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("D7, W6: that was given up: the answer stands in the end", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          const { gate, run } = yield* straying(server, agent)
          yield* run.finish(", all of it")
          yield* overwritten(server, gate, "a beginning, all of it")
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("what goes out", () => {
  for (const [what, fate] of [
    ["dropped", "drop"],
    ["answered after it was done, which nobody hears", "lose-answer"],
    ["answered by a web page", "garbage"],
    ["refused by an overloaded server", { status: 502 }],
    ["refused by Slack's own failure", { refuse: "internal_error" }],
    ["asked to wait", { refuse: "ratelimited", retryAfter: 1 }]
  ] as const) {
    it.effect(`D7, W6: an update that is ${what} is made again and shown once`, () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        yield* boot(server, { agent: TestAgent.echo() }, () =>
          Effect.gen(function* () {
            server.script("chat.update", fate)
            server.say(dm, "hello")
            yield* server.called("chat.update", 2)
            yield* server.until(() => server.texts(dm).includes("hello"))
          })
        )
        assert.deepStrictEqual(server.texts(dm), ["hello"])
      }).pipe(Effect.scoped, whileTimePasses)
    )
  }

  it.effect("W6: an answer whose placeholder somebody deleted is posted anew", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.say(dm, "hello")
          const run = yield* agent.run(1)
          yield* server.until(() => server.texts(dm).length === 1)
          server.remove(dm, server.shown(dm)[0]?.ts ?? "")
          yield* run.finish("here all the same")
          yield* server.until(() => server.texts(dm).includes("here all the same"))
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})
