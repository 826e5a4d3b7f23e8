/**
 * T3, T5, T7, T9, T10, T13: the whole pipeline in one process, with an agent that
 * answers at once, so that what is measured is ours.
 */
import { join } from "node:path"
import * as Agent from "@sluice/runtime/Agent"
import { Gateway, type GatewayOptions } from "@sluice/runtime/Gateway"
import type { Journal } from "@sluice/runtime/Journal"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type Figure, heap, interleave, median, ms, now, perSecond, quantile, thousands } from "./figure.ts"
import { admission, inFolder, insertOne, journal, raw, withJournal } from "./store.ts"

const echo = Agent.make({ open: () => Effect.succeed({ answer: (turn) => Stream.succeed(Agent.text(turn.text)) }) })

const gateway = (filename: string, options: Partial<GatewayOptions> = {}) =>
  Gateway.layer({
    agents: { main: echo },
    debounce: { quiet: 0 },
    queue: { cap: 1_000_000 },
    drain: { timeout: "5 seconds", startWithin: 0 },
    ...options
  }).pipe(Layer.provideMerge(journal(filename)))

export const run = <A>(
  filename: string,
  use: Effect.Effect<A, unknown, Gateway | Journal>,
  options: Partial<GatewayOptions> = {}
): Promise<A> => Effect.runPromise(Effect.provide(use, gateway(filename, options)))

/** Waits until nothing is open, looking at the ledger only now and then. */
const allEnded = Effect.gen(function* () {
  const { audit } = yield* Gateway
  while ((yield* audit).open > 0) yield* Effect.sleep(5)
})

const say = (peer: string, id: string) =>
  Gateway.use(({ accept }) =>
    accept({ conversation: peer, id, sender: "kim", text: "hello, this is a message of a usual length for a chat" })
  )

export const T3 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    const count = 19_200
    const clients = 64
    const ours = (round: number) =>
      run(
        join(folder, `a${round}.db`),
        Effect.gen(function* () {
          const start = now()
          yield* Effect.forEach(
            Array.from({ length: clients }, (_, client) => client),
            (client) =>
              Effect.gen(function* () {
                for (let i = 0; i < count / clients; i++) yield* say(`c${client}`, `m${i}`)
              }),
            { concurrency: "unbounded", discard: true }
          )
          yield* allEnded
          return perSecond(count, now() - start)
        })
      )
    const limit = async (round: number) => {
      const db = await raw(join(folder, `b${round}.db`))
      const insert = insertOne(db)
      const update = db.prepare("update sluice_inbound set ending = 'replied', ended_at = ? where seq = ?")
      const start = now()
      for (let i = 0; i < count; i += 64) {
        db.exec("begin immediate")
        for (let k = 0; k < 64; k++) insert(i + k + 1, k + 1, `m${i}`)
        for (let k = 0; k < 64; k++) update.run(1_700_000_000_000, i + k + 1)
        db.exec("commit")
      }
      const took = now() - start
      db.close()
      return perSecond(count, took)
    }
    const { a, b, ratio } = await interleave(7, ours, limit)
    return {
      id: "T3",
      what: "accept -> ordered handling -> durable completion, msg/s, over raw (64 inserts + 64 updates a transaction)",
      target: ">= 0.25 (stretch 0.45)",
      measured: `${ratio.toFixed(2)} (${thousands(median(a))} over ${thousands(median(b))})`,
      met: ratio >= 0.25
    }
  })

export const T5 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    const perConversation = (count: number) =>
      run(
        join(folder, `idle${count}.db`),
        Effect.gen(function* () {
          yield* Effect.forEach(
            Array.from({ length: 2000 }, (_, i) => i),
            (i) => say(`warm${i}`, "m"),
            { concurrency: 200, discard: true }
          )
          yield* allEnded
          const before = yield* Effect.promise(heap)
          yield* Effect.forEach(
            Array.from({ length: count }, (_, i) => i),
            (i) => say(`c${i}`, "m"),
            { concurrency: 200, discard: true }
          )
          yield* allEnded
          return ((yield* Effect.promise(heap)) - before) / count
        }),
        { session: { maxLive: 100 } }
      )
    const live = run(
      join(folder, "live.db"),
      Effect.gen(function* () {
        const count = 5000
        yield* say("first", "m")
        yield* allEnded
        const before = yield* Effect.promise(heap)
        yield* Effect.forEach(
          Array.from({ length: count }, (_, i) => i),
          (i) => say(`c${i}`, "m"),
          { concurrency: 200, discard: true }
        )
        yield* allEnded
        return ((yield* Effect.promise(heap)) - before) / count
      }),
      { session: { maxLive: 10_000, idleTimeout: "1 hour" } }
    )
    const perLive = await live
    const some = await perConversation(100_000)
    const many = process.env["SLUICE_BENCH_FULL"] === undefined ? undefined : await perConversation(1_000_000)
    return {
      id: "T5",
      what: "memory per idle conversation at 100k (and 1M with --full); per live session",
      target: "<= 512 B; <= 8 KiB",
      measured: `${some.toFixed(0)} B${many === undefined ? "" : ` (1M: ${many.toFixed(0)} B)`}; ${(perLive / 1024).toFixed(1)} KiB`,
      met: some <= 512 && (many ?? 0) <= 512 && perLive <= 8192
    }
  })

