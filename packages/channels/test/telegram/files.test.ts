/**
 * Photos, documents, voice: on disk before their message is, within their limit, in
 * the order in which they came, and never a reason for a chat to stand still.
 *
 * Scenarios: D33, Q24, W3
 */
import { assert, describe, it } from "@effect/vitest"
import { TestAgent } from "@sluice/runtime/testing"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import type { Fate } from "../standIn/telegram.ts"
import { boot, kim, standIn, whileTimePasses } from "./world.ts"

const bytes = new TextEncoder().encode("the bytes of a picture")
const hash = createHash("sha256").update(bytes).digest("hex")

const photo = (id: string, size = bytes.length) => ({
  photo: [
    { file_id: `${id}-small`, width: 90, file_size: 3 },
    { file_id: id, width: 1280, file_size: size }
  ]
})

describe("files", () => {
  it.live(
    "Q24, D33: a photo joins the words that are being debounced; nothing is acknowledged before it is on disk",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn()
        const agent = TestAgent.make()
        server.files.set("pic", { bytes })
        const gate = yield* Deferred.make<void>()
        server.script("getFile", { gate })
        yield* boot(server, { agent, quiet: 60_000 }, (gateway) =>
          Effect.gen(function* () {
            server.say(kim, "look at this")
            const picture = server.say(kim, "", { ...photo("pic"), caption: "here" })
            const more = server.say(kim, "", { ...photo("pic"), caption: "and this?" })
            yield* server.called("getFile")
            assert.includeMembers([...server.unconfirmed()], [picture, more])
            assert.strictEqual((yield* gateway.audit).accepted, 1)
            yield* Deferred.succeed(gate, undefined)
            const run = yield* agent.run(1)
            assert.strictEqual(run.turn.text, "look at this\nhere")
            assert.deepStrictEqual(
              run.turn.messages.flatMap(({ attachments }) =>
                attachments.map(({ hash, name, size, type }) => ({ hash, name, size, type }))
              ),
              [{ hash, name: "photo.jpg", size: bytes.length, type: "image/jpeg" }]
            )
            yield* run.finish("nice")
            const next = yield* agent.run(2)
            assert.strictEqual(next.turn.text, "and this?")
            yield* next.finish("too")
            yield* gateway.settled(`telegram/${kim}`)
          })
        )
      }).pipe(Effect.scoped)
  )

  it.effect("D33: a crash while a file is fetched costs another fetch, and the message comes whole", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      const store = yield* boot.store
      server.files.set("doc", { bytes })
      server.script("download", "silence")
      const document = { file_id: "doc", file_name: "--../../etc/a\u202e b.txt", mime_type: "text/plain" }
      const update = server.say(kim, "read this", { document })
      yield* boot(server, { agent, store }, () =>
        server.until(() => server.calls.some(({ method }) => method === "download"))
      )
      assert.include(server.unconfirmed(), update)
      yield* boot(server, { agent, store }, () =>
        Effect.gen(function* () {
          const run = yield* agent.run(1)
          yield* run.finish("read")
          const [file] = run.turn.messages[0]?.attachments ?? []
          assert.deepInclude(file, { hash, name: "etca b.txt", type: "text/plain" })
        })
      )
      assert.strictEqual(agent.runs.length, 1)
    }).pipe(Effect.scoped, whileTimePasses)
  )

  it.effect("W3: a file that is too large, gone, or never comes is told in words, and the chat goes on", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      server.files.set("huge", { bytes, path: "too big" })
      server.files.set("grown", { bytes: new Uint8Array(2000) })
      server.files.set("lost", { bytes })
      server.otherwise("download", "answer")
      yield* boot(server, { agent, options: { fileLimit: 1000 } }, (gateway) =>
        Effect.gen(function* () {
          server.say(kim, "a", { document: { file_id: "told", file_name: "a.bin", file_size: 5_000_000 } })
          const first = yield* agent.run(1)
          assert.strictEqual(first.turn.text, "a\n[file: a.bin, 4.8 MiB: too large to be fetched]")
          yield* first.finish("a")
          server.say(kim, "", { voice: { file_id: "huge" } })
          const second = yield* agent.run(2)
          assert.strictEqual(second.turn.text, "[file: voice.ogg: too large to be fetched]")
          yield* second.finish("b")
          server.say(kim, "", { document: { file_id: "grown", file_size: 10 } })
          const third = yield* agent.run(3)
          assert.strictEqual(third.turn.text, "[file: application/octet-stream, 10 bytes: too large to be fetched]")
          yield* third.finish("c")
          server.script("download", "drop", "drop", "drop")
          server.say(kim, "", { document: { file_id: "lost", file_name: "lost.txt" } })
          const fourth = yield* agent.run(4)
          assert.strictEqual(fourth.turn.text, "[file: lost.txt: could not be fetched]")
          yield* fourth.finish("d")
          const last = server.say(kim, "", { sticker: { emoji: "👍" } })
          yield* server.confirmed(last)
          const fifth = yield* agent.run(5)
          assert.strictEqual(fifth.turn.text, "👍")
          yield* fifth.finish("e")
          yield* gateway.settled(`telegram/${kim}`)
        })
      )
    }).pipe(Effect.scoped, whileTimePasses)
  )
})

