/**
 * What people see beside and in the messages: an answer as it is written with a
 * button to stop it, questions with buttons, signs that come and go, a message that
 * rings after a long turn, and plain messages for those who want no placeholders.
 *
 * Scenarios: D7, Q7, Q19, Q20, W3
 */
import { assert, describe, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import { TestAgent } from "@sluice/runtime/testing"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { boot, kim, standIn, whileTimePasses } from "./world.ts"

const methods = (server: { readonly calls: ReadonlyArray<{ readonly method: string }> }, method: string) =>
  server.calls.filter((call) => call.method === method)

describe("an answer that is being written", () => {
  it.effect("W3, Q7: shows in its placeholder with a button that stops it; the button goes with the turn", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.say(kim, "write")
          const run = yield* agent.run(1)
          yield* server.until(() => server.texts(kim).includes("…"))
          yield* run.emit(Agent.text("a **bold** beginning"))
          yield* server.until(() => server.texts(kim).includes("a bold beginning"))
          const [shown] = server.shown(kim)
          assert.deepStrictEqual(shown?.buttons, [{ text: "Stop", callback_data: "/stop" }])
          assert.deepStrictEqual(shown?.entities, [{ type: "bold", offset: 2, length: 4 }])
          const pressed = server.press(kim, shown?.id ?? 0, "/stop")
          yield* server.confirmed(pressed)
          assert.strictEqual(yield* run.over, "interrupted")
          yield* server.until(() => server.texts(kim).includes("Stopped."))
          yield* server.until(() => server.shown(kim).every(({ buttons }) => buttons.length === 0))
          yield* server.called("answerCallbackQuery")
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("looks that are refused are left out, the words are there", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      yield* boot(server, {}, () =>
        Effect.gen(function* () {
          server.script("editMessageText", { refuse: 400, description: "Bad Request: can't parse entities: bad URL" })
          server.say(kim, "**as it is**")
          yield* server.until(() => server.texts(kim).includes("**as it is**"))
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("W3: a long one comes in parts, in order, each in a message of its own", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      const lines = Array.from({ length: 400 }, (_, index) => `line ${index} of something long enough`)
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.say(kim, "write")
          const run = yield* agent.run(1)
          yield* run.finish(lines.join("\n"))
          yield* server.until(() => server.texts(kim).join("\n").includes("line 399"))
          assert.deepStrictEqual(server.texts(kim).join("\n").split("\n"), lines)
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("a question", () => {
  it.effect("Q19: has buttons; a press decides, once, and the buttons go", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.say(kim, "dangerous")
          const run = yield* agent.run(1)
          const decided = yield* Deferred.make<string | undefined>()
          yield* run.emit({
            _tag: "Permission",
            question: "Delete all of it?",
            options: ["Yes", "No"],
            respond: (option) => Effect.asVoid(Deferred.succeed(decided, option))
          })
          yield* server.until(() => server.shown(kim).some(({ buttons }) => buttons.length === 2))
          const question = server.shown(kim).find(({ buttons }) => buttons.length === 2)
          assert.strictEqual(question?.text, "Delete all of it?\n1. Yes\n2. No")
          const pressed = server.press(kim, question?.id ?? 0, question?.buttons[1]?.callback_data ?? "")
          assert.strictEqual(yield* Deferred.await(decided), "No")
          yield* server.confirmed(pressed)
          server.again(pressed)
          yield* server.confirmed(pressed)
          assert.deepInclude((yield* server.called("editMessageReplyMarkup")).params, { message_id: question?.id })
          yield* run.finish("left alone")
          yield* server.until(() => server.texts(kim).includes("left alone"))
          assert.strictEqual(server.texts(kim).filter((text) => text.startsWith("All right")).length, 1)
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("Q19: loses its buttons when it is answered in words, and when its turn is over without an answer", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      const asking = (number: number) => server.shown(kim).find(({ text }) => text.startsWith(`Question ${number}?`))
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          const ask = Effect.fnUntraced(function* (number: number) {
            server.say(kim, `work ${number}`)
            const run = yield* agent.run(number)
            const decided = yield* Deferred.make<string | undefined>()
            yield* run.emit({
              _tag: "Permission",
              question: `Question ${number}?`,
              options: ["Yes", "No"],
              respond: (option) => Effect.asVoid(Deferred.succeed(decided, option))
            })
            yield* server.until(() => asking(number)?.buttons.length === 2)
            return { run, decided }
          })
          const first = yield* ask(1)
          server.say(kim, "yes")
          assert.strictEqual(yield* Deferred.await(first.decided), "Yes")
          yield* server.until(() => asking(1)?.buttons.length === 0)
          yield* first.run.finish("done")
          const second = yield* ask(2)
          server.say(kim, "/stop")
          yield* server.until(() => asking(2)?.buttons.length === 0)
          assert.strictEqual(yield* second.run.over, "interrupted")
          assert.isTrue(asking(2)?.text.includes("1. Yes"))
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("signs", () => {
  it.effect("a message is seen as received until it has its end; the menu has the commands", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          yield* server.called("setMyCommands")
          server.say(kim, "hello", { message_id: 77 })
          const run = yield* agent.run(1)
          const received = yield* server.called("setMessageReaction", 1)
          assert.deepInclude(received.params, { message_id: 77, reaction: [{ type: "emoji", emoji: "👀" }] })
          yield* run.finish("done")
          assert.deepInclude((yield* server.called("setMessageReaction", 2)).params, { message_id: 77, reaction: [] })
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("a message that an earlier boot has marked as received loses the mark with its answer", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      const store = yield* boot.store
      server.say(kim, "hello", { message_id: 77 })
      yield* boot(server, { agent, store }, () => Effect.andThen(agent.run(1), server.called("setMessageReaction")))
      yield* boot(server, { agent, store }, () =>
        Effect.gen(function* () {
          yield* (yield* agent.run(2)).finish("after all")
          yield* server.until(() => server.texts(kim).includes("after all"))
          const { params } = yield* server.called("setMessageReaction", 2)
          assert.deepInclude(params, { message_id: 77, reaction: [] })
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("an answer that was edited in after a minute is followed by one short message, a quick one by none", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.say(kim, "quick")
          yield* (yield* agent.run(1)).finish("quick")
          yield* server.until(() => server.texts(kim).includes("quick"))
          server.say(kim, "slow")
          const run = yield* agent.run(2)
          yield* server.until(() => server.texts(kim).length === 2)
          yield* TestClock.adjust("61 seconds")
          yield* run.finish("slow")
          yield* server.until(() => server.texts(kim).includes("Done, see above."))
          assert.deepStrictEqual(
            server.texts(kim).filter((text) => !text.startsWith("Still on it")),
            ["quick", "slow", "Done, see above."]
          )
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("plain messages", () => {
  it.effect("Q20: no placeholder; typing is shown while the turn runs and not after it", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent, options: { delivery: "plain" } }, () =>
        Effect.gen(function* () {
          server.say(kim, "hello")
          const run = yield* agent.run(1)
          yield* server.called("sendChatAction", 2)
          assert.deepStrictEqual(server.texts(kim), [])
          yield* run.finish("there")
          yield* server.until(() => server.texts(kim).includes("there"))
          const shown = methods(server, "sendChatAction").length
          yield* TestClock.adjust("20 seconds")
          server.say(kim, "/whoami")
          yield* server.until(() => server.texts(kim).length === 2)
          assert.isAtMost(methods(server, "sendChatAction").length, shown + 1)
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("D7: one whose answer is lost comes once more, marked", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      yield* boot(server, { options: { delivery: "plain" } }, () =>
        Effect.gen(function* () {
          server.script("sendMessage", "lose-answer")
          server.say(kim, "hello")
          yield* server.until(() => server.texts(kim).length === 2)
          const [first, second] = server.texts(kim)
          assert.strictEqual(first, "hello")
          assert.match(second ?? "", /^\(You may have seen this before[^]+hello$/)
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("patience", () => {
  it.effect("W3: a chat that has to wait does not hold up another one; nothing is lost", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      yield* boot(server, { options: { allow: [kim, 43] } }, () =>
        Effect.gen(function* () {
          server.script("sendMessage", {
            refuse: 429,
            description: "Too Many Requests",
            parameters: { retry_after: 300 }
          })
          server.say(kim, "patient")
          yield* server.called("sendMessage")
          server.say(43, "quick")
          yield* server.until(() => server.texts(43).includes("quick"))
          assert.deepStrictEqual(server.texts(kim), [])
          yield* TestClock.adjust("301 seconds")
          yield* server.until(() => server.texts(kim).some((text) => text.includes("patient")))
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})