/** Turns that each take so long, and tell when all of them run. */
const slow = (count: number, millis: number) => {
  const all = Deferred.makeUnsafe<void>()
  let running = 0
  const agent = Agent.make({
    open: () =>
      Effect.succeed({
        answer: () =>
          Stream.fromEffect(
            Effect.suspend(() => {
              if (++running === count) Deferred.doneUnsafe(all, Effect.void)
              return Effect.andThen(Deferred.await(all), Effect.as(Effect.sleep(millis), Agent.text("done")))
            })
          )
      })
  })
  return { agent, all: Deferred.await(all) }
}

export const T7 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    const turns = 1000
    const left = 50
    const stops: Array<number> = []
    for (let round = 0; round < 5; round++) {
      const { agent, all } = slow(turns, left)
      stops.push(
        await run(
          join(folder, `turns${round}.db`),
          Effect.gen(function* () {
            const { stop } = yield* Gateway
            yield* Effect.forEach(
              Array.from({ length: turns }, (_, i) => i),
              (i) => say(`c${i}`, "m"),
              { concurrency: 200, discard: true }
            )
            yield* all
            const start = now()
            yield* stop({ reason: "stop" })
            return now() - start
          }),
          { agents: { main: agent }, turns: { limit: turns }, session: { maxLive: turns } }
        )
      )
    }
    const idle = await run(
      join(folder, "idle.db"),
      Effect.gen(function* () {
        const { stop } = yield* Gateway
        yield* Effect.forEach(
          Array.from({ length: 100_000 }, (_, i) => i),
          (i) => say(`c${i}`, "m"),
          { concurrency: 200, discard: true }
        )
        yield* allEnded
        const start = now()
        yield* stop({ reason: "stop" })
        return now() - start
      })
    )
    const took = median(stops)
    return {
      id: "T7",
      what: "stop with 1,000 turns whose longest has 50 ms left; with 100k idle conversations",
      target: "<= 70 ms; <= 50 ms",
      measured: `${ms(took)}; ${ms(idle)}`,
      met: took <= 70 && idle <= 50
    }
  })

const fill = (filename: string, conversations: number, each: number) =>
  withJournal(filename, (journal) =>
    Effect.gen(function* () {
      journal.listen({ rows: () => undefined, replies: () => undefined, ended: () => undefined })
      for (let i = 0; i < each; i++) {
        yield* Effect.forEach(
          Array.from({ length: conversations }, (_, c) => c),
          (c) => journal.admit(admission(`c${c}`, `m${i}`)),
          {
            concurrency: 1000,
            discard: true
          }
        )
      }
    })
  )

const bootMillis = (filename: string, agent: Agent.Agent) => {
  const start = now()
  return run(
    filename,
    Effect.sync(() => now() - start),
    { agents: { main: agent } }
  )
}

const hang = Agent.make({ open: () => Effect.succeed({ answer: () => Stream.never }) })

export const T9 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    const differences: Array<number> = []
    for (let round = 0; round < 4; round++) {
      const full = join(folder, `full${round}.db`)
      const empty = join(folder, `empty${round}.db`)
      await fill(full, 10_000, 10)
      await fill(empty, 1, 0)
      const bare = await bootMillis(empty, hang)
      const loaded = await bootMillis(full, hang)
      if (round > 0) differences.push(loaded - bare)
    }
    const more = median(differences)
    return {
      id: "T9",
      what: "boot with 100k pending over 10k conversations, over an empty boot, to ready",
      target: "<= 150 ms",
      measured: ms(more),
      met: more <= 150
    }
  })

export const T10 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    const pending = 3000
    const filename = join(folder, "t10.db")
    await fill(filename, pending / 10, 10)
    const start = now()
    const result = await run(
      filename,
      Effect.gen(function* () {
        yield* allEnded
        const ledger = yield* Gateway.use(({ audit }) => audit)
        return { took: now() - start, ends: ledger.ends.replied }
      })
    )
    return {
      id: "T10",
      what: "boot with 3,000 pending messages: all answered",
      target: "< 2 s, 0 lost",
      measured: `${ms(result.took)}, ${pending - result.ends} lost`,
      met: result.took < 2000 && result.ends === pending
    }
  })

export const T13 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    const times: Array<number> = []
    const sent = new Map<string, number>()
    const agent = Agent.make({
      open: () =>
        Effect.succeed({
          answer: (turn) => {
            const at = now()
            for (const { id } of turn.messages) {
              const start = sent.get(id)
              if (start !== undefined) times.push(at - start)
            }
            return Stream.succeed(Agent.text("done"))
          }
        })
    })
    await run(
      join(folder, "t13.db"),
      Effect.gen(function* () {
        const begun = now()
        const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
        for (let i = 0; i < 2000; i++) {
          const wait = begun + i * 4 - now()
          if (wait > 0) yield* Effect.sleep(wait)
          const id = `m${i}`
          if (i >= 200) sent.set(id, now())
          fibers.push(yield* Effect.forkChild(say(`c${i % 100}`, id)))
        }
        yield* Fiber.joinAll(fibers)
        yield* allEnded
      }),
      { agents: { main: agent } }
    )
    const p50 = quantile(times, 0.5)
    const p99 = quantile(times, 0.99)
    return {
      id: "T13",
      what: "inbound message -> agent start, debounce 0, 250 msg/s",
      target: "p99 <= 10 ms",
      measured: `p50 ${ms(p50)}, p99 ${ms(p99)}`,
      met: p99 <= 10
    }
  })
