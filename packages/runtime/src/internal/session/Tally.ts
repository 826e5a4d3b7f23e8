/**
 * Adds up what the attempts of a turn use, by model, with what it costs: the
 * provider's own word where it says one, the configured price otherwise. What was
 * used is stored whichever way the attempt ends, because it was paid for.
 */
import type { ModelUsage, Spent } from "../../Journal.ts"
import { costOf, counted, dollars, nano, priceOf, type SpendingOptions } from "../spending.ts"

/** The most names, and the most models, for which usage is added up; further models share one line. */
const bounds = { names: 64, models: 16, model: 128 }

/** The most that one attempt can use of anything, and what it can cost in billionths of a dollar: no bill has so much. */
const most = { count: 1e12, cost: 1e15 }

const isCount = (value: number | undefined): value is number => value !== undefined && Number.isFinite(value)

/** Sums within their bounds. */
class Sums {
  readonly models = new Map<string, { -readonly [Key in keyof ModelUsage]: ModelUsage[Key] }>()
  readonly totals = new Map<string, number>()

  of(name: string) {
    const model = this.models.has(name) || this.models.size < bounds.models ? name : "others"
    const known = this.models.get(model)
    if (known !== undefined) return known
    const fresh = { model, inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, cost: 0 }
    this.models.set(model, fresh)
    return fresh
  }

  total(name: string, count: number) {
    if (!this.totals.has(name) && this.totals.size >= bounds.names) return
    const sum = (this.totals.get(name) ?? 0) + count
    this.totals.set(name, Math.max(-most.count, Math.min(sum, most.count)))
  }
}

/** What one attempt has used so far. */
export class Tally {
  // Made for the first event: many turns have none.
  #sums: Sums | undefined

  /** Adds what an event says; `false` when it has a cost that nobody knows. */
  add(usage: Readonly<Record<string, number>>, model: string, prices: SpendingOptions["prices"]): boolean {
    const sums = (this.#sums ??= new Sums())
    const line = sums.of(model.slice(0, bounds.model).toWellFormed())
    const tokens = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 }
    for (const name of counted) {
      const count = usage[name]
      if (isCount(count) && count > 0) tokens[name] = Math.min(Math.round(count), most.count)
      line[name] = Math.min(line[name] + tokens[name], most.count)
    }
    for (const [name, count] of Object.entries(usage)) {
      if (isCount(count) && name !== "cost") sums.total(name, count)
    }
    const price = priceOf(prices, model)
    const said = usage["cost"]
    const cost = Math.min(
      isCount(said) && said >= 0 ? nano(said) : price === undefined ? 0 : costOf(price, tokens),
      most.cost
    )
    line.cost = Math.min(line.cost + cost, most.cost)
    if (cost > 0) sums.total("cost", dollars(cost))
    return isCount(said) || price !== undefined || counted.every((name) => tokens[name] === 0)
  }

  /** What is stored of it with the day on which it counts; `undefined` when nothing was used. */
  spent(day: () => string): Spent | undefined {
    return this.#sums === undefined
      ? undefined
      : { day: day(), models: [...this.#sums.models.values()], totals: Object.fromEntries(this.#sums.totals) }
  }
}
