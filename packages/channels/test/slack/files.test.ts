/**
 * Files both ways: on disk before their message is acknowledged, fetched from Slack's
 * own servers only, never a reason for a conversation to stand still; and a reply that
 * carries one is one message.
 *
 * Scenarios: D7, D33, Q24, Q25, W3, W4, W6
 */
import { assert, describe, it } from "@effect/vitest"
import { TestAgent } from "@sluice/runtime/testing"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import type { Fate, StandIn } from "../standIn/slack.ts"
import { boot, dm, kim, standIn, whileTimePasses } from "./world.ts"

const room = "CROOM"

const content = "the bytes of a picture"
const hash = createHash("sha256").update(content).digest("hex")

const deletedOf = (server: StandIn, channel: string, ts: string, text: string, more: object) =>
  server.push({
    type: "message",
    subtype: "message_deleted",
    channel,
    ts: "1700000900.000001",
    deleted_ts: ts,
    previous_message: { type: "message", user: kim, text, ts, ...more }
  })

describe("files", () => {
  it.live(
    "Q24, D33, W6: one joins the words that are being debounced; nothing is acknowledged before it is on disk",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = TestAgent.make()
        const gate = yield* Deferred.make<void>()
        yield* boot(server, { agent, quiet: 100 }, (gateway) =>
          Effect.gen(function* () {
            server.script("download", { gate })
            yield* server.confirmed(server.say(dm, "look at this"))
            const files = [server.file("../../etc/a\u202e b.png", content, "image/png")]
            const photo = server.say(dm, "here", { subtype: "file_share", files })
            yield* server.called("download")
            // What comes behind it in the same conversation waits for it, and its order stays.
            const behind = server.say(dm, "and this?")
            yield* server.until(() => server.deliveries(behind) > 0)
            assert.includeMembers([...server.unconfirmed()], [photo, behind])
            yield* Deferred.succeed(gate, undefined)
            yield* server.confirmed(photo)
            const run = yield* agent.run(1)
            assert.strictEqual(run.turn.text, "look at this\nhere")
            const stored = run.turn.messages.flatMap(({ attachments }) => attachments)
            assert.deepStrictEqual(
              stored.map(({ hash, name, size, type }) => ({ hash, name, size, type })),
              [{ hash, name: "etca b.png", size: content.length, type: "image/png" }]
            )
            yield* run.finish("nice")
            const next = yield* agent.run(2)
            assert.strictEqual(next.turn.text, "and this?")
            yield* next.finish("too")
            yield* gateway.settled(`slack/${dm}`)
          })
        )
      }).pipe(Effect.scoped)
  )

  it.live("W3, Q24, W6: one that a command is written to is kept: the command is done, then the file is said", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      yield* boot(server, { agent }, (gateway) =>
        Effect.gen(function* () {
          const files = [server.file("pic.png", content, "image/png")]
          const said = server.say(dm, "!new drafts", { subtype: "file_share", files })
          const run = yield* agent.run(1)
          yield* server.confirmed(said)
          server.again(said)
          yield* server.confirmed(said)
          assert.strictEqual(run.turn.session, `slack/${dm}#drafts`)
          assert.deepStrictEqual(
            run.turn.messages.map(({ attachments, text }) => [text, attachments.map((file) => file.hash)]),
            [["", [hash]]]
          )
          yield* run.finish("a nice picture")
          yield* server.until(() => server.texts(dm).includes("a nice picture"))
          yield* gateway.settled(`slack/${dm}`)
          assert.deepInclude(yield* gateway.audit, { accepted: 2, open: 0 })
          assert.strictEqual(agent.runs.length, 1)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live(
    "Q25, W6: of one conversation holds up no other, and a deletion behind it comes behind it, in a thread too",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = TestAgent.make()
        const gate = yield* Deferred.make<void>()
        yield* boot(server, { agent, quiet: 100 }, (gateway) =>
          Effect.gen(function* () {
            server.script("download", { gate }, { gate })
            const files = [server.file("large.bin", content)]
            const slow = server.say(room, "<@UBOT> look", { files })
            const thread_ts = "1600000000.000001"
            server.say(dm, "hello", { thread_ts })
            const first = yield* agent.run(1)
            const gone = server.say(dm, "and this", { files, thread_ts })
            yield* server.called("download", 2)
            const deletion = deletedOf(server, dm, gone, "and this", { thread_ts })
            // Somebody else's question in the room.
            yield* server.confirmed(server.say(room, "<@UBOT> quick"))
            const quick = yield* agent.run(2)
            assert.strictEqual(quick.turn.text, "quick")
            yield* quick.finish("yes")
            assert.includeMembers([...server.unconfirmed()], [slow, gone, deletion])
            yield* Deferred.succeed(gate, undefined)
            yield* server.confirmed(deletion)
            const looked = yield* agent.run(3)
            assert.strictEqual(looked.turn.text, "look")
            yield* looked.finish("nice")
            yield* first.finish("hello")
            yield* gateway.settled(`slack/${dm}/${thread_ts}`)
            yield* gateway.settled(`slack/${room}/${slow}`)
            const { balanced, ends } = yield* gateway.audit
            assert.deepInclude(ends, { replied: 3, cancelled: 1, command: 1 })
            assert.isTrue(balanced)
          })
        )
      }).pipe(Effect.scoped)
  )

  it.live(
    "W4, W6: one that is too large, gone, hidden, or kept by somebody else is told in words, without the token",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const stranger = yield* standIn()
        const agent = TestAgent.make()
        yield* boot(server, { agent, options: { fileLimit: 30 } }, (gateway) =>
          Effect.gen(function* () {
            const said = (n: number, file: object) =>
              Effect.gen(function* () {
                server.say(dm, "", { files: [file] })
                const run = yield* agent.run(n)
                yield* run.finish("ok")
                yield* gateway.settled(`slack/${dm}`)
                return run.turn.text
              })
            const huge = server.file("huge.bin", "x".repeat(31))
            assert.strictEqual(yield* said(1, huge), "[file: huge.bin, 31 bytes: too large to be fetched]")
            const grown = { ...server.file("grown.bin", "x".repeat(31)), size: 3 }
            assert.strictEqual(yield* said(2, grown), "[file: grown.bin, 3 bytes: too large to be fetched]")
            const elsewhere = stranger.file("theirs.txt", content)
            assert.strictEqual(yield* said(3, elsewhere), "[file: theirs.txt: could not be fetched]")
            const linked = { ...server.file("linked.txt", content), mode: "external" }
            assert.strictEqual(yield* said(4, linked), "[file: linked.txt: could not be fetched]")
            assert.strictEqual(
              yield* said(5, { id: "F9", mode: "hidden_by_limit" }),
              "[file: F9: could not be fetched]"
            )
            server.script("download", { status: 200 })
            assert.strictEqual(
              yield* said(6, server.file("page.txt", content)),
              "[file: page.txt: could not be fetched]"
            )
            server.script("download", { status: 404 })
            assert.strictEqual(
              yield* said(7, server.file("gone.txt", content)),
              "[file: gone.txt: could not be fetched]"
            )
            server.script("download", "drop", "drop", { status: 503 })
            assert.strictEqual(
              yield* said(8, server.file("lost.txt", content)),
              "[file: lost.txt: could not be fetched]"
            )
          })
        )
        assert.deepStrictEqual(stranger.calls, [])
      }).pipe(Effect.scoped)
  )
})

