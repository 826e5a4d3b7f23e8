/**
 * What a turn's time consists of. The client knows when it sent a message and when it could read the answer, the agent
 * when it saw the prompt and when it said the answer, both by the same clock: what is left between them is the way there
 * and back, which through a gateway is the gateway's own part and without one the pipe's.
 */
import { quantile } from "../figure.ts"

/** What the client saw of a turn, in milliseconds of the monotonic clock. */
export interface Heard {
  readonly asked: number
  /** The first piece of the answer could be read; absent where the answer comes whole. */
  readonly first?: number
  /** The whole answer could be read. */
  readonly readable: number
}

/** What the agent saw of it. */
export interface Stamp {
  readonly seen: number
  /** It began to say its answer. */
  readonly first: number
  /** It said the last piece. */
  readonly said: number
}

/** The parts of a turn in milliseconds. */
export interface Parts {
  /** From the message to the whole answer. */
  readonly whole: number
  /** The same without the agent's own time: the way there and the way back. */
  readonly own: number
  /** From the message to the prompt that the agent sees. */
  readonly there: number
  /** From the agent's last piece to the whole answer. */
  readonly back: number
  /** From the message to the first piece of the answer, without the agent's own time. */
  readonly first: number | undefined
}

const isStamp = (value: unknown): value is Stamp & { readonly turn: string } =>
  typeof value === "object" &&
  value !== null &&
  "turn" in value &&
  typeof value.turn === "string" &&
  (["seen", "first", "said"] as const).every((name) => typeof Reflect.get(value, name) === "number")

/** Reads what agents wrote down. A turn that ran twice was not measured: its time is that of two. */
export const stampsIn = (text: string): ReadonlyMap<string, Stamp> => {
  const found = new Map<string, Stamp>()
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const value: unknown = JSON.parse(line)
    if (!isStamp(value)) throw new Error(`an agent wrote down what is no stamp: ${line}`)
    if (found.has(value.turn)) throw new Error(`turn ${value.turn} ran twice`)
    found.set(value.turn, value)
  }
  return found
}

/** Takes a turn apart. A part below zero means two clocks, or the stamp of another turn. */
export const partsOf = (turn: string, heard: Heard, stamps: ReadonlyMap<string, Stamp>): Parts => {
  const stamp = stamps.get(turn)
  if (stamp === undefined) throw new Error(`no agent saw turn ${turn}`)
  const { first, said, seen } = stamp
  const ordered = [heard.asked, seen, first, said, heard.readable]
  if (ordered.some((time, index) => time < (ordered[index - 1] ?? 0))) {
    throw new Error(`turn ${turn} did not happen in order: ${ordered.join(", ")}`)
  }
  const [there, back] = [seen - heard.asked, heard.readable - said]
  return {
    whole: heard.readable - heard.asked,
    own: there + back,
    there,
    back,
    first: heard.first === undefined ? undefined : heard.first - heard.asked - (first - seen)
  }
}

/** Median and 99th percentile; of few values the latter is the longest. */
export interface Spread {
  readonly p50: number
  readonly p99: number
}

export const spread = (values: ReadonlyArray<number>): Spread => ({
  p50: quantile(values, 0.5),
  p99: quantile(values, 0.99)
})

const firsts = (parts: ReadonlyArray<Parts>): ReadonlyArray<number> =>
  parts.flatMap(({ first }) => (first === undefined ? [] : [first]))

/** What a gateway adds to the turns of an agent. */
export interface Overhead {
  /** To the whole answer. */
  readonly answer: Spread
  /** To the first words; absent where nobody sees them before the last. */
  readonly first: Spread | undefined
}

/**
 * What the turns through a gateway took beyond their agent's own time, less what bare turns take beyond it, quantile by
 * quantile: a program has to be started and ended for anybody, and some starts take longer than others for anybody.
 */
export const overheadOf = (through: ReadonlyArray<Parts>, bare: ReadonlyArray<Parts>): Overhead => {
  const over = (values: ReadonlyArray<number>, without: ReadonlyArray<number>) => {
    const [all, base] = [spread(values), spread(without)]
    return { p50: all.p50 - base.p50, p99: all.p99 - base.p99 }
  }
  const owns = (parts: ReadonlyArray<Parts>) => parts.map(({ own }) => own)
  const seen = firsts(through)
  return {
    answer: over(owns(through), owns(bare)),
    first: seen.length === 0 ? undefined : over(seen, firsts(bare))
  }
}
