// What is asked while everything runs reads what is open through its own small index: a scrape must not hold up the
// writer for longer because the history is longer.
import { DatabaseSync, type SQLInputValue } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Query } from "../src/internal/journal/database.ts"
import * as Reads from "../src/internal/journal/reads.ts"
import { bootFile, storeFile } from "./journal/harness.ts"

/** A connection that answers nothing new, and remembers how SQLite finds what it is asked for. */
const planning = (file: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new DatabaseSync(file, { readOnly: true })),
      (database) => Effect.sync(() => database.close())
    ),
    (database) => {
      const steps: Array<string> = []
      const query = Object.assign(
        <A extends object>(statement: string, values: ReadonlyArray<unknown> = []) =>
          Effect.sync(() => {
            const given = values as ReadonlyArray<SQLInputValue>
            const plan = database.prepare(`explain query plan ${statement}`).all(...given)
            steps.push(...plan.map(({ detail }) => String(detail)))
            return database.prepare(statement).all(...given) as unknown as ReadonlyArray<A>
          }),
        { change: () => Effect.die(new Error("nothing is written here")) }
      ) satisfies Query
      return { query, steps }
    }
  )

/** Steps that go through a table that grows with the history, without an index. */
const walks = (steps: ReadonlyArray<string>) =>
  steps.filter(
    (step) => /^(SCAN|SEARCH) (sluice_(inbound|turns|replies|posts)|[irt])\b/.test(step) && !/ USING /.test(step)
  )

describe("questions to a store with a long history", () => {
  it.effect("Q9, D12: figures, the ledger, lines and a boot's backlog walk through no table", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* bootFile(file)
      const { query, steps } = yield* planning(file)
      yield* Reads.figures(query)
      yield* Reads.ledger(query)
      yield* Reads.queued(query, 1)
      yield* Reads.backlog(query, 2)
      yield* Reads.commands(query, 2)
      yield* Reads.waiting(query, 2, 1, 65)
      yield* Reads.owed(query, { epoch: 1, instance: "" }, 0, 100)
      yield* Reads.owed(query, { epoch: 1, instance: "" }, 0, 16, 1)
      yield* Reads.deadLetters(query, { epoch: 1, instance: "" }, 10)
      yield* Reads.sessions(query, {})
      assert.isAbove(steps.length, 20)
      assert.deepStrictEqual(walks(steps), [])
    })
  )
})
