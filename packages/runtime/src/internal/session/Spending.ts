/**
 * Whether there is money left for another turn. The journal has counted what was
 * spent; here it is held against the budgets of the day and the month. While one
 * is used up nothing starts and nothing is lost: sessions are held as they are for
 * an agent that is missing, and look again when the period turns, when a reload
 * raises the budget, or after a while, because the wall clock may have jumped.
 */
import * as Effect from "effect/Effect"
import type { Journal } from "../../Journal.ts"
import type { Registered } from "../registry.ts"
import { type Budgets, Calendar, type Day, dollars, nano } from "../spending.ts"

/** Why nothing starts now, and when it does again (epoch milliseconds). */
export interface Hold {
  readonly period: "day" | "month"
  /** US dollars. */
  readonly budget: number
  readonly since: number
  readonly until: number
  /** `until` in the zone of the calendar. */
  readonly untilText: string
}

/** What was spent, in US dollars, and what may be. */
export interface SpendingState {
  readonly timeZone: string
  readonly day: string
  readonly spentToday: number
  readonly spentThisMonth: number
  readonly budgets: Budgets
  readonly hold: Hold | undefined
}

/** The words for a hold, for operators. */
export const holdText = ({ budget, period, untilText }: Hold): string =>
  `the budget of ${budget} USD for this ${period}, which is used up; turns start again at ${untilText}`

/** What is spent and what is left. */
export class Spending {
  readonly #journal: Pick<Journal["Service"], "spentUnsafe">
  readonly #registered: Registered["Service"]
  readonly #wallNow: () => number
  readonly #unpriced = new Set<string>()
  #calendar: { readonly of: string | undefined; readonly calendar: Calendar } | undefined

  constructor(
    journal: Pick<Journal["Service"], "spentUnsafe">,
    registered: Registered["Service"],
    wallNow: () => number
  ) {
    this.#journal = journal
    this.#registered = registered
    this.#wallNow = wallNow
  }

  get #current(): Calendar {
    const { timeZone } = this.#registered.entries.spending
    if (this.#calendar === undefined || this.#calendar.of !== timeZone) {
      this.#calendar = { of: timeZone, calendar: new Calendar(timeZone) }
    }
    return this.#calendar.calendar
  }

  get prices() {
    return this.#registered.entries.spending.prices
  }

  /** The day that it is. */
  get today(): Day {
    return this.#current.at(this.#wallNow())
  }

  /** What holds all turns now. Cheap: it is asked before each. */
  hold(): Hold | undefined {
    const { budgets } = this.#registered.entries.spending
    if (budgets === undefined) return undefined
    const { daily, monthly } = budgets
    const { began, day, ends, firstOfMonth, monthBegan, monthEnds } = this.today
    const over = (budget: number | undefined, from: string): budget is number =>
      budget !== undefined && this.#journal.spentUnsafe(from, day) >= nano(budget)
    // The month first: it is the longer wait.
    if (over(monthly, firstOfMonth)) return this.#held("month", monthly, monthBegan, monthEnds)
    return over(daily, day) ? this.#held("day", daily, began, ends) : undefined
  }

  #held(period: Hold["period"], budget: number, since: number, until: number): Hold {
    return { period, budget, since, until, untilText: this.#current.text(until) }
  }

  /** A budget that counts nothing of a model is none: said once for each. */
  unpriced(model: string): Effect.Effect<void> {
    const { budgets } = this.#registered.entries.spending
    const counts = budgets?.daily !== undefined || budgets?.monthly !== undefined
    if (!counts || this.#unpriced.has(model) || this.#unpriced.size >= 100) return Effect.void
    this.#unpriced.add(model)
    return Effect.logWarning("A model has no price, so that its turns count nothing in the budgets").pipe(
      Effect.annotateLogs({ model, field: `prices.${model}` })
    )
  }

  /** For status and lists. */
  state(): SpendingState {
    const { day, firstOfMonth } = this.today
    return {
      timeZone: this.#current.timeZone,
      day,
      spentToday: dollars(this.#journal.spentUnsafe(day, day)),
      spentThisMonth: dollars(this.#journal.spentUnsafe(firstOfMonth, day)),
      budgets: this.#registered.entries.spending.budgets ?? {},
      hold: this.hold()
    }
  }
}
