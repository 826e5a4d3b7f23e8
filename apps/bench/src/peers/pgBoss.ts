/**
 * pg-boss on Postgres, with its own policy for order per key (`key_strict_fifo`). Its workers poll at most twice a second
 * unless their batches come back full, so this side fetches and completes by itself, in batches, as fast as it can.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { type Contestant, conversations, type Message, rounds } from "./Contestant.ts"
import { postgres } from "./daemons.ts"
import { installed } from "./installed.ts"

const packages = ["pg-boss@12.35.0"]

interface Boss {
  readonly on: (event: "error", heard: (error: Error) => void) => void
  readonly start: () => Promise<unknown>
  readonly stop: (options: object) => Promise<void>
  readonly createQueue: (name: string, options: object) => Promise<void>
  readonly send: (name: string, data: Message, options: object) => Promise<unknown>
  readonly fetch: (
    name: string,
    options: object
  ) => Promise<ReadonlyArray<{ readonly id: string; readonly data: Message }>>
  readonly complete: (name: string, ids: ReadonlyArray<string>) => Promise<unknown>
}

export const pgBoss = async (folder: string): Promise<Contestant> => {
  const { load } = await installed("pg-boss", packages)
  const { PgBoss } = await load<{ readonly PgBoss: new (options: object) => Boss }>("pg-boss")
  const server = await postgres(folder)
  const boss = new PgBoss({ connectionString: server.url, max: 16 })
  const state = { open: true }
  boss.on("error", (error) => {
    // Its pool hears that the server ends.
    if (state.open) throw error
  })
  await boss.start()
  await boss.createQueue("messages", { policy: "key_strict_fifo" })
  const { round, tally } = rounds((message) =>
    boss.send("messages", message, { singletonKey: `c${message.conversation}` })
  )
  const work = async () => {
    while (state.open) {
      // At most one of each key comes back, so a batch never holds two of a conversation.
      const jobs = await boss.fetch("messages", { batchSize: conversations })
      if (jobs.length === 0) {
        await sleep(2)
        continue
      }
      for (const { data } of jobs) tally().handled(data)
      await boss.complete(
        "messages",
        jobs.map(({ id }) => id)
      )
      for (const _ of jobs) tally().completed()
    }
  }
  const working = work()
  return {
    setting: `${packages.join(", ")}, Postgres ${server.version} as it comes, key_strict_fifo, fetch and complete in batches of up to ${conversations}`,
    round,
    close: async () => {
      state.open = false
      await working
      await boss.stop({ graceful: false })
      await server.stop()
    }
  }
}
