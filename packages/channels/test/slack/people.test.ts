/**
 * Who is heard and as whom: channels and their threads, mentions that are messages
 * too, edits and deletions, orders, strangers and the code that lets them in.
 *
 * Scenarios: Q25, Q26, W5, W6
 */
import { assert, describe, it } from "@effect/vitest"
import { TestAgent } from "@sluice/runtime/testing"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as TestClock from "effect/testing/TestClock"
import type { Json, StandIn } from "../standIn/slack.ts"
import { boot, dm, kim, standIn, whileTimePasses } from "./world.ts"

const room = "CROOM"
const lee = "ULEE"

/** A message that names the bot comes twice: as itself, and as the mention. */
const mention = (server: StandIn, text: string, more: Json = {}) => {
  const ts = server.say(room, text, more)
  const event = { type: "app_mention", user: kim, ts, channel: room, text, event_ts: ts, ...more }
  return { ts, mention: server.push(event) }
}

/** Somebody edits a message, as Slack tells it. */
const edited = (
  server: StandIn,
  channel: string,
  ts: string,
  before: string,
  text: string,
  version: string,
  more = {}
) =>
  server.push({
    type: "message",
    subtype: "message_changed",
    hidden: true,
    channel,
    channel_type: channel.startsWith("D") ? "im" : "channel",
    ts: version,
    message: { type: "message", user: kim, text, ts, edited: { user: kim, ts: version }, ...more },
    previous_message: { type: "message", user: kim, text: before, ts, ...more }
  })

const deletedOf = (server: StandIn, channel: string, ts: string, text: string) =>
  server.push({
    type: "message",
    subtype: "message_deleted",
    hidden: true,
    channel,
    channel_type: "im",
    ts: "1700000900.000001",
    deleted_ts: ts,
    previous_message: { type: "message", user: kim, text, ts }
  })

