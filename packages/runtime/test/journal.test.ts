/** The journal's rows: intake, turns, replies and what is read of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Accepted } from "../src/Message.ts"
import { bootMemory, claimed, done, kim, message, pull, settle } from "./journalHarness.ts"

describe("journal", () => {
  it.effect("stores a message, claims it as a turn and ends it with its reply", () =>
    Effect.gen(function* () {
      const boot = yield* bootMemory()
      const { journal } = boot
      const accepted = yield* journal.admit(message("hello", { id: "m1" }))
      assert.deepStrictEqual(accepted, new Accepted({ seq: 1, id: "m1", duplicate: false }))
      assert.deepStrictEqual(
        boot.rows.map((row) => [row.seq, row.id, row.text, row.opens]),
        [[1, "m1", "hello", true]]
      )
      const turn = yield* claimed(boot, [1])
      assert.strictEqual(turn.turn.attempt, 1)
      assert.strictEqual(turn.session.agent, "main")
      assert.deepStrictEqual(turn.rows[0], boot.rows[0])
      assert.isTrue(yield* settle(boot, turn, done("hi"), pull))
      assert.isFalse(yield* settle(boot, turn, done("again"), pull))
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
      yield* journal.close
    }).pipe(Effect.scoped)
  )
})