describe("a file whose caption is a command", () => {
  it.live("W3, Q24: is kept: the command is done, then the file is a message of its own, once over repeats", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const agent = TestAgent.make()
      server.files.set("pic", { bytes })
      yield* boot(server, { agent }, (gateway) =>
        Effect.gen(function* () {
          const update = server.say(kim, "", { ...photo("pic"), caption: "/new drafts" })
          const run = yield* agent.run(1)
          yield* server.confirmed(update)
          server.again(update)
          yield* server.confirmed(update)
          assert.strictEqual(run.turn.session, `telegram/${kim}#drafts`)
          assert.deepStrictEqual(
            run.turn.messages.map(({ attachments, text }) => [text, attachments.map((file) => file.hash)]),
            [["", [hash]]]
          )
          yield* run.finish("a nice picture")
          yield* server.until(() => server.texts(kim).includes("a nice picture"))
          yield* gateway.settled(`telegram/${kim}`)
          assert.deepInclude(yield* gateway.audit, { accepted: 2, open: 0 })
          assert.strictEqual(agent.runs.length, 1)
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("files of replies", () => {
  const archive = (delivery: "edit" | "plain", ...fates: ReadonlyArray<Fate>) =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const method = delivery === "edit" ? "editMessageMedia" : "sendDocument"
      server.script(method, ...fates)
      yield* boot(server, { options: { delivery } }, (gateway) =>
        Effect.gen(function* () {
          server.say(kim, "remember this")
          yield* server.until(() => server.texts(kim).includes("remember this"))
          server.say(kim, "/archive")
          yield* server.until(() => server.texts(kim).some((text) => text.startsWith("Archived as")))
          // What is lost or dropped is tried again.
          yield* server.called(method, fates.filter((fate) => typeof fate === "string").length + 1)
          yield* gateway.settled(`telegram/${kim}`)
        })
      )
      return { server, shown: server.shown(kim).filter(({ text }) => text.startsWith("Archived as")) }
    }).pipe(Effect.scoped, whileTimePasses)

  for (const delivery of ["edit", "plain"] as const) {
    it.effect(`W3: a reply with a file is one message that carries it: ${delivery}`, () =>
      Effect.gen(function* () {
        const { shown } = yield* archive(delivery)
        assert.strictEqual(shown.length, 1)
        assert.match(shown[0]?.file?.name ?? "", /\.md$/)
        assert.include(shown[0]?.file?.text ?? "", "remember this")
      })
    )
  }

  it.effect("D7: one whose answer is lost is edited in again, and is there once", () =>
    Effect.gen(function* () {
      const { server, shown } = yield* archive("edit", "lose-answer", "drop")
      assert.strictEqual(shown.length, 1)
      assert.isDefined(shown[0]?.file)
      assert.strictEqual(server.calls.filter(({ method }) => method === "editMessageMedia").length, 3)
    })
  )

  it.effect("W3: a file that is refused is told by its name", () =>
    Effect.gen(function* () {
      const { shown } = yield* archive("edit", { refuse: 413, description: "Request Entity Too Large" })
      assert.isUndefined(shown[0]?.file)
      assert.match(shown[0]?.text ?? "", /\[file: .+\.md, \d+ bytes\]$/)
    })
  )
})
