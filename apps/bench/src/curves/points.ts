/**
 * One point of a growth curve, in a process of its own: a store with so many conversations that rest, or so many messages
 * that wait, and what the gateway then does in how much time and memory. Whatever changes the store works on a copy.
 */
import { spawn } from "node:child_process"
import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as Agent from "@sluice/runtime/Agent"
import { Gateway } from "@sluice/runtime/Gateway"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { heap, median, now, perSecond } from "../figure.ts"
import { run } from "../pipeline.ts"
import { admission, inFolder, withJournal } from "../store.ts"

/** What the curves are drawn over. */
export type Axis = "conversations" | "pending"

/** A gateway that has just started on a store, in a process that did nothing else. */
export interface Booted {
  /** Milliseconds from the store's opening to ready. */
  readonly boot: number
  /** Bytes of JavaScript objects after a full collection. */
  readonly heap: number
  /** Bytes of the process's resident memory. */
  readonly resident: number
  /** Milliseconds of a stop in which nothing is waited for. */
  readonly stop: number
}

/** Times in milliseconds, rates in messages a second, memory in bytes. Absent where it has no meaning (nothing pending). */
export interface Point extends Booted {
  readonly size: number
  /** Messages that were answered together, on average: what comes while a turn runs is the next one. */
  readonly batch?: number
  /** The heap of a gateway that has served all conversations. */
  readonly served?: number
  /** Durable accepts. */
  readonly accepts?: number
  /** Accepted, handled in order and completed. */
  readonly completions?: number
}

const clients = 64
const rounds = 3

/** An agent that answers at once, and how many messages it has seen. */
const echo = () => {
  const seen = { messages: 0, turns: 0 }
  const agent = Agent.make({
    open: () =>
      Effect.succeed({
        answer: (turn) => {
          seen.messages += turn.messages.length
          seen.turns++
          return Stream.succeed(Agent.text("done"))
        }
      })
  })
  return { agent, seen }
}

const hang = Agent.make({ open: () => Effect.succeed({ answer: () => Stream.never }) })

/** Waits until so many were seen and nothing is open. The ledger counts rows, so it is asked only towards the end. */
const ended = (seen: { readonly messages: number }, count: number) =>
  Effect.gen(function* () {
    const { audit } = yield* Gateway
    while (seen.messages < count) yield* Effect.sleep(5)
    while ((yield* audit).open > 0) yield* Effect.sleep(5)
  })

/** 64 clients accept so many messages; `to` says the conversation of each. */
const accept = (count: number, name: string, to: (index: number) => string) =>
  Effect.gen(function* () {
    const { accept } = yield* Gateway
    const text = "hello, this is a message of a usual length for a chat"
    const client = (first: number) =>
      Effect.gen(function* () {
        for (let i = first; i < count; i += clients)
          yield* accept({ conversation: to(i), id: `${name}${i}`, sender: "kim", text })
      })
    yield* Effect.forEach(
      Array.from({ length: clients }, (_, i) => i),
      client,
      { concurrency: "unbounded", discard: true }
    )
  })

/** Spread over the whole range without a pattern, the same in each run. */
const scattered = (index: number, size: number): number => (Math.imul(index + 1, 0x9e3779b1) >>> 0) % size

/** Milliseconds of a stop in which nothing is waited for. */
const stopMillis = Effect.gen(function* () {
  const { stop } = yield* Gateway
  const start = now()
  yield* stop({ reason: "stop", force: 1 })
  return now() - start
})

/** Boots a gateway whose turns never end, weighs it, and stops it. */
const bootOnce = (store: string): Promise<Booted> => {
  const start = now()
  return run(
    store,
    Effect.gen(function* () {
      const boot = now() - start
      const used = yield* Effect.promise(heap)
      return { boot, heap: used, resident: process.memoryUsage.rss(), stop: yield* stopMillis }
    }),
    { agents: { main: hang } }
  )
}

/** The program's part for one boot; see `main.ts`. */
export const bootHere = async (store: string): Promise<void> => {
  process.stdout.write(`booted ${JSON.stringify(await bootOnce(store))}\n`)
}

