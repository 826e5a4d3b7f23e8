// What turns used, as an operator sees it: from the store, from the running gateway, and in a budget that is used up and
// raised by a reload.
import { assert, describe, it } from "@effect/vitest"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { Journal } from "@sluice/runtime/Journal"
import * as Effect from "effect/Effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { start, temporaryFolder, tool } from "../harness.ts"

const today = new Date().toISOString().slice(0, 10)
const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)

/** A store in which kim's turn cost 2.50 USD today and lee's 1 USD the day before; nia's agent did not say what hers used. */
const used = Effect.fnUntraced(function* (folder: string) {
  const journal = yield* Journal
  journal.listen({ rows: () => {}, replies: () => {}, ended: () => {} })
  const turns = [
    ["kim", today, 2_500_000_000],
    ["lee", yesterday, 1_000_000_000],
    ["nia", today, undefined]
  ] as const
  for (const [peer, day, cost] of turns) {
    const { seq } = yield* journal.admit({
      address: { channel: "http", account: "", peer, thread: "" },
      id: undefined,
      sender: peer,
      text: "hello",
      attachments: [],
      closes: false,
      command: false,
      quiet: 0,
      atMost: 0,
      asking: undefined
    })
    const session = (yield* journal.conversation(`http/${peer}`))?.session ?? 0
    const claimed = yield* journal.claim({ session, seqs: [seq], agent: "demo" })
    const spent = (cost: number) => {
      const model = { model: "large", inputTokens: 1200, outputTokens: 30, cacheReadTokens: 0, cacheWriteTokens: 0 }
      return { spent: { day, models: [{ ...model, cost }], totals: { inputTokens: 1200 } } }
    }
    yield* journal.settle({
      turn: claimed?.turn.id ?? 0,
      attempt: 1,
      settlement: { _tag: "Done", replies: [{ kind: "answer", parts: ["hi"] }] },
      route: { pull: true, places: false },
      ...(cost === undefined ? {} : spent(cost))
    })
  }
  return folder
})

const place = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  mkdirSync(join(folder, ".sluice"), { mode: 0o700 })
  const filename = join(folder, ".sluice", "journal.db")
  return yield* Effect.scoped(Effect.provide(used(folder), Journal.layer(SqliteClient.layer({ filename }))))
})

const configuration = (daily: number) =>
  `timeZone: UTC\nbudgets: { daily: ${daily} }\nprices: { "large": { input: 3, output: 15 } }\nhttp: { port: 0 }\n`

interface Answer {
  readonly from: string
  readonly today: { readonly cost: number; readonly turns: number }
  readonly budgets: { readonly daily?: number }
  readonly hold?: { readonly period: string; readonly budget: number }
  readonly sessions: ReadonlyArray<{ readonly name: string; readonly cost: number }>
  readonly days: ReadonlyArray<{ readonly name: string }>
  readonly uncounted: { readonly today: unknown; readonly month: unknown }
}

describe("sluice usage", () => {
  it.live("a store that nobody runs on says what turns cost, also of one conversation", () =>
    Effect.gen(function* () {
      const folder = yield* place
      writeFileSync(join(folder, "sluice.yaml"), configuration(50))
      const { json } = yield* tool(folder, ["usage", "--json"])
      const answer = json as unknown as Answer
      assert.deepInclude(answer.today, { cost: 2.5, turns: 1 })
      assert.strictEqual(answer.from, "store")
      assert.deepStrictEqual(
        answer.days.map(({ name }) => name),
        [today, yesterday]
      )
      const uncounted = { agents: [{ name: "demo", turns: 1 }], complete: true }
      assert.deepStrictEqual(answer.uncounted, { today: uncounted, month: uncounted })
      const lee = yield* tool(folder, ["usage", "http/lee"])
      assert.strictEqual(lee.code, 0, lee.err)
      assert.include(lee.out, `today      ${today} (UTC): 0 turns, 0 tokens in, 0 out, 0.00 USD`)
      assert.match(lee.out, new RegExp(`^${yesterday} +1 +1,200 +30 +1.00 USD$`, "m"))
      assert.notInclude(lee.out, "http/kim")
      assert.notInclude(lee.out, "not in it")
      assert.strictEqual((yield* tool(folder, ["usage", "lee"])).out, lee.out)
      const nobody = yield* tool(folder, ["usage", "http/nobody"])
      assert.strictEqual(nobody.code, 1)
      assert.include(nobody.err, "conversation http/nobody: there is none; sluice sessions lists them")
    }).pipe(Effect.scoped)
  )

  it.live("a budget that is used up holds turns and says until when; a reload that raises it lets them go", () =>
    Effect.gen(function* () {
      const folder = yield* place
      const gateway = yield* start({ folder, configuration: configuration(2) })
      yield* gateway.client.send("max", "hello")
      const text = yield* tool(folder, ["usage"])
      assert.include(text.out, `today      ${today} (UTC): 1 turn, 1,200 tokens in, 30 out, 2.50 USD of 2.00 USD`)
      assert.include(
        text.out,
        "not in it  1 turn today, 1 turn this month (demo 1), whose agent does not say what it used"
      )
      assert.match(
        text.out,
        /^held {7}the budget for this day is used up; turns start again at \d{4}-\d\d-\d\d 00:00$/m
      )
      const { json } = yield* tool(folder, ["usage", "--json"])
      const answer = json as unknown as Answer
      assert.deepInclude(answer.hold, { period: "day", budget: 2 })
      assert.strictEqual(answer.from, "gateway")
      const status = yield* tool(folder, ["status"])
      assert.match(status.out, /^gateway {4}ready/m)
      assert.match(status.out, /^note {7}turns wait for the budget of 2 USD for this day/m)
      assert.match(status.out, /^session {4}http\/max: held/m)
      writeFileSync(join(folder, "sluice.yaml"), configuration(3))
      const reload = yield* tool(folder, ["reload"])
      assert.include(reload.out, "prices, budgets or the time zone of their days have changed")
      const replies = yield* gateway.client.repliesUntil("max", 2)
      assert.match(replies[0]?.text ?? "", /^I've used up what I may spend today\. .* I carry on at /)
      assert.strictEqual(replies[1]?.text, "hello")
    }).pipe(Effect.scoped)
  )
})
