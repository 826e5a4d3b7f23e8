// Retention of long messages: one round reads a bounded piece of them, and all of them are let go in the end.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { bootFile, claimed, done, message, outside, pull, settle, storeFile } from "../journal/harness.ts"

/** Lets five archived messages of this length go; in how many rounds, and what is left of them. */
const letGo = Effect.fnUntraced(function* (length: number) {
  const file = yield* storeFile
  const boot = yield* bootFile(file, { retention: { transcript: "5 days", ledger: "1000 days" } })
  const { journal } = boot
  for (let n = 0; n < 5; n++) {
    const { seq } = yield* journal.admit(message(`${n}`.repeat(length), { id: `m${n}` }))
    yield* settle(boot, yield* claimed(boot, [seq]), done("ok"))
  }
  const { seq } = yield* journal.admit(message("/new", { command: true }))
  yield* journal.command(seq, { _tag: "New", name: undefined, persona: undefined }, pull, () => ["ok"])
  yield* TestClock.adjust("6 days")
  const before = (yield* journal.reads.figures).writer.rounds
  yield* journal.compact
  const rounds = (yield* journal.reads.figures).writer.rounds - before
  const look = yield* outside(file)
  const kept = look.prepare("select sum(octet_length(text)) as bytes from sluice_inbound").get()?.bytes
  return { rounds, kept, balanced: (yield* journal.reads.ledger).balanced }
})

describe("retention of long messages", () => {
  it.effect("C9, D21: a round reads no more than 8 MiB of texts, and a pass lets all of them go", () =>
    Effect.gen(function* () {
      const short = yield* letGo(10)
      const long = yield* letGo(3 * 1024 * 1024)
      assert.deepStrictEqual([short.kept, long.kept], [0, 0])
      assert.isTrue(short.balanced && long.balanced)
      assert.strictEqual(long.rounds - short.rounds, 2)
    })
  )
})
