/**
 * Telegram in front of the whole pipeline: what is said is committed before it is
 * acknowledged, what comes twice is one message, strangers cost nothing, and each
 * answer is there once, whatever happens to the requests that carry it.
 *
 * Scenarios: D7, D9, W3, W5
 */
import { assert, describe, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import { TestAgent } from "@sluice/runtime/testing"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { person } from "../standIn/telegram.ts"
import { boot, kim, standIn, whileTimePasses } from "./world.ts"

describe("what comes in", () => {
  it.live("D9: an update that comes again during the turn, after it and after a restart is one turn", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      const store = yield* boot.store
      const update = server.say(kim, "once")
      yield* boot(server, { agent, store }, () =>
        Effect.gen(function* () {
          const run = yield* agent.run(1)
          yield* server.confirmed(update)
          server.again(update)
          yield* server.confirmed(update)
          yield* run.finish("answered")
          yield* server.until(() => server.texts(kim).includes("answered"))
          server.again(update)
          yield* server.confirmed(update)
        })
      )
      server.again(update)
      yield* boot(server, { agent, store }, () =>
        Effect.gen(function* () {
          yield* server.confirmed(update)
          const other = server.say(kim, "another")
          yield* server.confirmed(other)
          yield* (yield* agent.run(2)).finish("answered too")
          yield* server.until(() => server.texts(kim).includes("answered too"))
        })
      )
      assert.deepStrictEqual(
        agent.runs.map(({ turn }) => turn.text),
        ["once", "another"]
      )
      assert.deepStrictEqual(server.texts(kim), ["answered", "answered too"])
    }).pipe(Effect.scoped)
  )

  it.live("W3, W5: a malformed update costs only itself, and strangers are not heard", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      yield* boot(server, {}, () =>
        Effect.gen(function* () {
          server.push({ message: { message_id: "seven", chat: {}, date: [] } })
          server.push({ message: 12 })
          server.push({ brand_new_kind: { a: 1 } })
          server.say(666, "let me in")
          server.say(-100, "let me in here", { from: person(666) })
          const last = server.say(kim, "hello", { a_field_of_next_year: { deep: [1] } })
          yield* server.confirmed(last)
          yield* server.until(() => server.texts(kim).includes("hello"))
          assert.deepStrictEqual(server.unconfirmed(), [])
          assert.deepStrictEqual([server.texts(666), server.texts(-100)], [[], []])
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("what goes out", () => {
  for (const [what, fate] of [
    ["dropped", "drop"],
    ["answered after it was done, which nobody hears", "lose-answer"],
    ["answered by a web page", "garbage"],
    ["refused by an overloaded server", { refuse: 502, description: "Bad Gateway" }],
    [
      "asked to wait",
      { refuse: 429, description: "Too Many Requests: retry after 1", parameters: { retry_after: 0.01 } }
    ]
  ] as const) {
    it.effect(`D7: an edit that is ${what} is sent again and shown once`, () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        yield* boot(server, { agent: TestAgent.echo() }, () =>
          Effect.gen(function* () {
            server.script("editMessageText", fate)
            server.say(kim, "hello")
            yield* server.called("editMessageText", 2)
            yield* server.until(() => server.texts(kim).includes("hello"))
          })
        )
        assert.deepStrictEqual(server.texts(kim), ["hello"])
      }).pipe(Effect.scoped, whileTimePasses)
    )
  }

  it.effect("D7: a placeholder whose answer is lost is placed again: one orphan, one answer", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      yield* boot(server, { agent: TestAgent.echo() }, () =>
        Effect.gen(function* () {
          server.script("sendMessage", "lose-answer")
          server.say(kim, "hello")
          yield* server.until(() => server.texts(kim).includes("hello"))
        })
      )
      assert.deepStrictEqual(server.texts(kim), ["…", "hello"])
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("D7: an edit of an earlier boot that arrives late does not stand: the answer is edited in once more", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      const store = yield* boot.store
      const gate = yield* Deferred.make<void>()
      yield* boot(server, { agent, store }, () =>
        Effect.gen(function* () {
          server.say(kim, "write")
          const run = yield* agent.run(1)
          yield* server.until(() => server.texts(kim).includes("…"))
          server.script("editMessageText", { gate })
          yield* run.emit(Agent.text("a beginning"))
          yield* server.called("editMessageText")
        })
      )
      yield* boot(server, { agent, store }, () =>
        Effect.gen(function* () {
          yield* (yield* agent.run(2)).finish("all of it")
          yield* server.until(() => server.texts(kim).includes("all of it"))
          yield* Deferred.succeed(gate, undefined)
          yield* server.until(() => server.texts(kim).includes("a beginning"))
          yield* server.until(() => server.texts(kim).includes("all of it"))
          assert.deepStrictEqual(server.texts(kim), ["all of it"])
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("an answer whose placeholder somebody deleted is sent anew", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.say(kim, "hello")
          const run = yield* agent.run(1)
          yield* server.until(() => server.texts(kim).length === 1)
          server.remove(kim, server.shown(kim)[0]?.id ?? 0)
          yield* run.finish("here all the same")
          yield* server.until(() => server.texts(kim).includes("here all the same"))
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})
