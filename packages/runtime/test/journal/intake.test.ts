/** Contracts C1 and C2 at the store: accepted = committed, and one message per id. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { Boundary } from "../../src/internal/boundary.ts"
import { Journal } from "../../src/Journal.ts"
import { Accepted, Attachment, Conflict, Full } from "../../src/Message.ts"
import {
  boot,
  bootFile,
  bootMemory,
  claim,
  claimed,
  done,
  kim,
  lee,
  message,
  outside,
  settle,
  sqlite,
  storeFile
} from "./harness.ts"

describe("intake", () => {
  it.effect("stores a message, claims it as a turn and ends it with its reply", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      const { journal } = boot
      const accepted = yield* journal.admit(message("hello", { id: "m1" }))
      assert.deepStrictEqual(accepted, new Accepted({ seq: 1, id: "m1", duplicate: false }))
      const turn = yield* claimed(boot, [1])
      assert.strictEqual(turn.turn.attempt, 1)
      assert.strictEqual(turn.session.agent, "main")
      assert.deepStrictEqual(turn.rows, boot.rows)
      assert.isTrue(yield* settle(boot, turn, done("hi")))
      assert.deepStrictEqual(boot.ended, [1])
      const page = yield* journal.page("http/kim", 0, 10)
      assert.strictEqual(page.latest, 1)
      assert.deepStrictEqual(
        page.replies.map((reply) => [reply.number, reply.text, reply.inReplyTo, reply.conversation]),
        [[1, "hi", ["m1"], kim]]
      )
      const ledger = yield* journal.reads.ledger
      assert.isTrue(ledger.balanced)
      assert.strictEqual(ledger.ends.replied, 1)
    })
  )

  it.effect("C1: at each acknowledgement a second connection finds the message on disk", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const { journal } = yield* bootFile(file)
      const look = yield* outside(file)
      const stored = look.prepare("select id, text from sluice_inbound where seq = ?")
      const one = Effect.fnUntraced(function* (client: number) {
        for (let k = 0; k < 40; k++) {
          const { id, seq } = yield* journal.admit(message(`text ${client}/${k}`, { id: `m${client}-${k}` }))
          assert.deepStrictEqual({ ...stored.get(seq) }, { id, text: `text ${client}/${k}` })
        }
      })
      yield* Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], one, { concurrency: "unbounded" })
      assert.strictEqual((yield* journal.reads.ledger).accepted, 320)
    })
  )

  it.effect("C1: what is committed is rung in seq order before its sender hears of it", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      const rungFirst = Effect.fnUntraced(function* (k: number) {
        const { seq } = yield* boot.journal.admit(message(`m${k}`))
        return boot.rows.some((row) => row.seq === seq)
      })
      const all = yield* Effect.forEach(
        Array.from({ length: 600 }, (_, k) => k),
        rungFirst,
        { concurrency: "unbounded" }
      )
      assert.isTrue(all.every((first) => first))
      const seqs = boot.rows.map((row) => row.seq)
      assert.deepStrictEqual(
        seqs,
        [...seqs].sort((a, b) => a - b)
      )
      assert.isAtLeast((yield* boot.journal.reads.figures).writer.rounds, 3, "no round takes more than 256 entries")
    })
  )

  it.effect("D9, D23: retries in flight together and a retry afterwards are one message with the same answer", () =>
    Effect.gen(function* () {
      const { journal, rows } = yield* bootMemory()
      const again = journal.admit(message("hello", { id: "m1" }))
      const answers = yield* Effect.all([again, again, again], { concurrency: "unbounded" })
      answers.push(yield* again)
      assert.deepStrictEqual(
        answers.map(({ duplicate, seq }) => [seq, duplicate]),
        [
          [1, false],
          [1, true],
          [1, true],
          [1, true]
        ]
      )
      assert.strictEqual(rows.length, 1)
    })
  )

  it.effect("D23: the same id in two conversations names two messages", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory()
      const first = yield* journal.admit(message("hello", { id: "1" }))
      const second = yield* journal.admit(message("hello", { id: "1", address: lee }))
      assert.deepStrictEqual([first.duplicate, second.duplicate], [false, false])
      assert.notStrictEqual(first.seq, second.seq)
    })
  )

  it.effect("D10: the same id with another body is a conflict that names the first one, also in one round", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory()
      const [first, other] = yield* Effect.all(
        [journal.admit(message("one", { id: "m1" })), Effect.flip(journal.admit(message("two", { id: "m1" })))],
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(other, new Conflict({ id: "m1", seq: first.seq }))
      const file = new Attachment({ hash: "a".repeat(64), size: 3, type: "text/plain" })
      for (const body of [{ sender: "lee" }, { attachments: [file] }, { text: "one " }]) {
        const error = yield* Effect.flip(journal.admit(message("one", { id: "m1", ...body })))
        assert.deepStrictEqual(error, new Conflict({ id: "m1", seq: first.seq }), JSON.stringify(body))
      }
      // Two retries in one round: the wrong body first, then the right one.
      const mixed = yield* Effect.all(
        [
          Effect.result(journal.admit(message("two", { id: "m1" }))),
          Effect.result(journal.admit(message("one", { id: "m1" })))
        ],
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        mixed.map((result) => result._tag),
        ["Failure", "Success"]
      )
    })
  )

  it.effect("C2: a repeat after a restart is the message that it was", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("hello", { id: "m1" }))
      yield* first.end
      const second = yield* bootFile(file)
      const repeat = yield* second.journal.admit(message("hello", { id: "m1" }))
      assert.deepStrictEqual(repeat, new Accepted({ seq: 1, id: "m1", duplicate: true }))
      assert.deepStrictEqual(second.rows, [], "a repeat is nobody's new message")
    })
  )

  it.effect("C2: without an id every post is new, and its id is told", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory()
      const first = yield* journal.admit(message("hello"))
      const second = yield* journal.admit(message("hello"))
      assert.notStrictEqual(first.id, second.id)
      assert.isTrue((yield* journal.admit(message("hello", { id: first.id }))).duplicate)
    })
  )

  it.effect("D22: a sender that leaves between the commit and the hand-over changes nothing", () =>
    Effect.gen(function* () {
      const held = yield* Deferred.make<void>()
      const reached = yield* Deferred.make<void>()
      const { ended, journal, rows } = yield* boot(Journal.layer(sqlite(":memory:"))).pipe(
        Effect.provideService(Boundary, (label) =>
          label === "after:admit"
            ? Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(held))
            : Effect.void
        )
      )
      const sender = yield* Effect.forkChild(journal.admit(message("hello")))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(sender)
      assert.deepStrictEqual([rows.length, ended.length], [0, 0])
      yield* Deferred.succeed(held, undefined)
      const turn = yield* journal.claim({ session: 1, seqs: [1], agent: "main" })
      assert.deepStrictEqual(
        rows.map((row) => row.text),
        ["hello"]
      )
      assert.strictEqual(turn?.rows.length, 1)
    })
  )

  it.effect("C9: a full lane refuses before anything is stored, and takes messages again afterwards", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory({ laneEntries: 8 })
      const results = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, k) => k),
        (k) => Effect.result(journal.admit(message(`m${k}`))),
        { concurrency: "unbounded" }
      )
      const refused = results.filter((result) => result._tag === "Failure")
      assert.strictEqual(refused.length, 12)
      for (const result of refused) assert.instanceOf(result.failure, Full)
      assert.strictEqual((yield* journal.reads.ledger).accepted, 8)
      yield* journal.admit(message("afterwards"))
    })
  )

  it.effect("C9: the lane is bounded in bytes too", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory({ laneBytes: 1000 })
      const results = yield* Effect.forEach([1, 2, 3], () => Effect.result(journal.admit(message("x".repeat(400)))), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        results.map((result) => result._tag),
        ["Success", "Success", "Failure"]
      )
    })
  )

  it.effect("D31: a settle is never refused, however full the lane of messages is", () =>
    Effect.gen(function* () {
      const reached = yield* Deferred.make<void>()
      const held = yield* Deferred.make<void>()
      let hold = false
      const current = yield* boot(Journal.layer(sqlite(":memory:"), { laneEntries: 4 })).pipe(
        Effect.provideService(Boundary, (label) =>
          hold && label === "before:admit"
            ? Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(held))
            : Effect.void
        )
      )
      yield* current.journal.admit(message("work"))
      const turn = yield* claimed(current, [1])
      hold = true
      const first = yield* Effect.forkChild(current.journal.admit(message("first")))
      yield* Deferred.await(reached)
      const waiting = yield* Effect.forEach([1, 2, 3, 4], (k) =>
        Effect.forkChild(current.journal.admit(message(`w${k}`)))
      )
      for (let k = 0; k < 8; k++) yield* Effect.yieldNow
      assert.instanceOf(yield* Effect.flip(current.journal.admit(message("one too many"))), Full)
      const settling = yield* Effect.forkChild(settle(current, turn, done("hi")))
      hold = false
      yield* Deferred.succeed(held, undefined)
      assert.isTrue(yield* Fiber.join(settling))
      yield* Effect.forEach([first, ...waiting], Fiber.join)
      assert.strictEqual((yield* current.journal.reads.ledger).ends.replied, 1)
    })
  )

  it.effect(
    "text comes back as it was sent: emoji, null characters, right-to-left; half a surrogate pair is made whole",
    () =>
      Effect.gen(function* () {
        const current = yield* bootMemory()
        const { journal } = current
        const texts = ["\u{1F600} ok", "a\u0000b", "\u202Eabc", "", "'; drop table sluice_inbound; --", "\ud800x"]
        for (const text of texts) yield* journal.admit(message(text))
        const stored = yield* journal.rows([1, 2, 3, 4, 5, 6])
        assert.deepStrictEqual(
          stored.map((row) => row.text),
          [...texts.slice(0, 5), "\ufffdx"]
        )
        assert.deepStrictEqual(stored, current.rows, "what was rung is what is stored")
      })
  )

  it.effect("T5: more conversations than memory keeps are told apart all the same", () =>
    Effect.gen(function* () {
      const { journal } = yield* bootMemory({ conversations: 1 })
      const peers = Array.from({ length: 3000 }, (_, k) => ({ ...kim, peer: `p${k}` }))
      yield* Effect.forEach(peers, (address) => journal.admit(message("hello", { address, id: "m1" })), {
        concurrency: "unbounded",
        discard: true
      })
      const repeats = yield* Effect.forEach(
        peers,
        (address) => journal.admit(message("hello", { address, id: "m1" })),
        {
          concurrency: "unbounded"
        }
      )
      assert.isTrue(repeats.every(({ duplicate }) => duplicate))
      assert.strictEqual(new Set(repeats.map(({ seq }) => seq)).size, 3000)
      assert.strictEqual((yield* journal.reads.ledger).accepted, 3000)
    })
  )

  it.effect(
    "D24: 40,000 waiting rows: rounds stay bounded and the ledger balances",
    () =>
      Effect.gen(function* () {
        const current = yield* boot(Journal.layer(sqlite(":memory:"), { laneEntries: 40_000 }).pipe(Layer.orDie))
        yield* Effect.forEach(
          Array.from({ length: 40_000 }, (_, k) => k),
          (k) => current.journal.admit(message(`m${k}`, { id: `m${k}` })),
          {
            concurrency: "unbounded",
            discard: true
          }
        )
        const { waiting, writer } = yield* current.journal.reads.figures
        assert.strictEqual(waiting, 40_000)
        assert.isAtLeast(writer.rounds, 40_000 / 256)
        const turn = yield* claim(
          current,
          current.rows.slice(0, 100).map((row) => row.seq)
        )
        assert.strictEqual(turn?.rows.length, 64)
        assert.isTrue((yield* current.journal.reads.ledger).balanced)
      }),
    240_000
  )
})