describe("channels", () => {
  it.effect("W6: a mention begins a thread, which is a conversation, and is one with its message", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, (gateway) =>
        Effect.gen(function* () {
          yield* server.confirmed(server.say(room, "nobody asked the bot"))
          const asked = mention(server, "<@UBOT> what is this? see <https://example.org|the page> &amp; <#C9|general>")
          const first = yield* agent.run(1)
          yield* server.confirmed(asked.ts)
          yield* server.confirmed(asked.mention)
          assert.strictEqual(first.turn.text, "what is this? see the page (https://example.org) & #general")
          assert.strictEqual(first.turn.conversation, `slack/${room}/${asked.ts}`)
          yield* first.finish("this is that")
          yield* server.until(() => server.texts(room).includes("this is that"))
          yield* gateway.settled(`slack/${room}/${asked.ts}`)
          server.say(room, "and that?", { thread_ts: asked.ts })
          const second = yield* agent.run(2)
          assert.strictEqual(second.turn.text, "and that?")
          yield* second.finish("that is this")
          yield* server.until(() => server.texts(room).includes("that is this"))
          const other = server.say(room, "not in a thread of the bot's", { thread_ts: "1600000000.000001" })
          yield* server.confirmed(other)
          assert.deepStrictEqual(
            server.shown(room).map(({ text, thread }) => [text, thread]),
            [
              ["this is that", asked.ts],
              ["that is this", asked.ts]
            ]
          )
          assert.deepInclude(yield* gateway.audit, { accepted: 2 })
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("W6: what is said to the bot alone is one conversation, a thread there another", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      yield* boot(server, {}, () =>
        Effect.gen(function* () {
          const first = server.say(dm, "outside")
          yield* server.until(() => server.texts(dm).includes("outside"))
          server.say(dm, "inside", { thread_ts: first })
          yield* server.until(() => server.texts(dm).includes("inside"))
          assert.deepStrictEqual(
            server.shown(dm).map(({ thread }) => thread),
            [undefined, first]
          )
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("Q26: a batch says who wrote what; bots, the bot itself and strangers are not in it", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent, options: { allow: [kim, lee] } }, (gateway) =>
        Effect.gen(function* () {
          const { ts } = mention(server, "<@UBOT> wait")
          const run = yield* agent.run(1)
          const within = { thread_ts: ts }
          yield* server.confirmed(server.say(room, "<@UBOT|sluice> one", within))
          yield* server.confirmed(server.say(room, "<@UBOT> two", { ...within, user: lee }))
          yield* server.confirmed(server.say(room, "<@UBOT> three", { ...within, user: "UNOBODY" }))
          yield* server.confirmed(server.say(room, "<@UBOT> four", { ...within, user: "UBOT", bot_id: "BBOT" }))
          yield* server.confirmed(server.say(room, "<@UBOT> five", { ...within, bot_id: "BOTHER" }))
          yield* server.confirmed(server.say(room, "<@UBOT> six", within))
          yield* run.finish("go on")
          const next = yield* agent.run(2)
          yield* next.finish("gone on")
          yield* gateway.settled(`slack/${room}/${ts}`)
          assert.deepStrictEqual(
            next.turn.messages.map(({ sender, text }) => [sender, text]),
            [
              [kim, "one"],
              [lee, "two"],
              [kim, "six"]
            ]
          )
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("W6: an order is written with another mark than the one that Slack keeps for itself", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, () =>
        Effect.gen(function* () {
          server.say(dm, "!whoami")
          yield* server.until(() => server.texts(dm).some((text) => text.includes(`"${kim}"`)))
          server.say(dm, " /whoami")
          yield* server.until(() => server.texts(dm).filter((text) => text.includes(`"${kim}"`)).length === 2)
          server.say(dm, "!important: !stop is a word")
          const run = yield* agent.run(1)
          assert.strictEqual(run.turn.text, "!important: !stop is a word")
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("edits and deletions", () => {
  it.effect("Q25: of a waiting message replaces it, of a running one follows, to a command does nothing", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, (gateway) =>
        Effect.gen(function* () {
          const one = server.say(dm, "first")
          const first = yield* agent.run(1)
          const two = server.say(dm, "secnod")
          yield* server.confirmed(two)
          // Slack unfurls a link, which is nobody's edit.
          const unfurled = { type: "message", user: kim, text: "secnod", ts: two, attachments: [{ id: 1 }] }
          const changed = { type: "message", subtype: "message_changed", channel: dm, ts: "1700000800.1" }
          yield* server.confirmed(server.push({ ...changed, message: unfurled, previous_message: unfurled }))
          yield* server.confirmed(edited(server, dm, two, "secnod", "second", "1700000800.000001"))
          yield* server.confirmed(edited(server, dm, one, "first", "first, better", "1700000800.000002"))
          yield* server.confirmed(edited(server, dm, two, "second", "!stop", "1700000800.000003"))
          yield* first.finish("one")
          const second = yield* agent.run(2)
          assert.strictEqual(second.turn.text, "second\nfirst, better")
          yield* second.finish("two")
          yield* gateway.settled(`slack/${dm}`)
          assert.deepInclude((yield* gateway.audit).ends, { replied: 3, superseded: 1, command: 0 })
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("Q25, W6: a message that was deleted while it waited is not answered, one that is being answered is", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, (gateway) =>
        Effect.gen(function* () {
          const one = server.say(dm, "first")
          const first = yield* agent.run(1)
          const two = server.say(dm, "second")
          yield* server.confirmed(two)
          const three = server.say(dm, "third")
          yield* server.confirmed(three)
          const deletion = deletedOf(server, dm, two, "second")
          yield* server.confirmed(deletion)
          server.again(deletion)
          yield* server.confirmed(deletion)
          yield* server.confirmed(deletedOf(server, dm, one, "first"))
          const own = { type: "message", user: "UBOT", bot_id: "BBOT", text: "…", ts: "1700000000.000900" }
          const ofOwn = { type: "message", subtype: "message_deleted", channel: dm, ts: "1700000901.1" }
          yield* server.confirmed(server.push({ ...ofOwn, deleted_ts: own.ts, previous_message: own }))
          yield* first.finish("one")
          const next = yield* agent.run(2)
          assert.strictEqual(next.turn.text, "third")
          yield* next.finish("two")
          yield* gateway.settled(`slack/${dm}`)
          const { balanced, ends } = yield* gateway.audit
          assert.deepInclude(ends, { replied: 2, cancelled: 1, command: 2 })
          assert.isTrue(balanced)
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("Q25, W6: in a channel one that takes the app's name out replaces what was heard, also a second time", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent, quiet: 60_000 }, (gateway) =>
        Effect.gen(function* () {
          const asked = "<@UBOT> secnod"
          const { ts } = mention(server, asked)
          yield* server.confirmed(ts)
          yield* server.confirmed(edited(server, room, ts, asked, "secnod, better", "1700000800.000001"))
          yield* server.confirmed(edited(server, room, ts, "secnod, better", "second", "1700000800.000002"))
          const other = server.say(room, "nobody asked the app")
          yield* server.confirmed(other)
          const nobody = edited(server, room, other, "nobody asked the app", "nobody at all", "1700000800.000003")
          yield* server.confirmed(nobody)
          yield* TestClock.adjust("60 seconds")
          const run = yield* agent.run(1)
          assert.strictEqual(run.turn.text, "second")
          yield* run.finish("done")
          yield* gateway.settled(`slack/${room}/${ts}`)
          assert.deepInclude((yield* gateway.audit).ends, { replied: 1, superseded: 2 })
          assert.strictEqual(agent.runs.length, 1)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.effect("Q25, W6: what is delivered behind what came after it is not said again: the newest version stands", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent, quiet: 60_000 }, (gateway) =>
        Effect.gen(function* () {
          // Slack keeps what it could not deliver, and tries each again by itself.
          const [one, two] = ["1700000001.000001", "1700000002.000001"]
          yield* server.confirmed(edited(server, dm, one, "secnod", "second", "1700000800.000002"))
          yield* server.confirmed(edited(server, dm, one, "helo", "secnod", "1700000800.000001"))
          yield* server.confirmed(server.say(dm, "helo", { ts: one }))
          yield* server.confirmed(deletedOf(server, dm, two, "never mind"))
          yield* server.confirmed(edited(server, dm, two, "never", "never mind", "1700000800.000003"))
          yield* server.confirmed(server.say(dm, "never", { ts: two }))
          yield* TestClock.adjust("60 seconds")
          const run = yield* agent.run(1)
          assert.strictEqual(run.turn.text, "second")
          yield* run.finish("done")
          yield* gateway.settled(`slack/${dm}`)
          const { accepted, ends } = yield* gateway.audit
          assert.strictEqual(accepted, 2)
          assert.deepInclude(ends, { replied: 1, command: 1 })
        })
      )
    }).pipe(Effect.scoped)
  )

  it.effect("Q25, W6: a message that leaves a stone with its thread is gone like any other", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent, quiet: 60_000 }, (gateway) =>
        Effect.gen(function* () {
          const said = server.say(dm, "never mind")
          yield* server.confirmed(said)
          const stone = {
            type: "message",
            subtype: "tombstone",
            user: "USLACKBOT",
            text: "This message was deleted.",
            ts: said
          }
          const changed = {
            type: "message",
            subtype: "message_changed",
            channel: dm,
            channel_type: "im",
            ts: "1700000900.1"
          }
          const before = { type: "message", user: kim, text: "never mind", ts: said }
          yield* server.confirmed(server.push({ ...changed, message: stone, previous_message: before }))
          assert.deepInclude((yield* gateway.audit).ends, { cancelled: 1, command: 1 })
          assert.strictEqual(agent.runs.length, 0)
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("strangers", () => {
  it.effect("W5: hear once that a code is needed and cost nothing; the right code lets in, once", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const paired: Array<string> = []
      let valid = "ABCD1234"
      const pairing = {
        paired: Effect.sync(() => paired.slice()),
        redeem: (code: string, id: string) =>
          Effect.sync(() => {
            if (code !== valid) return false
            paired.push(id)
            valid = ""
            return true
          }),
        redeemed: (code: string, id: string) => Effect.succeed(code === "ABCD1234" && paired.includes(id))
      }
      const hint = "I only talk to people that I know. If you were given a code, send it to me."
      const from = (user: string) => ({ user })
      yield* boot(server, { options: { pairing } }, (gateway) =>
        Effect.gen(function* () {
          server.say("DSTRANGER", "let me in", from("USTRANGER"))
          yield* server.until(() => server.texts("DSTRANGER").includes(hint))
          for (let guess = 0; guess < 8; guess++) {
            yield* server.confirmed(server.say("DSTRANGER", `GUESS00${guess}`, from("USTRANGER")))
          }
          // By now it has guessed too often, also with the right one.
          yield* server.confirmed(server.say("DSTRANGER", "ABCD1234", from("USTRANGER")))
          yield* server.confirmed(server.say(room, "<@UBOT> ABCD1234", from(lee)))
          assert.deepStrictEqual([server.texts("DSTRANGER"), server.texts(room)], [[hint], []])
          assert.strictEqual((yield* gateway.audit).accepted, 0)
          const code = server.say("DLEE", "abcd-1234", from(lee))
          yield* server.until(() => server.texts("DLEE").includes("Welcome! I'll answer you from now on."))
          server.again(code)
          yield* server.confirmed(code)
          server.say("DLEE", "hello", from(lee))
          yield* server.until(() => server.texts("DLEE").includes("hello"))
          yield* server.confirmed(server.say("DOTHER", "ABCD1234", from("UOTHER")))
          assert.deepStrictEqual(paired, [lee])
          assert.strictEqual((yield* gateway.audit).accepted, 1)
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect(
    "W5: the log says once whom to allow, and nothing of what they wrote; a button of theirs does nothing",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const lines: Array<readonly [level: string, id: unknown]> = []
        const all: Array<string> = []
        const logger = Logger.make(({ fiber, logLevel, message }) => {
          all.push(String(message))
          const { id } = fiber.getRef(References.CurrentLogAnnotations)
          if (/may not speak/.test(String(message))) lines.push([logLevel, id])
        })
        yield* boot(server, {}, (gateway) =>
          Effect.gen(function* () {
            yield* server.confirmed(server.say("DSTRANGER", "let me in", { user: "USTRANGER" }))
            yield* server.confirmed(server.say(room, "<@UBOT> please", { user: "USTRANGER" }))
            yield* server.confirmed(server.press(room, "1700000000.000001", "/stop", "USTRANGER"))
            assert.strictEqual((yield* gateway.audit).accepted, 0)
          })
        ).pipe(Effect.provide(Logger.layer([logger])))
        assert.deepStrictEqual(lines, [["Info", "USTRANGER"]])
        assert.notMatch(all.join("\n"), /let me in|please/)
      }).pipe(Effect.scoped)
  )
})
