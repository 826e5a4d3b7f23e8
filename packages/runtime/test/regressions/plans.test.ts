// What is asked while everything runs reads what is open through its own small index: a scrape must not hold up the
// writer for longer because the history is longer.
import { DatabaseSync, type SQLInputValue } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Query } from "../../src/internal/journal/store/database.ts"
import * as Reads from "../../src/internal/journal/reads/reads.ts"
import { versions } from "../../src/internal/journal/reads/versions.ts"
import { bootFile, message, storeFile } from "../journal/harness.ts"

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
      /** Statements as they are, whatever their values. */
      const explain = (statements: ReadonlyArray<string>) => {
        for (const statement of statements) {
          const plan = database.prepare(`explain query plan ${statement}`).all()
          steps.push(...plan.map(({ detail }) => String(detail)))
        }
      }
      return { query, explain, steps }
    }
  )

/** Steps that go through a table that grows with the history, without an index. */
const walks = (steps: ReadonlyArray<string>) =>
  steps.filter(
    (step) => /^(SCAN|SEARCH) (sluice_(inbound|turns|replies|posts)|[irt])\b/.test(step) && !/ USING /.test(step)
  )

/** What is handed to SQLite meanwhile. */
const recorded = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const statements = new Set<string>()
      const prepare = Reflect.get(DatabaseSync.prototype, "prepare")
      DatabaseSync.prototype.prepare = function (this: DatabaseSync, statement, ...rest) {
        statements.add(statement)
        return prepare.call(this, statement, ...rest)
      }
      return { statements, prepare }
    }),
    ({ prepare }) => Effect.sync(() => (DatabaseSync.prototype.prepare = prepare))
  ),
  ({ statements }) => statements
)

describe("questions to a store with a long history", () => {
  it.effect("Q25: the versions of a message are found without reading the other ids of its conversation", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* bootFile(file)
      const { query, steps } = yield* planning(file)
      assert.deepStrictEqual(yield* versions(query, "slack/C1", "1700000000.000100"), [])
      const [found] = steps.filter((step) => step.includes("sluice_inbound"))
      assert.include(found, "(conversation=? AND id>? AND id<?)")
    })
  )

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

  it.effect("S18, T9: the words of a stop and of a return walk through no table, whoever else waits", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("one", { id: "m1" }))
      const [{ session } = { session: 0 }] = yield* first.journal.rows([1])
      const spoken = { parts: ["words"], route: { pull: false, places: false } }
      const statements = yield* recorded
      const farewell = { sessions: [session], most: 10, channels: { http: spoken }, expiresAt: undefined, within: 1000 }
      assert.strictEqual(yield* first.journal.farewell(farewell), 1)
      const told = yield* first.journal.told
      assert.lengthOf(told, 1)
      yield* first.journal.return(told.map(({ conversation }) => ({ conversation, spoken, expiresAt: undefined })))
      assert.deepStrictEqual(yield* first.journal.told, [])
      const { explain, steps } = yield* planning(file)
      explain([...statements].filter((statement) => /^\s*(select|update|delete|insert|with)\b/i.test(statement)))
      assert.isAbove(steps.length, 5)
      assert.deepStrictEqual(walks(steps), [])
    })
  )

  it.effect("a boot walks through no table: a million conversations that rest cost it nothing", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("one", { id: "m1" }))
      yield* first.journal.close
      yield* first.end
      const statements = yield* recorded
      yield* bootFile(file)
      const { explain, steps } = yield* planning(file)
      const asked = [...statements].filter((statement) => /^\s*(select|update|delete|insert|with)\b/i.test(statement))
      explain(asked)
      assert.isAbove(asked.length, 15)
      assert.deepStrictEqual(walks(steps), [])
    })
  )
})
