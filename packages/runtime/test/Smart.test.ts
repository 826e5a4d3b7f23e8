// Q21: with /smart a long answer is sent as its beginning with all of it in a file. Nothing of it is lost: what the agent
// is given of its past, the transcript and the file have the whole, and where people get no files they get the answer.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Reply } from "../src/Message.ts"
import { beginning, shortLength } from "../src/internal/session/beginning.ts"
import { TestAgent, type TestChannel } from "../src/testing/index.ts"
import { Disk } from "./archives.ts"
import { type Boot, boot, lived, rest, type World, world } from "./guarantees/boots.ts"

const long = ["The short of it.", "```\n\ncode\n\n```", "and so on ".repeat(200), "the end"].join("\n\n")
const short = "The short of it.\n\n```\n\ncode\n\n```"

const agent = () => TestAgent.make({ answer: (turn) => (turn.text.startsWith("long") ? long : `re: ${turn.text}`) })

/** A far side that gets files. */
const withFiles = Effect.fnUntraced(function* (kind: TestChannel.TestClass = "keyed") {
  const place = yield* world({ chat: kind })
  const { chat } = place.far
  if (chat === undefined) return yield* Effect.die("no chat")
  return { ...place, far: { chat: { ...chat, channel: { ...chat.channel, files: true } } } } satisfies World
})

const told = Effect.fnUntraced(function* (one: Boot, ...texts: ReadonlyArray<string>) {
  for (const text of texts) {
    yield* one.say("kim", text)
    yield* rest(one, "chat/kim")
  }
})

const replies = (one: Boot): Effect.Effect<ReadonlyArray<Reply>> =>
  Effect.orDie(
    Effect.map(one.handle().page({ conversation: "kim" }, { after: 0, limit: 100 }), ({ replies }) => replies)
  )

const fileOf = (disk: Disk, reply: Reply | undefined) => disk.files.get(reply?.attachments?.[0]?.hash ?? "")

describe("Q21: /smart", () => {
  it.effect(
    "Q21: the beginning is sent with all of it as a file; what is remembered is the whole, over a restart",
    () =>
      Effect.gen(function* () {
        const [place, disk] = [yield* withFiles(), new Disk()]
        const first = yield* boot(place, { agent: agent() }).pipe(Effect.provide(disk.layer))
        yield* told(first, "long before", "/smart", "brief")
        yield* first.crash
        const next = yield* boot(place, { agent: agent() }).pipe(Effect.provide(disk.layer))
        yield* told(next, "long after", "/default", "long again")
        const said = yield* replies(next)
        assert.deepStrictEqual(
          said.map(({ text }) => text),
          [
            long,
            "From now on you see nothing but the answer: of a long one its beginning, and all of it as a file where I can send one.",
            "re: brief",
            short,
            "From now on you see the answer, and what I do while I work on it.",
            long
          ]
        )
        assert.deepStrictEqual(
          said.map((reply) => fileOf(disk, reply)),
          [undefined, undefined, undefined, long, undefined, undefined]
        )
        assert.deepInclude(said[3]?.attachments?.[0], { name: "answer-3.md", type: "text/markdown" })
        const past = yield* next.journal.history(1, { limit: 10 })
        assert.deepStrictEqual(
          past.map(({ answer }) => answer),
          [long, long, "re: brief", long]
        )
        const outline = yield* next.journal.outline(1)
        const { answer } = (yield* next.journal.said(outline?.seqs ?? []))[2] ?? {}
        assert.strictEqual(answer?.text, long)
      })
  )

  for (const kind of ["edit", "pull"] as const) {
    it.effect(`Q21, D33: on a channel of class ${kind} the reply that is seen has the file`, () =>
      Effect.gen(function* () {
        const [place, disk] = [yield* withFiles(kind), new Disk()]
        const one = yield* boot(place, { agent: agent() }).pipe(Effect.provide(disk.layer))
        yield* told(one, "/smart", "long")
        const [, reply] = yield* replies(one)
        assert.deepStrictEqual([reply?.text, fileOf(disk, reply)], [short, long])
        assert.strictEqual((yield* one.journal.history(1, { limit: 1 }))[0]?.answer, long)
      })
    )
  }

  it.effect("Q21: where people get no files, and where the file can't be written, they get all of the answer", () =>
    Effect.gen(function* () {
      const disk = new Disk()
      const plain = yield* boot(yield* world(), { agent: agent() }).pipe(Effect.provide(disk.layer))
      yield* told(plain, "/smart", "long")
      assert.strictEqual((yield* replies(plain))[1]?.text, long)
      assert.strictEqual(disk.files.size, 0)
      disk.broken = true
      const broken = yield* boot(yield* withFiles(), { agent: agent() }).pipe(Effect.provide(disk.layer))
      yield* told(broken, "/smart", "long")
      assert.strictEqual((yield* replies(broken))[1]?.text, long)
    })
  )

  for (const label of ["before:settle", "inside:settle", "after:settle"] as const) {
    it.effect(`Q21, D4: a crash at ${label} leaves one short answer, whose file is there`, () =>
      Effect.gen(function* () {
        const [place, disk] = [yield* withFiles(), new Disk()]
        yield* lived(
          place,
          { agent: agent(), grave: { label, nth: 1 } },
          Effect.fnUntraced(function* (one) {
            yield* told(one, "/smart")
            yield* one.say("kim", "long", "m1")
            return yield* Effect.never
          })
        ).pipe(Effect.provide(disk.layer))
        const next = yield* boot(place, { agent: agent() }).pipe(Effect.provide(disk.layer))
        yield* rest(next, "chat/kim")
        const answers = (yield* replies(next)).filter(({ kind }) => kind === "answer")
        assert.deepStrictEqual(
          answers.map((reply) => [reply.text, fileOf(disk, reply)]),
          [[short, long]]
        )
      })
    )
  }

  it.prop(
    "Q21: a beginning is one, is never empty or too long, and says it when it ends within a word",
    [Schema.Array(Schema.Literals(["word ", "\n", "\n\n", "```\n", "x".repeat(400), "\u{1f600}"]))],
    ([pieces]) => {
      const text = `a${pieces.join("").repeat(40)}`
      const begun = beginning(text)
      assert.isTrue(begun.isWellFormed())
      assert.isAbove(begun.trim().length, 0)
      assert.isAtMost(begun.length, shortLength)
      assert.isTrue(text.startsWith(begun.replace(/…$/, "")))
      if (text.length <= shortLength) assert.strictEqual(begun, text)
    }
  )
})
