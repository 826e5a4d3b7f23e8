/**
 * What turns cost and how much may be spent: prices by model, budgets by day and by
 * month, and the calendar of the zone in which days are counted. Sums are whole
 * billionths of a dollar, so that they come out the same in whatever order turns end.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"

/** US dollars for a million tokens. What is read from a cache or written into it costs as much as other input unless set. */
export interface Price {
  readonly input: number
  readonly output: number
  readonly cacheRead?: number
  readonly cacheWrite?: number
}

/** US dollars that may be spent; none by default. */
export interface Budgets {
  readonly daily?: number
  readonly monthly?: number
}

/** How spending is reckoned. A reload exchanges it as a whole. */
export interface SpendingOptions {
  /** Prices by the name of the model, with or without the date at its end. What the provider says itself wins. */
  readonly prices?: { readonly [model: string]: Price }
  readonly budgets?: Budgets
  /** Zone whose days count, such as `Europe/Berlin`; the system's by default. */
  readonly timeZone?: string
}

/** Billionths of a dollar. */
export const nano = (dollars: number): number => Math.round(dollars * 1e9)

/** US dollars. */
export const dollars = (nano: number): number => nano / 1e9

/** Tokens as they are counted, by their names in an event. */
export const counted = ["inputTokens", "outputTokens", "cacheReadTokens", "cacheWriteTokens"] as const

/** Tokens by name. */
export type Tokens = { readonly [Name in (typeof counted)[number]]: number }

// Providers answer with the version that they used: `some-model-20251101`, `some-model-2025-11-01`, `some-model-latest`.
const version = /-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$/

/** The price of a model: of its whole name, or of the name without a version at its end. */
export const priceOf = (prices: SpendingOptions["prices"] = {}, model: string): Price | undefined => {
  if (Object.hasOwn(prices, model)) return prices[model]
  const name = model.replace(version, "")
  return Object.hasOwn(prices, name) ? prices[name] : undefined
}

/** What tokens cost, in billionths of a dollar. */
export const costOf = (price: Price, tokens: Tokens): number => {
  const { cacheRead = price.input, cacheWrite = price.input, input, output } = price
  // Dollars for a million are thousands of billionths for one.
  return Math.round(
    1000 *
      (tokens.inputTokens * input +
        tokens.outputTokens * output +
        tokens.cacheReadTokens * cacheRead +
        tokens.cacheWriteTokens * cacheWrite)
  )
}

/** Whether there is such a zone. */
export const isZone = (timeZone: string): boolean => Option.isSome(DateTime.zoneMakeNamed(timeZone))

/** A day: its name, `2026-11-21`, when it and its month began and end (epoch milliseconds). */
export interface Day {
  readonly day: string
  readonly firstOfMonth: string
  readonly began: number
  readonly ends: number
  readonly monthBegan: number
  readonly monthEnds: number
}

/** The days of a zone. */
export class Calendar {
  readonly timeZone: string
  readonly #zone: DateTime.TimeZone
  #day: Day | undefined

  constructor(timeZone: string | undefined) {
    this.#zone = timeZone === undefined ? DateTime.zoneMakeLocal() : DateTime.zoneMakeNamedUnsafe(timeZone)
    this.timeZone = DateTime.zoneToString(this.#zone)
  }

  /** The day of a moment. Asked before every turn: worked out once a day. */
  at(now: number): Day {
    const known = this.#day
    if (known !== undefined && now >= known.began && now < known.ends) return known
    const moment = DateTime.makeZonedUnsafe(now, { timeZone: this.#zone })
    const began = DateTime.startOf(moment, "day")
    const month = DateTime.startOf(moment, "month")
    const day: Day = {
      day: DateTime.formatIsoDate(began),
      firstOfMonth: DateTime.formatIsoDate(month),
      began: DateTime.toEpochMillis(began),
      ends: DateTime.toEpochMillis(DateTime.add(began, { days: 1 })),
      monthBegan: DateTime.toEpochMillis(month),
      monthEnds: DateTime.toEpochMillis(DateTime.add(month, { months: 1 }))
    }
    this.#day = day
    return day
  }

  /** A moment as people of the zone read it: `2026-11-22 00:00`. */
  text(at: number): string {
    const { day, hour, minute, month, year } = DateTime.toParts(DateTime.makeZonedUnsafe(at, { timeZone: this.#zone }))
    const two = (part: number) => String(part).padStart(2, "0")
    return `${year}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}`
  }
}
