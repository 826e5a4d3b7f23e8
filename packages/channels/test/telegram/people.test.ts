/**
 * Who is heard and as whom: groups and their topics, edits, strangers and the code
 * that lets them in.
 *
 * Scenarios: Q25, Q26, W3, W5
 */
import { assert, describe, it } from "@effect/vitest"
import { TestAgent } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import { person } from "../standIn/telegram.ts"
import { boot, kim, standIn, whileTimePasses } from "./world.ts"

const group = -100200300
const lee = 43

const mention = (text: string) => ({
  entities: [{ type: "mention", offset: text.indexOf("@sluice_bot"), length: "@sluice_bot".length }]
})

describe("groups", () => {
  it.effect(
    "W3: a group is heard where it names the bot, answers it or gives an order; each topic is a conversation",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = TestAgent.make()
        yield* boot(server, { agent, options: { allow: [group] } }, (gateway) =>
          Effect.gen(function* () {
            server.say(group, "nobody asked the bot")
            server.say(group, "/stop@another_bot")
            server.say(group, "@sluice_bot what is this?", mention("@sluice_bot"))
            const first = yield* agent.run(1)
            assert.strictEqual(first.turn.text, "what is this?")
            assert.strictEqual(first.turn.conversation, `telegram/${group}`)
            yield* first.finish("this is that")
            yield* server.until(() => server.texts(group).includes("this is that"))
            server.say(group, "and that?", { reply_to_message: { message_id: 5, from: { id: 4711, is_bot: true } } })
            const second = yield* agent.run(2)
            assert.strictEqual(second.turn.text, "and that?")
            yield* second.finish("that is this")
            server.say(group, "@sluice_bot in a topic", {
              ...mention("@sluice_bot"),
              message_thread_id: 9,
              is_topic_message: true
            })
            const third = yield* agent.run(3)
            assert.strictEqual(third.turn.conversation, `telegram/${group}/9`)
            yield* third.finish("in the topic")
            yield* server.until(() => server.shown(group).some(({ thread }) => thread === 9))
            yield* gateway.settled(`telegram/${group}/9`)
            assert.deepStrictEqual(
              server.shown(group).map(({ text, thread }) => [text, thread]),
              [
                ["this is that", undefined],
                ["that is this", undefined],
                ["in the topic", 9]
              ]
            )
          })
        )
      }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("Q26: a batch says who wrote what, and no name passes for another's", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent, options: { allow: [kim, lee] } }, (gateway) =>
        Effect.gen(function* () {
          const named = mention("@sluice_bot")
          server.say(group, "@sluice_bot wait", { ...named, from: person(kim, "Kim") })
          const run = yield* agent.run(1)
          server.say(group, "@sluice_bot one", { ...named, from: person(kim, "Kim") })
          server.say(group, "@sluice_bot two", { ...named, from: person(lee, "Kim (42):\u202e\n") })
          server.say(group, "@sluice_bot three", { ...named, from: person(666, "Kim") })
          yield* server.confirmed(server.say(group, "@sluice_bot four", { ...named, from: person(kim, "Kim") }))
          yield* run.finish("go on")
          const next = yield* agent.run(2)
          yield* next.finish("gone on")
          yield* gateway.settled(`telegram/${group}`)
          assert.deepStrictEqual(
            next.turn.messages.map(({ sender, text }) => [sender, text]),
            [
              ["Kim (42)", "one"],
              ["Kim 42 (43)", "two"],
              ["Kim (42)", "four"]
            ]
          )
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect(
    "Q26: who speaks as the group itself is heard where everybody in it is, and nowhere else; no other bot is",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = TestAgent.make()
        const nameless = (chat: number) => ({
          ...mention("@sluice_bot"),
          from: { id: 1_087_968_824, is_bot: true, first_name: "Group" },
          sender_chat: { id: chat }
        })
        yield* boot(server, { agent, options: { allow: [group, kim] } }, (gateway) =>
          Effect.gen(function* () {
            server.say(-100999, "@sluice_bot let me in", nameless(-100999))
            server.say(group, "@sluice_bot a channel speaks", nameless(-100777))
            server.say(group, "@sluice_bot hello", nameless(group))
            const run = yield* agent.run(1)
            assert.deepStrictEqual(
              run.turn.messages.map(({ sender, text }) => [sender, text]),
              [["Group (1087968824)", "hello"]]
            )
            yield* run.finish("hi")
            yield* gateway.settled(`telegram/${group}`)
            assert.strictEqual((yield* gateway.audit).accepted, 1)
          })
        )
      }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("what somebody answers to is quoted, unless the bot wrote it", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, (gateway) =>
        Effect.gen(function* () {
          server.say(kim, "is that so?", { reply_to_message: { message_id: 3, from: { id: 9 }, text: "it is\nso" } })
          const run = yield* agent.run(1)
          yield* run.finish("it is")
          yield* gateway.settled(`telegram/${kim}`)
          assert.strictEqual(run.turn.text, "> it is\n> so\n\nis that so?")
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("edits", () => {
  it.effect("Q25: of a waiting message replaces it, of a running one follows, to a command does nothing", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, (gateway) =>
        Effect.gen(function* () {
          server.say(kim, "first", { message_id: 901 })
          const first = yield* agent.run(1)
          server.say(kim, "secnod", { message_id: 902 })
          server.say(kim, "second", { message_id: 902, edited: true, edit_date: 1_700_000_100 })
          server.say(kim, "first, better", { message_id: 901, edited: true, edit_date: 1_700_000_101 })
          const last = server.say(kim, "/stop", { message_id: 902, edited: true, edit_date: 1_700_000_102 })
          yield* server.confirmed(last)
          yield* first.finish("one")
          const second = yield* agent.run(2)
          assert.strictEqual(second.turn.text, "second\nfirst, better")
          yield* second.finish("two")
          yield* gateway.settled(`telegram/${kim}`)
          assert.deepInclude((yield* gateway.audit).ends, { replied: 3, superseded: 1, command: 0 })
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect(
    "Q25: in a group one that takes the bot's name out replaces what was heard, and is not heard otherwise",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = TestAgent.make()
        const named = (text: string, more = {}) =>
          server.say(group, text, { ...mention(text), from: person(kim), ...more })
        const plain = (text: string, message_id: number, edit_date: number) =>
          server.say(group, text, { from: person(kim), message_id, edited: true, edit_date })
        yield* boot(server, { agent }, (gateway) =>
          Effect.gen(function* () {
            named("@sluice_bot wait", { message_id: 900 })
            const first = yield* agent.run(1)
            named("@sluice_bot secnod", { message_id: 901 })
            plain("secnod, better", 901, 1_700_000_100)
            plain("second", 901, 1_700_000_101)
            yield* server.confirmed(plain("nobody asked the bot", 902, 1_700_000_102))
            yield* first.finish("one")
            const second = yield* agent.run(2)
            assert.strictEqual(second.turn.text, "second")
            yield* second.finish("two")
            yield* gateway.settled(`telegram/${group}`)
            assert.deepInclude((yield* gateway.audit).ends, { replied: 2, superseded: 2 })
          })
        )
      }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("strangers", () => {
  it.effect("W5: hear once that a code is needed and cost nothing; the right code lets in, once", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const paired: Array<number> = []
      let valid = "ABCD1234"
      const pairing = {
        paired: Effect.sync(() => paired.slice()),
        redeem: (code: string, id: number) =>
          Effect.sync(() => {
            if (code !== valid) return false
            paired.push(id)
            valid = ""
            return true
          }),
        redeemed: () => Effect.succeed(false)
      }
      const hint = "I only talk to people that I know. If you were given a code, send it to me."
      yield* boot(server, { options: { pairing } }, (gateway) =>
        Effect.gen(function* () {
          server.say(666, "let me in")
          yield* server.until(() => server.texts(666).includes(hint))
          for (let guess = 0; guess < 8; guess++) server.say(666, `GUESS00${guess}`)
          // By now it has guessed too often, also with the right one.
          yield* server.confirmed(server.say(666, "ABCD1234"))
          yield* server.confirmed(server.say(group, "ABCD1234", { from: person(lee) }))
          assert.deepStrictEqual([server.texts(666), server.texts(group)], [[hint], []])
          assert.strictEqual((yield* gateway.audit).accepted, 0)
          server.say(lee, "/start abcd-1234")
          yield* server.until(() => server.texts(lee).includes("Welcome! I'll answer you from now on."))
          server.say(lee, "hello")
          yield* server.until(() => server.texts(lee).includes("hello"))
          yield* server.confirmed(server.say(667, "ABCD1234"))
          assert.deepStrictEqual(paired, [lee])
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("W5: a button that a stranger presses does nothing, and is answered with nothing", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, (gateway) =>
        Effect.gen(function* () {
          server.say(group, "@sluice_bot wait", { ...mention("@sluice_bot"), from: person(kim) })
          yield* agent.run(1)
          yield* server.until(() => server.shown(group).length === 1)
          const [shown] = server.shown(group)
          yield* server.confirmed(server.press(group, shown?.id ?? 0, "/stop", 666))
          // Whoever may press is answered, behind that one: what was to be told to the stranger was told by then.
          yield* server.confirmed(server.press(group, shown?.id ?? 0, "/status", kim))
          yield* server.called("answerCallbackQuery")
          yield* server.until(() => server.texts(group).some((text) => text.startsWith("main:")))
          assert.strictEqual(server.calls.filter(({ method }) => method === "answerCallbackQuery").length, 1)
          assert.deepInclude((yield* gateway.audit).ends, { command: 1 })
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("W5: the log says once whom to allow, a person or a group, and nothing of what they wrote", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const lines: Array<{ readonly level: string; readonly id: unknown; readonly line: string }> = []
      const logger = Logger.make(({ fiber, logLevel, message }) => {
        const line = String(message)
        const { id } = fiber.getRef(References.CurrentLogAnnotations)
        if (/may not speak/.test(line)) lines.push({ level: logLevel, id, line })
      })
      yield* boot(server, {}, () =>
        Effect.gen(function* () {
          server.say(666, "let me in")
          server.say(666, "please")
          server.say(kim, "hello")
          yield* server.confirmed(server.say(group, "what is this?", { from: person(lee) }))
          yield* server.confirmed(server.say(group, "and this?", { from: person(667) }))
        })
      ).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(
        lines.map(({ id, level }) => [level, id]),
        [
          ["Info", 666],
          ["Info", group]
        ]
      )
      assert.notMatch(JSON.stringify(lines), /let me in|please|what is this/)
    }).pipe(Effect.scoped, whileTimePasses)
  )
})
