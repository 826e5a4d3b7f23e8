/**
 * The one governor of memory for all pools of a program: what their workers take together never exceeds its limit. A
 * worker counts with its pool's estimate before it is loaded and with its own measurement afterwards, if it has one.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Books } from "./internal/Books.ts"
import { totalMemory } from "./internal/node/memory.ts"

/** The share of the machine's memory that pools may take unless told otherwise. */
export const share = 0.8

export class Governor extends Context.Service<
  Governor,
  {
    /** Bytes that all workers may take together. */
    readonly limit: number
    /** Bytes that are booked now. */
    readonly used: Effect.Effect<number>
    readonly books: Books
  }
>()("@sluice/pools/Governor") {
  /** `limit` in bytes, or as a `share` of what the machine or the container has; 80 % of that by default. */
  static readonly layer = (options: { readonly limit?: number; readonly share?: number } = {}): Layer.Layer<Governor> =>
    Layer.sync(Governor, () => {
      const limit = options.limit ?? Math.floor(totalMemory() * (options.share ?? share))
      if (!(limit > 0)) throw new RangeError(`limit ${limit}: is no amount of memory; give bytes above 0`)
      const books = new Books(limit)
      return { limit, used: Effect.sync(() => books.used), books }
    })
}
