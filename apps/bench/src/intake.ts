/**
 * T1, T2, T8: what the journal's intake costs over the driver alone, and the mark of
 * a stop. Each round has a new store on the same disk as its limit.
 */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { type Figure, interleave, median, ms, now, perSecond, quantile, thousands } from "./figure.ts"
import { admission, inFolder, insertOne, raw, withJournal } from "./store.ts"

const clients = 64

/** Durable accepts per second: 64 clients, each waiting for its receipt. */
export const T1 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    const count = 25_600
    const ours = (round: number) =>
      withJournal(join(folder, `a${round}.db`), (journal) =>
        Effect.gen(function* () {
          const start = now()
          yield* Effect.forEach(
            Array.from({ length: clients }, (_, client) => client),
            (client) =>
              Effect.gen(function* () {
                for (let i = 0; i < count / clients; i++) yield* journal.admit(admission(`c${client}`, `m${i}`))
              }),
            { concurrency: "unbounded", discard: true }
          )
          return perSecond(count, now() - start)
        })
      )
    const limit = async (round: number) => {
      const db = await raw(join(folder, `b${round}.db`))
      const insert = insertOne(db)
      const start = now()
      for (let i = 0; i < count; i += clients) {
        db.exec("begin immediate")
        for (let client = 0; client < clients; client++) insert(i + client + 1, client + 1, `m${i}`)
        db.exec("commit")
      }
      const took = now() - start
      db.close()
      return perSecond(count, took)
    }
    const { a, b, ratio } = await interleave(7, ours, limit)
    return {
      id: "T1",
      what: "durable accepts/s, 64 clients, FULL, over raw transactions of 64 rows",
      target: ">= 0.85",
      measured: `${ratio.toFixed(2)} (${thousands(median(a))} over ${thousands(median(b))})`,
      met: ratio >= 0.85
    }
  })

/** Accept latency at 500 messages a second, and a raw single commit. */
export const T2 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    const single = async () => {
      const db = await raw(join(folder, `raw${now()}.db`))
      const insert = insertOne(db)
      const times: Array<number> = []
      for (let i = 1; i <= 1000; i++) {
        const start = now()
        insert(i, 1, `m${i}`)
        times.push(now() - start)
      }
      db.close()
      return median(times)
    }
    const before = await single()
    const times: Array<number> = []
    await withJournal(join(folder, "t2.db"), (journal) =>
      Effect.gen(function* () {
        const send = (i: number) =>
          Effect.suspend(() => {
            const start = now()
            return Effect.map(
              journal.admit(admission(`c${i % 50}`, `m${i}`)),
              () => void (i > 500 && times.push(now() - start))
            )
          })
        const begun = now()
        for (let i = 0; i < 4000; i++) {
          const wait = begun + i * 2 - now()
          if (wait > 0) yield* Effect.sleep(wait)
          yield* Effect.forkChild(send(i))
        }
        yield* Effect.sleep(200)
      })
    )
    const raws = median([before, await single()])
    const p50 = quantile(times, 0.5)
    const p99 = quantile(times, 0.99)
    return {
      id: "T2",
      what: "accept latency at 500 msg/s",
      target: "p50 <= 3x a raw single commit, p99 <= 10 ms",
      measured: `p50 ${ms(p50)} (${(p50 / raws).toFixed(1)}x of ${ms(raws)}), p99 ${ms(p99)}`,
      met: p50 <= 3 * raws && p99 <= 10
    }
  })

/** The mark of a stop over 100,000 sessions with open work. */
export const T8 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    const count = 100_000
    const times = await withJournal(join(folder, "t8.db"), (journal) =>
      Effect.gen(function* () {
        const peers = Array.from({ length: count }, (_, index) => index)
        yield* Effect.forEach(peers, (peer) => journal.admit(admission(`c${peer}`, "m")), {
          concurrency: 1000,
          discard: true
        })
        const start = now()
        const marked = yield* journal.preMark("stop")
        return { took: now() - start, marked }
      })
    )
    return {
      id: "T8",
      what: "pre-mark of 100k sessions with open work, one commit",
      target: "<= 50 ms",
      measured: `${ms(times.took)} (${times.marked.sessions} sessions)`,
      met: times.took <= 50
    }
  })
