/**
 * What people see beside and in the messages: an answer as it is written with a
 * button to stop it, questions with buttons, signs that come and go, a message that
 * rings after a long turn, files, and how long a wait that Slack asks for holds.
 *
 * Scenarios: Q7, Q19, W6
 */
import { assert, describe, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import { TestAgent } from "@sluice/runtime/testing"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { buttonsOf } from "../standIn/slack.ts"
import { boot, dm, kim, standIn, whileTimePasses } from "./world.ts"

describe("an answer that is being written", () => {
  it.effect("W6, Q7: shows in its placeholder with a button that stops it; the button goes with the turn", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.say(dm, "write")
          const run = yield* agent.run(1)
          yield* server.until(() => server.texts(dm).includes("…"))
          yield* run.emit(Agent.text("a **bold** beginning"))
          yield* server.until(() => server.texts(dm).includes("a *bold* beginning"))
          const [shown] = server.shown(dm)
          const [button] = buttonsOf(shown ?? { blocks: [] })
          assert.deepStrictEqual([button?.text.text, button?.value], ["Stop", "/stop"])
          // What an agent writes is read for no names, neither by the words of the message nor by those of its block.
          for (const { method, params } of server.calls.filter(({ method }) => method.startsWith("chat."))) {
            assert.strictEqual(params["parse"], "none", method)
          }
          assert.nestedPropertyVal(shown, "blocks[0].text.verbatim", true)
          yield* server.confirmed(server.press(dm, shown?.ts ?? "", "/stop"))
          assert.strictEqual(yield* run.over, "interrupted")
          yield* server.until(() => server.texts(dm).includes("Stopped."))
          yield* server.until(() => server.shown(dm).every((one) => buttonsOf(one).length === 0))
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("W6: a long one comes in parts of at most 4,000 characters, in order, escaped, in the thread", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      const lines = Array.from({ length: 400 }, (_, index) => `line ${index} of <something> & more`)
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.say("CROOM", "<@UBOT> write", { ts: "1700000001.000001" })
          const run = yield* agent.run(1)
          yield* run.finish(lines.join("\n"))
          yield* server.until(() => server.texts("CROOM").join("\n").includes("line 399"))
          const escaped = lines.join("\n").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
          assert.strictEqual(server.texts("CROOM").join("\n"), escaped)
          assert.isTrue(server.shown("CROOM").every(({ thread }) => thread === "1700000001.000001"))
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("a question", () => {
  it.effect("Q19, W6: has buttons; a press decides, once, and the buttons go", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.say(dm, "dangerous")
          const run = yield* agent.run(1)
          const decided = yield* Deferred.make<string | undefined>()
          yield* run.emit({
            _tag: "Permission",
            question: "Delete <all> of it?",
            options: ["Yes", "No"],
            respond: (option) => Effect.asVoid(Deferred.succeed(decided, option))
          })
          yield* server.until(() => server.shown(dm).some((one) => buttonsOf(one).length === 2))
          const question = server.shown(dm).find((one) => buttonsOf(one).length === 2)
          assert.strictEqual(question?.text, "Delete &lt;all&gt; of it?\n1. Yes\n2. No")
          const [, no] = buttonsOf(question ?? { blocks: [] })
          const pressed = server.press(dm, question?.ts ?? "", no?.value ?? "")
          assert.strictEqual(yield* Deferred.await(decided), "No")
          yield* server.confirmed(pressed)
          server.again(pressed)
          yield* server.confirmed(pressed)
          const isAsking = () => server.shown(dm).find(({ ts }) => ts === question?.ts)
          yield* server.until(() => buttonsOf(isAsking() ?? { blocks: [{}] }).length === 0)
          yield* run.finish("left alone")
          yield* server.until(() => server.texts(dm).includes("left alone"))
          const decisions = () => server.texts(dm).filter((text) => text === "All right: No.")
          yield* server.until(() => decisions().length > 0)
          assert.strictEqual(decisions().length, 1)
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  for (const delivery of ["edit", "plain"] as const) {
    it.effect(`Q19, W6: loses its buttons when it is answered in words, or its turn is over (${delivery})`, () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = TestAgent.make()
        const asking = (number: number) => server.shown(dm).find(({ text }) => text.startsWith(`Question ${number}?`))
        const buttons = (number: number) => buttonsOf(asking(number) ?? { blocks: [] }).length
        yield* boot(server, { agent, options: { delivery } }, () =>
          Effect.gen(function* () {
            const ask = Effect.fnUntraced(function* (number: number) {
              server.say(dm, `work ${number}`)
              const run = yield* agent.run(number)
              const decided = yield* Deferred.make<string | undefined>()
              yield* run.emit({
                _tag: "Permission",
                question: `Question ${number}?`,
                options: ["Yes", "No"],
                respond: (option) => Effect.asVoid(Deferred.succeed(decided, option))
              })
              yield* server.until(() => buttons(number) === 2)
              return { run, decided }
            })
            const first = yield* ask(1)
            server.say(dm, "yes")
            assert.strictEqual(yield* Deferred.await(first.decided), "Yes")
            yield* server.until(() => buttons(1) === 0)
            yield* first.run.finish("done")
            const second = yield* ask(2)
            server.say(dm, "!stop")
            yield* server.until(() => buttons(2) === 0)
            assert.strictEqual(yield* second.run.over, "interrupted")
            assert.isTrue(asking(2)?.text.includes("1. Yes"))
          })
        )
      }).pipe(Effect.scoped, whileTimePasses)
    )
  }
})

describe("signs", () => {
  it.effect("W6: a message is seen as received until it has its end", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          const said = server.say(dm, "hello")
          const run = yield* agent.run(1)
          const eyes = { channel: dm, timestamp: said, name: "eyes" }
          assert.deepStrictEqual((yield* server.called("reactions.add")).params, eyes)
          yield* run.finish("done")
          assert.deepStrictEqual((yield* server.called("reactions.remove")).params, eyes)
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect(
    "W6: an answer that was edited in after a minute is followed by one short message, a quick one by none",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = TestAgent.make()
        yield* boot(server, { agent, options: { reactions: false } }, () =>
          Effect.gen(function* () {
            server.say(dm, "quick")
            yield* (yield* agent.run(1)).finish("quick")
            yield* server.until(() => server.texts(dm).includes("quick"))
            server.say(dm, "slow")
            const run = yield* agent.run(2)
            yield* server.until(() => server.texts(dm).length === 2)
            yield* TestClock.adjust("61 seconds")
            yield* run.finish("slow")
            yield* server.until(() => server.texts(dm).includes("Done, see above."))
            assert.deepStrictEqual(
              server.texts(dm).filter((text) => !text.startsWith("Still on it")),
              ["quick", "slow", "Done, see above."]
            )
            assert.isFalse(server.calls.some(({ method }) => method.startsWith("reactions.")))
          })
        )
      }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("patience", () => {
  it.effect("W6: a wait that Slack asks for holds for that channel's messages, and nobody asks before its end", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      yield* boot(server, { options: { allow: [kim] } }, () =>
        Effect.gen(function* () {
          server.script("chat.postMessage", { refuse: "ratelimited", retryAfter: 300 })
          server.say(dm, "patient")
          yield* server.called("chat.postMessage")
          server.say("DOTHER", "quick")
          yield* server.until(() => server.texts("DOTHER").includes("quick"))
          assert.deepStrictEqual(server.texts(dm), [])
          const asked = () =>
            server.calls.filter(({ method, params }) => method === "chat.postMessage" && params["channel"] === dm)
          assert.strictEqual(asked().length, 1)
          yield* TestClock.adjust("301 seconds")
          yield* server.until(() => server.texts(dm).some((text) => text.includes("patient")))
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("W6: updates that have to wait hold up no new message, and none is asked for meanwhile", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.script("chat.update", { refuse: "ratelimited", retryAfter: 300 })
          server.say(dm, "one")
          yield* (yield* agent.run(1)).finish("first")
          yield* server.called("chat.update")
          server.say("DOTHER", "two")
          yield* (yield* agent.run(2)).finish("second")
          yield* server.until(() => server.texts("DOTHER").includes("…"))
          assert.strictEqual(server.calls.filter(({ method }) => method === "chat.update").length, 1)
          yield* TestClock.adjust("301 seconds")
          yield* server.until(() => server.texts(dm).includes("first") && server.texts("DOTHER").includes("second"))
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("what Slack refuses", () => {
  for (const error of ["is_archived", "channel_not_found", "msg_too_long", "a_word_of_next_year"]) {
    it.effect(`W6: ${error}: a dead letter with its reason, and the next answer comes`, () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        yield* boot(server, {}, (gateway) =>
          Effect.gen(function* () {
            server.otherwise("chat.postMessage", { refuse: error })
            yield* server.confirmed(server.say(dm, "lost"))
            yield* gateway.settled(`slack/${dm}`)
            server.otherwise("chat.postMessage", "answer")
            assert.deepInclude((yield* gateway.audit).ends, { undeliverable: 1 })
            server.say(dm, "found")
            yield* server.until(() => server.texts(dm).includes("found"))
          })
        )
        assert.deepStrictEqual(server.texts(dm), ["found"])
      }).pipe(Effect.scoped, whileTimePasses)
    )
  }

  for (const fate of [{ refuse: "invalid_auth" }, { refuse: "missing_scope" }, { status: 404 }] as const) {
    it.effect(
      `W6: ${"refuse" in fate ? fate.refuse : "a page of somebody else's"} holds the channel: nothing dies`,
      () =>
        Effect.gen(function* () {
          const server = yield* standIn()
          yield* boot(server, {}, (gateway) =>
            Effect.gen(function* () {
              server.otherwise("chat.postMessage", fate)
              server.say(dm, "kept")
              yield* server.called("chat.postMessage")
              yield* TestClock.adjust("1 hour")
              assert.deepInclude((yield* gateway.audit).ends, { undeliverable: 0 })
            })
          )
          server.otherwise("chat.postMessage", "answer")
        }).pipe(Effect.scoped, whileTimePasses)
    )
  }
})
