/**
 * What a benchmark says and how it is measured: only ratios inside one interleaved
 * run mean anything on a machine that others use too, so both sides take turns and
 * the median of the rounds counts.
 */

/** One figure of docs/performance.md. */
export interface Figure {
  readonly id: string
  readonly what: string
  /** Empty where nothing was set. */
  readonly target: string
  readonly measured: string
  /** Whether the target was met in this run; absent when it could not be measured here. */
  readonly met?: boolean
  /** Markdown that belongs below the table of figures. */
  readonly details?: string
}

export const sorted = (values: ReadonlyArray<number>): Array<number> => [...values].sort((a, b) => a - b)

/** The value below which the share `p` (0 to 1) of all values lies. */
export const quantile = (values: ReadonlyArray<number>, p: number): number => {
  const all = sorted(values)
  return all[Math.min(all.length - 1, Math.floor(all.length * p))] ?? Number.NaN
}

export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

// A gateway runs for days: what it does before it is compiled is not its speed.
const warmUps = 3

/** Runs both sides alternately and returns their results by round; the first rounds warm both up and are left out. */
export const interleave = async (
  rounds: number,
  a: (round: number) => Promise<number>,
  b: (round: number) => Promise<number>
): Promise<{ readonly a: ReadonlyArray<number>; readonly b: ReadonlyArray<number>; readonly ratio: number }> => {
  const as: Array<number> = []
  const bs: Array<number> = []
  for (let round = 0; round < warmUps + rounds; round++) {
    const first = await a(round)
    const second = await b(round)
    if (round < warmUps) continue
    as.push(first)
    bs.push(second)
  }
  return { a: as, b: bs, ratio: median(as.map((value, index) => value / (bs[index] ?? Number.NaN))) }
}

/** Milliseconds of the monotonic clock. */
export const now = (): number => performance.now()

export const perSecond = (count: number, millis: number): number => (count / millis) * 1000

export const thousands = (value: number): string => `${(value / 1000).toFixed(value < 10_000 ? 1 : 0)}k/s`

export const ms = (value: number): string => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`

/** The heap in bytes after a full collection (needs --expose-gc). */
export const heap = async (): Promise<number> => {
  const collect: unknown = Reflect.get(globalThis, "gc")
  if (typeof collect === "function") {
    for (let i = 0; i < 3; i++) {
      collect()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  return process.memoryUsage().heapUsed
}