describe("files of replies", () => {
  const archive = (delivery: "edit" | "plain", method = "none", ...fates: ReadonlyArray<Fate>) =>
    Effect.gen(function* () {
      const server = yield* standIn()
      server.script(method, ...fates)
      yield* boot(server, { options: { delivery, reactions: false } }, (gateway) =>
        Effect.gen(function* () {
          server.say(dm, "remember this")
          yield* server.until(() => server.texts(dm).includes("remember this"))
          server.say(dm, "!archive")
          yield* server.until(() => server.texts(dm).some((text) => text.startsWith("Archived as")))
          yield* gateway.settled(`slack/${dm}`)
        })
      )
      return { server, shown: server.shown(dm).filter(({ text }) => text.startsWith("Archived as")) }
    }).pipe(Effect.scoped, whileTimePasses)

  for (const delivery of ["edit", "plain"] as const) {
    it.effect(`W6: a reply with a file is one message that carries it: ${delivery}`, () =>
      Effect.gen(function* () {
        const { server, shown } = yield* archive(delivery)
        assert.strictEqual(shown.length, 1)
        const [file, ...more] = shown[0]?.files ?? []
        assert.deepStrictEqual(more, [])
        assert.match(file?.name ?? "", /\.md$/)
        assert.include(file?.text ?? "", "remember this")
        assert.strictEqual((yield* server.called("upload")).params["authorization"], "")
      })
    )
  }

  for (const [method, fate] of [
    ["files.getUploadURLExternal", "lose-answer"],
    ["upload", "drop"],
    ["files.completeUploadExternal", "garbage"],
    ["files.getUploadURLExternal", { refuse: "ratelimited", retryAfter: 1 }]
  ] as const) {
    it.effect(
      `D7, W6: what is lost of ${method} (${JSON.stringify(fate)}) is done again, and the message is there once`,
      () =>
        Effect.gen(function* () {
          const { server, shown } = yield* archive("edit", method, fate)
          assert.strictEqual(shown.length, 1)
          assert.strictEqual(shown[0]?.files.length, 1)
          assert.isAtLeast(server.calls.filter((call) => call.method === method).length, 2)
        })
    )
  }

  for (const refuse of ["missing_scope", "file_upload_size_restricted"]) {
    it.effect(`W6: a file that is refused (${refuse}) is told by its name`, () =>
      Effect.gen(function* () {
        const { shown } = yield* archive("edit", "files.getUploadURLExternal", { refuse })
        assert.deepStrictEqual(shown[0]?.files, [])
        assert.match(shown[0]?.text ?? "", /\[file: .+\.md, \d+ bytes\]$/)
      })
    )
  }
})
