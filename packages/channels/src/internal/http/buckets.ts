/**
 * Rate limits: a token bucket per sender and one for all. Buckets fill with the
 * monotonic clock, so a jump of the wall clock neither opens nor closes the door,
 * and the table of senders is bounded: the one that was quiet for longest goes
 * first, which forgets at most a bucket that has filled up again meanwhile.
 */
import { RateLimited } from "@sluice/runtime/Message"

/** So many a second over time, and so many at once. */
export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

interface Bucket {
  tokens: number
  at: bigint
}

/** Takes one token; 0 when there was one, else the milliseconds until there is. */
const take = (bucket: Bucket, rate: Rate, now: bigint): number => {
  const elapsed = Number(now - bucket.at) / 1e9
  if (elapsed > 0) {
    bucket.tokens = Math.min(rate.burst, bucket.tokens + elapsed * rate.perSecond)
    bucket.at = now
  }
  if (bucket.tokens >= 1) {
    bucket.tokens -= 1
    return 0
  }
  return Math.ceil(((1 - bucket.tokens) / rate.perSecond) * 1000)
}

/** The limits of one channel. `now` is monotonic, in nanoseconds. */
export interface Limits {
  readonly all: (now: bigint) => RateLimited | undefined
  readonly sender: (sender: string, now: bigint) => RateLimited | undefined
  /** How many senders are remembered now. */
  readonly remembered: () => number
}

/** Limits by rate; `false` is none. At most `senders` are remembered. */
export const limits = (options: {
  readonly all: Rate | false
  readonly sender: Rate | false
  readonly senders: number
}): Limits => {
  let everybody: Bucket | undefined
  const table = new Map<string, Bucket>()
  return {
    all: (now) => {
      if (options.all === false) return undefined
      everybody ??= { tokens: options.all.burst, at: now }
      const wait = take(everybody, options.all, now)
      return wait === 0 ? undefined : new RateLimited({ retryAfter: wait, scope: "global" })
    },
    sender: (sender, now) => {
      if (options.sender === false) return undefined
      const bucket = table.get(sender) ?? { tokens: options.sender.burst, at: now }
      // last used = last in the map's order
      table.delete(sender)
      table.set(sender, bucket)
      if (table.size > options.senders) {
        const [oldest] = table.keys()
        if (oldest !== undefined) table.delete(oldest)
      }
      const wait = take(bucket, options.sender, now)
      return wait === 0 ? undefined : new RateLimited({ retryAfter: wait, scope: "sender" })
    },
    remembered: () => table.size
  }
}
