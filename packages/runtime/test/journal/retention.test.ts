/** What the store lets go, what it keeps, and a ledger that balances before and after. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Attachment } from "../../src/Message.ts"
import {
  type Boot,
  bootFile,
  bootMemory,
  claim,
  claimed,
  done,
  kim,
  message,
  movableWall,
  outside,
  pull,
  push,
  settle,
  storeFile
} from "./harness.ts"

const day = 86_400_000

const turn = Effect.fnUntraced(function* (boot: Boot, text: string, reply: string) {
  const { seq } = yield* boot.journal.admit(message(text, { id: text }))
  yield* settle(boot, yield* claimed(boot, [seq]), done(reply))
})

/** `/new`: the session that was current is archived. */
const archive = Effect.fnUntraced(function* (boot: Boot) {
  const { seq } = yield* boot.journal.admit(message("/new", { command: true }))
  yield* boot.journal.command(seq, { _tag: "New", name: undefined, persona: undefined }, pull, () => ["ok"])
})

describe("retention", () => {
  it.effect(
    "usage of old days goes, that of this month and the last one stays; kept values go with archived texts",
    () =>
      Effect.gen(function* () {
        const boot = yield* bootMemory({ retention: { ledger: 9 * day, transcript: 5 * day } })
        const model = { model: "m", inputTokens: 1, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0, cost: 1 }
        yield* turn(boot, "first", "reply")
        for (const name of ["1970-01-01", "1970-02-27", "1970-04-10"]) {
          yield* boot.journal.spend(1, { day: name, models: [model], totals: { inputTokens: 1 } })
        }
        yield* boot.journal.keep(1, "kept/main", () => "of the archived one")
        yield* archive(boot)
        yield* boot.journal.keep(2, "kept/main", () => "of the current one")
        yield* TestClock.adjust(100 * day)
        yield* boot.journal.compact
        const days = yield* boot.journal.reads.usage({ by: "day" })
        assert.deepStrictEqual(
          days.map(({ name }) => name),
          ["1970-04-10", "1970-02-27"]
        )
        assert.isUndefined(yield* boot.journal.value(1, "kept/main"))
        assert.strictEqual(yield* boot.journal.value(2, "kept/main"), "of the current one")
      })
  )

  it.effect(
    "D21: compaction deletes what is old and archived; ledger, ids and numbers go on as if nothing had been",
    () =>
      Effect.gen(function* () {
        const file = yield* storeFile
        const boot = yield* bootFile(file, { retention: { ledger: 9 * day, transcript: 9 * day } })
        for (let k = 0; k < 5; k++) yield* turn(boot, `old ${k}`, `reply ${k}`)
        yield* archive(boot)
        yield* boot.journal.post({ address: kim, id: "p", text: "posted", parts: ["posted"], route: pull })
        const before = yield* boot.journal.reads.ledger
        yield* TestClock.adjust(10 * day)
        assert.isAtLeast(yield* boot.journal.compact, 10)
        assert.strictEqual(yield* boot.journal.compact, 0)
        assert.deepStrictEqual(yield* boot.journal.reads.ledger, before)
        assert.isTrue(before.balanced)
        const look = yield* outside(file)
        for (const table of ["inbound", "turns", "replies", "posts"]) {
          assert.strictEqual(look.prepare(`select count(*) as n from sluice_${table}`).get()?.n, 0, table)
        }
        yield* boot.end
        const second = yield* bootFile(file)
        yield* turn(second, "new", "reply")
        assert.strictEqual(second.rows[0]?.seq, 7)
        assert.strictEqual((yield* second.journal.page("http/kim", 0, 10)).replies[0]?.number, 8)
        const after = yield* second.journal.reads.ledger
        assert.deepStrictEqual([after.balanced, after.accepted, after.ends.replied], [true, 7, 6])
      })
  )

  it.effect("what a session needs to resume stays while it is not archived; text of archived ones goes", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const boot = yield* bootFile(file, { retention: { ledger: 1000 * day, transcript: 5 * day } })
      yield* turn(boot, "archived", "its reply")
      yield* archive(boot)
      yield* turn(boot, "kept", "also kept")
      yield* boot.journal.admit(message("open"))
      yield* claim(boot, [boot.rows.at(-1)?.seq ?? 0])
      yield* TestClock.adjust(6 * day)
      yield* boot.journal.compact
      const look = yield* outside(file)
      const texts = look
        .prepare("select text from sluice_inbound order by seq")
        .all()
        .map((row) => row.text)
      assert.deepStrictEqual(texts, ["", "", "kept", "open"])
      const replies = look
        .prepare("select text from sluice_replies where kind = 'answer' order by id")
        .all()
        .map((row) => row.text)
      assert.deepStrictEqual(replies, ["", "also kept"])
      assert.isTrue(
        (yield* boot.journal.admit(message("archived", { id: "archived" }))).duplicate,
        "it is still recognised"
      )
      assert.strictEqual(
        (yield* Effect.flip(boot.journal.admit(message("another", { id: "archived" }))))._tag,
        "Conflict"
      )
    })
  )

  it.effect("what fell at the cap and was never told goes with the texts of its archived session", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const boot = yield* bootFile(file, { retention: { ledger: 9 * day, transcript: 5 * day } })
      const fallen = yield* boot.journal.admit(message("fallen"))
      yield* boot.journal.drop(1, [fallen.seq], "summarize")
      const look = yield* outside(file)
      const left = () =>
        ["inbound where seq = 1 and text <> ''", "untold", "inbound where seq = 1"].map(
          (table) => look.prepare(`select count(*) as n from sluice_${table}`).get()?.n
        )
      yield* TestClock.adjust(20 * day)
      yield* boot.journal.compact
      assert.deepStrictEqual(left(), [1, 1, 1], "its session goes on, and tells of it")
      yield* archive(boot)
      yield* TestClock.adjust(6 * day)
      yield* boot.journal.compact
      assert.deepStrictEqual(left(), [0, 0, 0])
    })
  )

  it.effect("C2, D19: an id is recognised for 8 days of wall and of uptime: no jump of the clock forgets it", () =>
    Effect.gen(function* () {
      const wall = yield* movableWall
      const retention = { ledger: 0, transcript: 0 }
      const boot = yield* Effect.provideService(bootMemory({ retention }), Clock.Clock, wall.clock)
      yield* turn(boot, "m1", "reply")
      yield* archive(boot)
      const known = () =>
        Effect.andThen(
          boot.journal.compact,
          Effect.map(boot.journal.admit(message("m1", { id: "m1" })), ({ duplicate }) => duplicate)
        )
      yield* TestClock.adjust(1)
      assert.isTrue(yield* known())
      wall.jump(365 * day)
      assert.isTrue(yield* known(), "a year forward on the wall is not 8 days of uptime")
      wall.jump(-365 * day)
      yield* TestClock.adjust(7 * day)
      assert.isTrue(yield* known())
      wall.jump(-3 * day)
      yield* TestClock.adjust(2 * day)
      assert.isTrue(yield* known(), "9 days of uptime with a wall that was set back are not 8 days")
      yield* TestClock.adjust(3 * day)
      assert.isFalse(yield* known())
    })
  )

  it.effect("uptime is summed over boots", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const retention = { ledger: 0, transcript: 0 }
      const first = yield* bootFile(file, { retention })
      yield* turn(first, "m1", "reply")
      yield* archive(first)
      yield* TestClock.adjust(5 * day)
      yield* first.journal.close
      yield* first.end
      // Off for a week: that is no uptime.
      yield* TestClock.adjust(7 * day)
      const second = yield* bootFile(file, { retention })
      yield* TestClock.adjust(2 * day)
      yield* second.journal.compact
      assert.isTrue((yield* second.journal.admit(message("m1", { id: "m1" }))).duplicate)
      yield* TestClock.adjust(day + 1)
      yield* second.journal.compact
      assert.isFalse((yield* second.journal.admit(message("m1", { id: "m1" }))).duplicate)
    })
  )

  it.effect("an idle boot loses at most an hour of its uptime to a crash", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* TestClock.adjust(10 * 3_600_000 + 5)
      yield* first.journal.reads.figures
      yield* first.end
      const look = yield* outside(file)
      assert.strictEqual(look.prepare("select uptime from sluice_boots").get()?.uptime, 10 * 3_600_000)
    })
  )

  it.effect("dead letters keep their payload for their own time, and then count as before", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory({ retention: { deadLetters: 3 * day } })
      const { seq } = yield* boot.journal.admit(message("m"))
      yield* settle(boot, yield* claimed(boot, [seq]), done("payload"), push)
      yield* boot.journal.step({ _tag: "Sending", reply: 1 })
      yield* boot.journal.step({ _tag: "Dead", reply: 1, error: "gone" })
      yield* TestClock.adjust(2 * day)
      yield* boot.journal.compact
      assert.strictEqual((yield* boot.journal.reads.deadLetters({ limit: 1 }))[0]?.row.reply.text, "payload")
      yield* TestClock.adjust(2 * day)
      yield* boot.journal.compact
      assert.deepStrictEqual(yield* boot.journal.reads.deadLetters({ limit: 1 }), [])
      assert.strictEqual((yield* boot.journal.reads.ledger).ends.undeliverable, 1)
    })
  )

  it.effect("D33: a row refers to its files from the commit that stores it until retention lets them go", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory({ retention: { attachments: 5 * day } })
      const photo = new Attachment({ hash: "a".repeat(64), size: 10, type: "image/png", name: "a.png" })
      assert.deepStrictEqual(yield* boot.journal.attachments, new Set())
      yield* boot.journal.admit(message("look", { attachments: [photo], closes: true }))
      assert.deepStrictEqual(yield* boot.journal.attachments, new Set([photo.hash]))
      assert.deepStrictEqual((yield* boot.journal.rows([1]))[0]?.attachments, [photo])
      const found = yield* claimed(boot, [1])
      assert.deepStrictEqual(found.rows[0]?.attachments, [photo])
      yield* TestClock.adjust(6 * day)
      yield* boot.journal.compact
      assert.deepStrictEqual(yield* boot.journal.attachments, new Set([photo.hash]), "it is still worked on")
      yield* settle(boot, found, done("nice"))
      yield* TestClock.adjust(6 * day)
      yield* boot.journal.compact
      assert.deepStrictEqual(yield* boot.journal.attachments, new Set())
    })
  )

  it.effect("a pass goes through a large store in bounded rounds, and others write in between", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory({ retention: { ledger: 0, transcript: 0 } })
      yield* Effect.forEach(
        Array.from({ length: 4000 }, (_, k) => k),
        (k) => boot.journal.admit(message(`m${k}`)),
        {
          concurrency: "unbounded",
          discard: true
        }
      )
      yield* boot.journal.drop(
        1,
        boot.rows.map((row) => row.seq),
        "old"
      )
      yield* TestClock.adjust(9 * day)
      const rounds = (yield* boot.journal.reads.figures).writer.rounds
      assert.strictEqual(yield* boot.journal.compact, 8000, "the text first, then the row")
      assert.isAtLeast((yield* boot.journal.reads.figures).writer.rounds - rounds, 5)
      const { accepted, balanced, detail } = yield* boot.journal.reads.ledger
      assert.deepStrictEqual([accepted, balanced, detail], [4000, true, { "dropped(old)": 4000 }])
    })
  )
})
