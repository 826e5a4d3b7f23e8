/**
 * Q15 at the store: what came in between the export and its commit makes a session
 * busy; the files of replies are known to the sweep exactly as long as somebody may
 * still ask for them; and what was archived is kept from the archiving on.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Attachment } from "../../src/Message.ts"
import {
  answer,
  type Boot,
  bootFile,
  bootMemory,
  claimed,
  done,
  kim,
  lee,
  message,
  outside,
  places,
  pull,
  push,
  settle,
  storeFile
} from "./harness.ts"

const day = 86_400_000
const file = (sign: string) =>
  new Attachment({ hash: sign.repeat(64), size: 7, type: "text/markdown", name: "../x\u202e.md" })

const turn = Effect.fnUntraced(function* (boot: Boot, text: string) {
  const { seq } = yield* boot.journal.admit(message(text, { id: text }))
  yield* settle(boot, yield* claimed(boot, [seq]), done(`re: ${text}`))
  return seq
})

const archive = Effect.fnUntraced(function* (boot: Boot, session: number, upTo: number, sign = "a") {
  const { seq } = yield* boot.journal.admit(message("/archive", { command: true }))
  const action = { _tag: "Archive", session, upTo, file: file(sign) } as const
  return yield* boot.journal.command(seq, action, pull, ({ archived, busy }) => [archived?.name ?? `busy ${busy}`])
})

const switchTo = Effect.fnUntraced(function* (boot: Boot, name: string) {
  const { seq } = yield* boot.journal.admit(message(`/session ${name}`, { command: true }))
  return yield* boot.journal.command(seq, { _tag: "Switch", name }, pull, () => ["ok"])
})

describe("archives", () => {
  it.effect("Q15: a turn that came and went since the export was read makes it busy, and nothing is archived", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* turn(boot, "one")
      const read = yield* boot.journal.outline(1)
      assert.deepStrictEqual([read?.seqs, read?.busy], [[1], false])
      yield* turn(boot, "two")
      const outcome = yield* archive(boot, 1, read?.upTo ?? 0)
      assert.deepInclude(outcome, { busy: true, archived: undefined })
      // What was busy when the export would have been read is done now, and was not exported.
      assert.deepInclude(yield* archive(boot, 1, -1), { busy: true, archived: undefined })
      assert.isFalse((yield* boot.journal.session(1))?.archived)
      assert.deepStrictEqual([...(yield* boot.journal.attachments)], [], "no reply refers to the file")
      // Others' messages are nobody's business here.
      const again = yield* boot.journal.outline(1)
      yield* boot.journal.admit(message("hello", { address: lee }))
      assert.strictEqual((yield* archive(boot, 1, again?.upTo ?? 0))?.archived?.name, "main-1970-01-01")
    })
  )

  it.effect("Q15: an outline has the newest of a long session, and none is there of what was forgotten", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      for (const text of ["one", "two"]) yield* turn(boot, text)
      yield* boot.journal.admit(message("waits"))
      assert.deepInclude(yield* boot.journal.outline(1), { seqs: [1, 2, 3], isCut: false, busy: true })
      const said = yield* boot.journal.said([2, 3])
      assert.deepStrictEqual(
        said.map(({ answer, ended, row }) => [row.text, ended?.ending, answer?.text]),
        [
          ["two", "replied", "re: two"],
          ["waits", undefined, undefined]
        ]
      )
      yield* boot.journal.forget({ _tag: "Conversation", address: kim, placeholder: undefined })
      assert.isUndefined(yield* boot.journal.outline(1))
      assert.isUndefined((yield* archive(boot, 1, 99))?.archived)
    })
  )

  it.effect("Q15: two archives of a day have names of their own, and the host's data of the main one goes on", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      yield* turn(boot, "one")
      yield* boot.journal.keep(1, "data/note", () => "kept")
      yield* archive(boot, 1, 99)
      const second = (yield* boot.journal.conversation("http/kim"))?.session ?? 0
      assert.strictEqual(yield* boot.journal.value(second, "data/note"), "kept")
      const { archived, session } = (yield* archive(boot, second, 99, "b")) ?? {}
      assert.strictEqual(archived?.name, "main-1970-01-01-2")
      assert.deepInclude(session, { name: "main", current: true, archived: false })
    })
  )

  it.effect(
    "Q15: what is archived is kept from then on, comes back while it is, and says so when nothing is left",
    () =>
      Effect.gen(function* () {
        const boot = yield* bootMemory({ retention: { transcript: 10 * day, ledger: 10 * day } })
        yield* turn(boot, "old")
        yield* TestClock.adjust(20 * day)
        yield* archive(boot, 1, 99)
        yield* TestClock.adjust(9 * day)
        yield* boot.journal.compact
        const name = "main-1970-01-21"
        assert.deepInclude(yield* switchTo(boot, name), { emptied: false, missing: false })
        assert.strictEqual((yield* boot.journal.history(1, { limit: 1 }))[0]?.answer, "re: old")
        yield* switchTo(boot, "main")
        const again = yield* archive(boot, 1, 99)
        assert.strictEqual(again?.archived?.name, name)
        yield* TestClock.adjust(11 * day)
        yield* boot.journal.compact
        assert.deepInclude(yield* switchTo(boot, name), { emptied: true, missing: false })
        assert.isTrue((yield* boot.journal.reads.ledger).balanced)
      })
  )
})

describe("files of replies", () => {
  it.effect(
    "D33: a reply's files are in its transaction, on its last part, and the sweep knows them after a restart",
    () =>
      Effect.gen(function* () {
        const store = yield* storeFile
        const first = yield* bootFile(store)
        const { seq } = yield* first.journal.admit(message("one"))
        const replies = [{ ...answer("begins", "ends"), attachments: [file("a")] }]
        yield* settle(first, yield* claimed(first, [seq]), { _tag: "Done", replies })
        yield* first.end
        const next = yield* bootFile(store)
        assert.deepStrictEqual([...(yield* next.journal.attachments)], ["a".repeat(64)])
        const { replies: page } = yield* next.journal.page("http/kim", 0, 10)
        assert.deepStrictEqual(
          page.map(({ attachments }) => attachments?.map(({ name }) => name)),
          [undefined, ["../x\u202e.md"]]
        )
      })
  )

  it.effect("Q21, Q27: all of an answer that was sent short goes with its texts, by retention and by forgetting", () =>
    Effect.gen(function* () {
      const store = yield* storeFile
      const boot = yield* bootFile(store, { retention: { transcript: 10 * day } })
      for (const address of [kim, lee]) {
        const { seq } = yield* boot.journal.admit(message("one", { address }))
        const replies = [{ ...answer("begins"), attachments: [file("a")], whole: "begins and ends" }]
        yield* settle(boot, yield* claimed(boot, [seq]), { _tag: "Done", replies })
      }
      const look = yield* outside(store)
      const wholes = () => look.prepare("select count(*) as n from sluice_replies where whole is not null").get()?.n
      assert.strictEqual(wholes(), 2)
      yield* boot.journal.forget({ _tag: "Conversation", address: lee, placeholder: undefined })
      assert.strictEqual(wholes(), 1)
      yield* archive(boot, 1, 99)
      yield* TestClock.adjust(11 * day)
      yield* boot.journal.compact
      assert.strictEqual(wholes(), 0)
    })
  )

  it.effect("D33: a placeholder takes the files of an answer that fits into it", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      const { seq } = yield* boot.journal.admit(message("one"))
      const found = yield* claimed(boot, [seq])
      const placeholder = yield* boot.journal.reserve(found.turn.id)
      const replies = [{ ...answer("whole"), attachments: [file("a")] }]
      yield* settle(boot, found, { _tag: "Done", replies }, places)
      const [reply] = boot.replies.filter(({ id }) => id === placeholder?.id)
      assert.strictEqual(reply?.reply.attachments?.[0]?.hash, "a".repeat(64))
      assert.deepStrictEqual([...(yield* boot.journal.attachments)], ["a".repeat(64)])
    })
  )

  it.effect(
    "D33: a dead letter keeps its files, its replay has them, and with neither left the sweep may take them",
    () =>
      Effect.gen(function* () {
        const boot = yield* bootMemory({ retention: { attachments: day, deadLetters: 5 * day } })
        const { seq } = yield* boot.journal.admit(message("one"))
        const replies = [{ ...answer("whole"), attachments: [file("a")] }]
        yield* settle(boot, yield* claimed(boot, [seq]), { _tag: "Done", replies }, push)
        yield* boot.journal.step({ _tag: "Dead", reply: 1, error: "no" })
        yield* TestClock.adjust(2 * day)
        yield* boot.journal.compact
        const again = yield* boot.journal.replay(1)
        assert.strictEqual(again?.reply.attachments?.[0]?.hash, "a".repeat(64))
        yield* boot.journal.step({ _tag: "Dead", reply: again?.id ?? 0, error: "no" })
        assert.isTrue(yield* boot.journal.discard(again?.id ?? 0))
        yield* TestClock.adjust(2 * day)
        yield* boot.journal.compact
        assert.deepStrictEqual([...(yield* boot.journal.attachments)], [])
      })
  )

  it.effect(
    "Q27: a conversation that is forgotten lets go of the files of its replies, but not of those of others",
    () =>
      Effect.gen(function* () {
        const store = yield* storeFile
        const boot = yield* bootFile(store)
        for (const [address, signs] of [
          [kim, ["a", "b"]],
          [lee, ["b"]]
        ] as const) {
          const { seq } = yield* boot.journal.admit(message("one", { address }))
          const replies = [{ ...answer("whole"), attachments: signs.map(file) }]
          yield* settle(boot, yield* claimed(boot, [seq]), { _tag: "Done", replies })
        }
        const forgotten = yield* boot.journal.forget({ _tag: "Conversation", address: kim, placeholder: undefined })
        assert.deepStrictEqual(forgotten?.files, ["a".repeat(64)])
        assert.deepStrictEqual([...(yield* boot.journal.attachments)], ["b".repeat(64)])
        const look = yield* outside(store)
        assert.strictEqual(look.prepare("select count(*) as n from sluice_attachments").get()?.n, 1)
      })
  )
})
