// Q27: what was forgotten is nowhere in the store's files any more, as another process reads them, while the ledger
// balances and a repeat is still a repeat. A crash in between leaves work to the next boot, and no text.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { execFileSync } from "node:child_process"
import { readdirSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import * as Agent from "../src/Agent.ts"
import { Attachments } from "../src/Attachments.ts"
import { Attachment, Storage } from "../src/Message.ts"
import * as SessionData from "../src/SessionData.ts"
import { TestAgent } from "../src/testing/index.ts"
import { type Boot, boot, type BootOptions, meanwhile, rest, until, type World, world } from "./guarantees/boots.ts"

const Note = SessionData.make("acme/Note", Schema.String, { initial: "" })

/** Every file of the store, as another process reads it. */
const files = ({ file }: World): string =>
  readdirSync(dirname(file))
    .filter((name) => name.startsWith(basename(file)))
    .map((name) => execFileSync("cat", [join(dirname(file), name)], { maxBuffer: 1 << 28 }).toString("latin1"))
    .join("")

/** Answers `slow` when it is told to, everything else at once; keeps the last text, and forgets what it is told to. */
const rememberer = (failures = 0, stored = new Map<number, string>()) => {
  const asked: Array<{ readonly session: number; readonly kept: string | undefined }> = []
  let left = failures
  const agent = Agent.make({
    open: Effect.fnUntraced(function* (session) {
      return {
        answer: (turn) => {
          stored.set(session.id, turn.text)
          const kept = Stream.drain(Stream.fromEffect(session.keep(`kept of ${turn.text.slice(0, 20)}`)))
          const answer = turn.text.includes("slow") ? Stream.never : Stream.succeed(Agent.text(`re: ${turn.text}`))
          return Stream.concat(kept, answer)
        }
      }
    }),
    forget: (session, kept) =>
      Effect.suspend(() => {
        asked.push({ session: session.id, kept })
        if (left-- > 0) return Effect.fail(new Agent.AgentError({ reason: "Failed", cause: new Error("not now") }))
        stored.delete(session.id)
        return Effect.void
      })
  })
  return { agent, asked, stored }
}

type Rememberer = ReturnType<typeof rememberer>

const options = ({ agent }: Rememberer, more: BootOptions = {}): BootOptions => ({
  agent: { ...TestAgent.make(), agent },
  debounce: { quiet: 0 },
  ...more
})

/** Completes when the message has its end. */
const ends = (one: Boot, { seq }: { readonly seq: number }) =>
  meanwhile(Effect.repeat(one.handle().ended(seq), { until: (standing) => standing?.ended !== undefined }))

/** Much is said, in two sessions, with a turn that runs and messages that wait. */
const said = Effect.fnUntraced(function* (one: Boot, secret: string, who = "kim") {
  const texts = [
    `${secret} hello`,
    `${secret} long ${"and so on ".repeat(2000)}`,
    "/new work",
    `${secret} in the other one`
  ]
  for (const [index, text] of texts.entries()) {
    yield* one.say(who, text, `${who}${index}`)
    yield* rest(one, `chat/${who}`)
  }
  yield* one.gateway.post(`chat/${who}`, { id: "p1", text: `${secret} posted` })
  yield* rest(one, `chat/${who}`)
  yield* one.say(who, `${secret} slow`, `${who}8`)
  yield* one.say(who, `${secret} waits`, `${who}9`)
})

/** Attachments that are all there, and the names of those that were deleted. */
const filesThere = () => {
  const removed: Array<string> = []
  const attachments = Layer.succeed(
    Attachments,
    Attachments.of({
      put: () => Effect.fail(new Storage({ retryAfter: 1, cause: "not asked for" })),
      find: () => Effect.succeed(1),
      read: () => Effect.succeed(undefined),
      path: () => undefined,
      sweep: () => Effect.succeed([]),
      remove: (hashes) => Effect.sync(() => void removed.push(...hashes))
    })
  )
  return { attachments, removed }
}

describe("forgetting", () => {
  it.effect("Q27: texts, answers, values and what the agent stored are gone from the files; the ledger balances", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = rememberer()
      const one = yield* boot(place, options(agent))
      yield* said(one, "Geheimnis")
      yield* said(one, "Nachbar", "lee")
      yield* one.gateway.data("chat/kim", "work").set(Note, "Geheimnis of the host")
      assert.include(files(place), "Geheimnis")
      const report = yield* meanwhile(one.gateway.forget("chat/kim"))
      assert.deepStrictEqual(report, { sessions: 2, cancelled: 1, files: 0, left: [] })
      const raw = files(place)
      assert.notInclude(raw, "Geheimnis")
      assert.include(raw, "Nachbar")
      assert.deepStrictEqual(agent.asked, [
        { session: 1, kept: "kept of Geheimnis long and s" },
        { session: 2, kept: "kept of Geheimnis slow" }
      ])
      const { balanced, detail } = yield* one.gateway.audit
      assert.isTrue(balanced)
      assert.deepInclude(detail, { "cancelled(forget)": 2 })
      assert.notInclude(JSON.stringify([...agent.stored.values()]), "Geheimnis")
      // A client that repeats itself is told so, and is not asked what it had said.
      assert.deepInclude(yield* one.say("kim", "Geheimnis hello", "kim0"), { seq: 1, duplicate: true })
      // It goes on in a session without a past.
      yield* one.say("kim", "good morning", "kim10")
      yield* rest(one, "chat/kim")
      const [session] = (yield* one.gateway.sessions).filter(({ conversationKey }) => conversationKey === "chat/kim")
      assert.deepInclude(session, { name: "main", current: true, archived: false })
      assert.deepStrictEqual(
        yield* one.journal.history(session?.id ?? 0, { limit: 10 }).pipe(Effect.map((past) => past.length)),
        1
      )
      assert.isUndefined(yield* one.gateway.forget("chat/nobody"))
    })
  )

  it.effect("Q27: /forget asks first; /forget yes deletes what came before it, and what comes after is answered", () =>
    Effect.gen(function* () {
      const place = yield* world({ chat: "edit" })
      const agent = rememberer()
      const one = yield* boot(place, options(agent))
      yield* said(one, "Geheimnis")
      yield* ends(one, yield* one.say("kim", "/forget", "f1"))
      const hears = (text: string) => until(() => place.far["chat"]?.seen("kim").join().includes(text) === true)
      yield* hears("/forget yes does it.")
      assert.include(files(place), "Geheimnis")
      yield* one.say("kim", "/forget yes", "f2")
      yield* one.say("kim", "good morning", "kim20")
      yield* hears("Everything that was said here is deleted. 1 message that waited is cancelled.")
      yield* hears("re: good morning")
      yield* meanwhile(Effect.repeat(one.journal.pendingForgets, { until: (found) => found === undefined }))
      const raw = files(place)
      assert.notInclude(raw, "Geheimnis")
      assert.isTrue((yield* one.gateway.audit).balanced)
    })
  )

  it.effect("Q27 D4: an agent that fails to forget is asked again, by the next boot and then every hour", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = rememberer(2)
      const one = yield* boot(place, options(agent))
      yield* one.say("kim", "Geheimnis", "1")
      yield* rest(one, "chat/kim")
      const report = yield* meanwhile(one.gateway.forget("chat/kim"))
      assert.deepStrictEqual(report?.left, ['agent "main" failed'])
      assert.strictEqual(files(place).split("Geheimnis").length, 2, "only what the agent kept, to find it by")
      yield* one.crash
      const later = rememberer(1, agent.stored)
      const next = yield* boot(place, options(later))
      yield* until(() => later.asked.length === 1)
      assert.strictEqual(agent.stored.size, 1)
      yield* TestClock.adjust("1 hour")
      yield* meanwhile(Effect.repeat(next.journal.pendingForgets, { until: (found) => found === undefined }))
      assert.lengthOf(later.asked, 2)
      assert.strictEqual(agent.stored.size, 0)
      assert.notInclude(files(place), "Geheimnis")
    })
  )

  it.effect(
    "Q27: who asked may leave as soon as it is committed: the turn ends and the agent forgets all the same",
    () =>
      Effect.gen(function* () {
        const place = yield* world()
        const agent = rememberer()
        const one = yield* boot(place, options(agent))
        yield* said(one, "Geheimnis")
        const asking = yield* Effect.forkChild(one.gateway.forget("chat/kim"), { startImmediately: true })
        yield* meanwhile(Effect.repeat(one.journal.pendingForgets, { until: (found) => found !== undefined }))
        yield* Fiber.interrupt(asking)
        yield* meanwhile(Effect.repeat(one.journal.pendingForgets, { until: (found) => found === undefined }))
        assert.deepStrictEqual([...agent.stored], [])
        assert.notInclude(files(place), "Geheimnis")
      })
  )

  it.effect("Q27: replies that were on their way are given up, and nothing of them is sent or stored again", () =>
    Effect.gen(function* () {
      const place = yield* world()
      place.far["chat"]?.fatesOf("deliver", { throttle: 60_000, scope: "conversation" })
      const one = yield* boot(place, options(rememberer()))
      yield* one.say("kim", "Geheimnis", "1")
      yield* meanwhile(Effect.repeat(one.gateway.figures, { until: ({ replies }) => replies.pending === 1 }), {
        step: 10
      })
      yield* meanwhile(one.gateway.forget("chat/kim"))
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(place.far["chat"]?.seen("kim"), [])
      const { balanced, ends } = yield* one.gateway.audit
      assert.isTrue(balanced)
      assert.deepInclude(ends, { undeliverable: 1 })
      assert.notInclude(files(place), "Geheimnis")
    })
  )

  it.effect("Q27: files of attachments that nobody else refers to are deleted", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const { attachments, removed } = filesThere()
      const one = yield* boot(place, options(rememberer())).pipe(Effect.provide(attachments))
      const [own, shared] = ["a".repeat(64), "b".repeat(64)].map(
        (hash) => new Attachment({ hash, size: 1, type: "text/plain", name: "Geheimnis.txt" })
      )
      if (own === undefined || shared === undefined) return assert.fail("no files")
      const handle = one.handle()
      yield* handle.accept({ conversation: "kim", sender: "kim", text: "two", attachments: [own, shared] })
      yield* handle.accept({ conversation: "lee", sender: "lee", text: "one", attachments: [shared] })
      yield* rest(one, "chat/kim", "chat/lee")
      assert.deepInclude(yield* meanwhile(one.gateway.forget("chat/kim")), { files: 1 })
      assert.deepStrictEqual(removed, ["a".repeat(64)])
      assert.deepStrictEqual([...(yield* one.journal.attachments)], ["b".repeat(64)])
    })
  )

  it.effect("Q27: files go at once, and not when they may have been sent again: no agent is waited for", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const { attachments, removed } = filesThere()
      const kept = rememberer()
      const slow = { ...kept, agent: { ...kept.agent, forget: () => Effect.never } }
      const one = yield* boot(place, options(slow)).pipe(Effect.provide(attachments))
      for (const [who, hash] of [
        ["kim", "a".repeat(64)],
        ["lee", "b".repeat(64)]
      ] as const) {
        const file = new Attachment({ hash, size: 1, type: "text/plain", name: "a.txt" })
        yield* one.handle().accept({ conversation: who, sender: who, text: "file", attachments: [file] })
        yield* rest(one, `chat/${who}`)
        yield* Effect.forkChild(one.gateway.forget(`chat/${who}`))
      }
      for (let n = 0; n < 50; n++) yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(removed, ["a".repeat(64), "b".repeat(64)])
    })
  )

  it.effect("Q27: what retention had let go before, or was replaced, has left nothing in the files either", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = rememberer()
      const retention = { transcript: "1 hour", ledger: "9 days" } as const
      const one = yield* boot(place, options(agent, { journal: { retention } }))
      const data = one.gateway.data("chat/kim")
      for (const n of [1, 2, 3]) {
        yield* data.set(Note, `Geheimnis ${n} ${"and so on ".repeat(4000)}`)
        yield* one.say("kim", `Geheimnis ${n} ${"and so on ".repeat(3000 * n)}`, `${n}`)
        yield* rest(one, "chat/kim")
      }
      yield* ends(one, yield* one.say("kim", "/new", "4"))
      yield* TestClock.adjust("3 hours")
      yield* one.journal.compact
      yield* data.set(Note, "short")
      yield* meanwhile(one.gateway.forget("chat/kim"))
      assert.notInclude(files(place), "Geheimnis")
    })
  )

  it.effect("Q27: names of its sessions are gone from the reports of earlier stops as well", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const agent = rememberer()
      const one = yield* boot(place, options(agent))
      yield* ends(one, yield* one.say("kim", "/new Geheimnis", "1"))
      yield* one.say("kim", "slow", "2")
      yield* until(() => agent.stored.size === 1)
      yield* meanwhile(one.stop)
      assert.include(JSON.stringify(yield* one.gateway.stopped), "chat/kim#Geheimnis")
      const next = yield* boot(place, options(agent))
      assert.include(files(place), "chat/kim#Geheimnis")
      yield* meanwhile(next.gateway.forget("chat/kim"))
      assert.notInclude(files(place), "Geheimnis")
    })
  )

  it.effect("Q27: copies from before an upgrade are deleted, too", () =>
    Effect.gen(function* () {
      const place = yield* world()
      const one = yield* boot(place, options(rememberer()))
      yield* one.say("kim", "Geheimnis", "1")
      yield* rest(one, "chat/kim")
      writeFileSync(`${place.file}.before-1001`, "Geheimnis")
      yield* meanwhile(one.gateway.forget("chat/kim"))
      assert.notInclude(files(place), "Geheimnis")
    })
  )
})