const inProcess = (store: string): Promise<Booted> =>
  new Promise((resolve, reject) => {
    const main = join(import.meta.dirname, "../main.ts")
    const child = spawn(process.execPath, ["--expose-gc", "--no-warnings", main, "--boot", store], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    let text = ""
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString()
    })
    child.on("error", reject)
    child.on("exit", (code) => {
      const line = /^booted (.*)$/m.exec(text)
      if (line === null) reject(new Error(`the boot ended with ${code} and without a result`))
      else resolve(JSON.parse(line[1] ?? "") as Booted)
    })
  })

/** Lends a copy of a store. */
const onCopy = async <A>(store: string, use: (copy: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(`${store}-`)
  const copy = join(folder, "copy.db")
  copyFileSync(store, copy)
  const result = await use(copy)
  rmSync(folder, { recursive: true })
  return result
}

/** Boots on copies of a store, each in a process of its own; the median of each figure. */
const boots = async (store: string): Promise<Booted> => {
  const all: Array<Booted> = []
  for (let round = 0; round < rounds; round++) all.push(await onCopy(store, inProcess))
  const of = (key: keyof Booted) => median(all.map((one) => one[key]))
  return { boot: of("boot"), heap: of("heap"), resident: of("resident"), stop: of("stop") }
}

/** So many conversations that rest: each had one message, which was answered. */
const conversations = (size: number): Promise<Point> =>
  inFolder(async (folder) => {
    const store = join(folder, "conversations.db")
    const { agent, seen } = echo()
    const count = 12_800
    const first = await run(
      store,
      Effect.gen(function* () {
        yield* accept(size, "first", (index) => `c${index}`)
        yield* ended(seen, size)
        const rates: Array<number> = []
        const { messages, turns } = { ...seen }
        for (let round = 0; round <= rounds; round++) {
          const before = seen.messages
          const start = now()
          yield* accept(count, `round${round}-`, (index) => `c${scattered(index + round * count, size)}`)
          yield* ended(seen, before + count)
          if (round > 0) rates.push(perSecond(count, now() - start))
        }
        const served = yield* Effect.promise(heap)
        const batch = (seen.messages - messages) / (seen.turns - turns)
        return { completions: median(rates), batch, served, stop: yield* stopMillis }
      }),
      { agents: { main: agent } }
    )
    return { size, ...(await boots(store)), ...first }
  })

/** So many messages that wait in at most 10,000 conversations. */
const pending = (size: number): Promise<Point> =>
  inFolder(async (folder) => {
    const store = join(folder, "pending.db")
    const peers = Math.min(10_000, size)
    await withJournal(store, (journal) =>
      Effect.gen(function* () {
        journal.listen({ rows: () => undefined, replies: () => undefined, ended: () => undefined })
        const all = Array.from({ length: size }, (_, index) => index)
        const admit = (index: number) => journal.admit(admission(`c${index % peers}`, `m${index}`))
        yield* Effect.forEach(all, admit, { concurrency: 1000, discard: true })
      })
    )
    const count = 12_800
    const accepting = Effect.gen(function* () {
      const rates: Array<number> = []
      for (let round = 0; round <= rounds; round++) {
        const start = now()
        yield* accept(count, `round${round}-`, (index) => `new${index % clients}`)
        if (round > 0) rates.push(perSecond(count, now() - start))
      }
      yield* stopMillis
      return median(rates)
    })
    const accepts = await onCopy(store, (copy) => run(copy, accepting, { agents: { main: hang } }))
    const { agent, seen } = echo()
    const backlog = Effect.suspend(() => {
      const start = now()
      return Effect.map(ended(seen, size), () => perSecond(size, now() - start))
    })
    const work = (copy: string) => run(copy, backlog, { agents: { main: agent } })
    return { size, ...(await boots(store)), accepts, ...(size === 0 ? {} : { completions: await onCopy(store, work) }) }
  })

export const measure: Readonly<Record<Axis, (size: number) => Promise<Point>>> = { conversations, pending }
