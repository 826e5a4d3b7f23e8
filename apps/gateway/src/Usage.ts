/**
 * What turns used, as `GET /v1/usage` and `sluice usage` tell it: today, this
 * month, and what it went to. Built from the journal's sums, by the running gateway
 * or by a tool that reads the store; days are those of the configured zone.
 */
import type { SpendingState } from "@sluice/runtime/Gateway"
import type { JournalError, JournalReads, Uncounted, UsageSum } from "@sluice/runtime/Journal"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"

/** Sums without a name of their own. */
export type Sums = Omit<UsageSum, "name">

/** Everything that is told of usage. Costs in US dollars. */
export interface Usage {
  readonly timeZone: string
  /** Today: `2026-11-21`. */
  readonly day: string
  readonly budgets: SpendingState["budgets"]
  /** The budget that is used up, and when turns start again; absent while none is. */
  readonly hold?: NonNullable<SpendingState["hold"]>
  readonly today: Sums
  readonly month: Sums
  /** The last 31 days with any usage, the newest first; the others are of this month, the most expensive first. */
  readonly days: ReadonlyArray<UsageSum>
  readonly models: ReadonlyArray<UsageSum>
  readonly agents: ReadonlyArray<UsageSum>
  readonly sessions: ReadonlyArray<UsageSum>
  /** Answered turns that none of these sums has, because their agent did not say what they used. */
  readonly uncounted: { readonly today: Uncounted; readonly month: Uncounted }
}

/** Where the figures come from: the running gateway, or its store. */
type Figures = Pick<JournalReads, "uncounted" | "usage">

const none: Sums = { turns: 0, inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, cost: 0 }

const unnamed = ([sum]: ReadonlyArray<UsageSum>): Sums => {
  if (sum === undefined) return none
  const { name: _, ...sums } = sum
  return sums
}

/** When a day of a zone began, epoch milliseconds. */
const began = (day: string, timeZone: string): number =>
  DateTime.toEpochMillis(DateTime.makeZonedUnsafe(`${day}T00:00:00`, { timeZone, adjustForTimeZone: true }))

/** All of it, or what one conversation used. */
export const overview = Effect.fnUntraced(function* (
  { uncounted, usage: ask }: Figures,
  { budgets, day, hold, timeZone }: Pick<SpendingState, "budgets" | "day" | "hold" | "timeZone">,
  conversation?: string
): Effect.fn.Return<Usage, JournalError> {
  const of = conversation === undefined ? {} : { conversation }
  const month = { ...of, from: `${day.slice(0, 8)}01`, to: day }
  return {
    timeZone,
    day,
    budgets,
    ...(hold === undefined ? {} : { hold }),
    today: unnamed(yield* ask({ ...of, by: "total", from: day, to: day })),
    month: unnamed(yield* ask({ ...month, by: "total" })),
    days: yield* ask({ ...of, by: "day", limit: 31 }),
    models: yield* ask({ ...month, by: "model", limit: 100 }),
    agents: yield* ask({ ...month, by: "agent", limit: 100 }),
    sessions: yield* ask({ ...month, by: "session", limit: 100 }),
    uncounted: {
      today: yield* uncounted({ ...of, since: began(day, timeZone) }),
      month: yield* uncounted({ ...of, since: began(month.from, timeZone) })
    }
  }
})
