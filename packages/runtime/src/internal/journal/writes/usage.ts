/**
 * What turns used: with the turn, and as sums of a day by session, agent and
 * model, written in the transaction that ends the attempt. The attempt that lost
 * its turn to a command was paid for as well, so who won does not matter here.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { sessionKey } from "../../../Message.ts"
import { dollars } from "../../spending.ts"
import type { Query, Value } from "../store/database.ts"
import { type Entry, succeed } from "../writer/entries.ts"
import type { ModelUsage, Spent } from "../records.ts"
import type { UsageSum } from "../reads/reports.ts"
import type { Round } from "../writer/round.ts"
import { ids } from "../store/statements.ts"

// More than any month has, in whatever zone.
const keptDays = 40

/** Sums of the last days by day, as a round changes them: enough for the day and the month in any zone. */
export class SpentDays {
  readonly #days: Map<string, number>

  constructor(days: Iterable<readonly [string, number]>) {
    this.#days = new Map(days)
  }

  add(day: string, cost: number, undo: Array<() => void>): void {
    if (cost === 0) return
    const before = this.#days.get(day)
    this.#days.set(day, (before ?? 0) + cost)
    undo.push(() => {
      if (before === undefined) this.#days.delete(day)
      else this.#days.set(day, before)
    })
    if (this.#days.size <= 2 * keptDays) return
    for (const old of [...this.#days.keys()].sort().slice(0, keptDays)) this.#days.delete(old)
  }

  /** From the first to the last day, both included. */
  sum(from: string, to: string): number {
    if (from === to) return this.#days.get(from) ?? 0
    let sum = 0
    for (const [day, cost] of this.#days) if (day >= from && day <= to) sum += cost
    return sum
  }
}

/** The sums that a writer begins with; `now` is epoch milliseconds. */
export const recentDays = (
  query: Query,
  now: number
): Effect.Effect<ReadonlyArray<readonly [string, number]>, SqlError> =>
  Effect.map(
    query<{ readonly day: string; readonly cost: number }>(
      `select day, total(cost) as cost from sluice_usage where day >= ? group by day`,
      [new Date(now - keptDays * 86_400_000).toISOString().slice(0, 10)]
    ),
    (rows) => rows.map(({ cost, day }) => [day, cost] as const)
  )

interface UsedTurn {
  readonly id: number
  readonly session: number
  readonly agent: string
  readonly usage: string | null
}

const merged = (stored: string | null, totals: Readonly<Record<string, number>>): string => {
  const sums: Record<string, number> = stored === null ? {} : { ...(JSON.parse(stored) as Record<string, number>) }
  // Of an earlier attempt: what both name is added up.
  for (const [name, count] of Object.entries(totals)) sums[name] = (sums[name] ?? 0) + count
  return JSON.stringify(sums)
}

const addLine = (query: Query, day: string, turn: UsedTurn, turns: number, line: ModelUsage) => {
  const sums: ReadonlyArray<Value> = [
    turns,
    line.inputTokens,
    line.outputTokens,
    line.cacheReadTokens,
    line.cacheWriteTokens,
    line.cost
  ]
  return query.change(
    `insert into sluice_usage (day, session, agent, model, turns, input, output, cache_read, cache_write, cost)
     values (?,?,?,?,?,?,?,?,?,?)
     on conflict (day, session, agent, model) do update set turns = turns + excluded.turns,
       input = input + excluded.input, output = output + excluded.output, cache_read = cache_read + excluded.cache_read,
       cache_write = cache_write + excluded.cache_write, cost = cost + excluded.cost`,
    [day, turn.session, turn.agent, line.model, ...sums]
  )
}

/** Adds to turns, and to their days, what their attempts used. */
export const addUsage = Effect.fnUntraced(function* (
  round: Round,
  used: ReadonlyArray<{ readonly turn: number; readonly spent: Spent }>
): Effect.fn.Return<void, SqlError> {
  if (used.length === 0) return
  const { query } = round
  const rows = yield* query<UsedTurn>(
    `select id, session, agent, usage from sluice_turns where id in (select value from json_each(?))`,
    [ids(used.map(({ turn }) => turn))]
  )
  const turns = new Map(rows.map((row) => [row.id, row]))
  for (const { spent, turn: id } of used) {
    const turn = turns.get(id)
    // Retention lets no turn go whose attempt still runs: whoever names another one has nothing to be counted.
    if (turn === undefined) continue
    const usage = merged(turn.usage, spent.totals)
    yield* query.change(`update sluice_turns set usage = ? where id = ?`, [usage, id])
    turns.set(id, { ...turn, usage })
    for (const [index, line] of spent.models.entries()) {
      // A turn counts once, however many attempts and models it takes.
      yield* addLine(query, spent.day, turn, turn.usage === null && index === 0 ? 1 : 0, line)
      round.memory.spent.add(spent.day, line.cost, round.undo)
    }
  }
})

/** Writes a round's usage of attempts whose turns had their ends before. */
export const writeSpends = Effect.fnUntraced(function* (
  round: Round,
  entries: ReadonlyArray<Entry<"spend">>
): Effect.fn.Return<void, SqlError> {
  yield* addUsage(
    round,
    entries.map(({ input }) => input)
  )
  for (const entry of entries) succeed(entry, undefined)
})

/** What sums can be by. */
export type UsageBy = "day" | "session" | "agent" | "model" | "total"

/** Which usage is asked for. Days are those of the configured zone, `2026-11-21`. */
export interface UsageQuestion {
  readonly by: UsageBy
  readonly from?: string
  readonly to?: string
  /** Of one conversation, by its key, or of one session, by its number. */
  readonly conversation?: string
  readonly session?: number
  readonly limit?: number
}

const dearest = "order by cost desc, tokens desc"

const groups: { readonly [By in UsageBy]: { readonly name: string; readonly rest: string } } = {
  day: { name: "u.day as name", rest: "group by u.day order by u.day desc" },
  session: { name: "s.name as name, c.key as conversation", rest: `group by u.session ${dearest}` },
  agent: { name: "u.agent as name", rest: `group by u.agent ${dearest}` },
  model: { name: "u.model as name", rest: `group by u.model ${dearest}` },
  total: { name: "'total' as name", rest: "" }
}

interface SumRecord {
  readonly name: string
  readonly conversation?: string
  /** Null: a sum of nothing. */
  readonly turns: number | null
  readonly input: number
  readonly output: number
  readonly cache_read: number
  readonly cache_write: number
  readonly cost: number
}

/** Sums of usage: by day the newest first, otherwise the most expensive. */
export const usage = (query: Query, question: UsageQuestion): Effect.Effect<ReadonlyArray<UsageSum>, SqlError> => {
  const { conversation, from = "", limit = 1000, session, to = "9" } = question
  const { name, rest } = groups[question.by]
  const where = ["u.day >= ?", "u.day <= ?"]
  const values: Array<Value> = [from, to]
  if (conversation !== undefined) {
    where.push("c.key = ?")
    values.push(conversation)
  }
  if (session !== undefined) {
    where.push("u.session = ?")
    values.push(session)
  }
  return Effect.map(
    query<SumRecord>(
      `select ${name}, sum(u.turns) as turns, total(u.input) as input, total(u.output) as output,
         total(u.cache_read) as cache_read, total(u.cache_write) as cache_write, total(u.cost) as cost,
         total(u.input) + total(u.output) as tokens
       from sluice_usage u left join sluice_sessions s on s.id = u.session
         left join sluice_conversations c on c.id = s.conversation
       where ${where.join(" and ")} ${rest} limit ?`,
      [...values, Math.min(Math.max(1, Math.trunc(limit)), 10_000)]
    ),
    (rows) =>
      rows.flatMap((row) =>
        row.turns === null
          ? []
          : [
              {
                name: row.conversation === undefined ? row.name : sessionKey(row.conversation, row.name),
                turns: row.turns,
                inputTokens: row.input,
                outputTokens: row.output,
                cacheReadTokens: row.cache_read,
                cacheWriteTokens: row.cache_write,
                cost: dollars(row.cost)
              }
            ]
      )
  )
}
