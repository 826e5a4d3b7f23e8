/**
 * graphile-worker on Postgres: a named queue for each conversation, which it runs one job after the other, with its local
 * queue (jobs fetched in batches) and completions in batches.
 */
import { type Contestant, conversations, type Message, rounds } from "./Contestant.ts"
import { postgres } from "./daemons.ts"
import { installed } from "./installed.ts"

const packages = ["graphile-worker@0.18.0"]

interface Runner {
  readonly addJob: (task: string, message: Message, options: object) => Promise<unknown>
  readonly stop: () => Promise<void>
  readonly events: { readonly on: (event: "job:complete", heard: (value: object) => void) => void }
}

interface Pg {
  readonly default: {
    readonly Pool: new (options: object) => {
      readonly on: (event: "error" | "connect", heard: (value: unknown) => void) => void
      readonly end: () => Promise<void>
    }
  }
}

interface Graphile {
  readonly run: (options: object) => Promise<Runner>
  readonly Logger: new (scope: () => (level: string, message: string) => void) => object
}

export const graphileWorker = async (folder: string): Promise<Contestant> => {
  const { load } = await installed("graphile-worker", packages)
  const { Logger, run } = await load<Graphile>("graphile-worker")
  const { Pool } = (await load<Pg>("pg")).default
  const server = await postgres(folder)
  const pool = new Pool({ connectionString: server.url, max: 24 })
  const state = { open: true }
  pool.on("error", (error) => {
    // A connection may hear of the server's end after the pool ended.
    if (state.open) throw error
  })
  pool.on("connect", () => undefined)
  const logger = new Logger(() => (level, message) => {
    if (level === "error") process.stderr.write(`graphile-worker: ${message}\n`)
  })
  const runner = await run({
    pgPool: pool,
    preset: {
      worker: {
        concurrentJobs: conversations,
        localQueue: { size: 2 * conversations },
        completeJobBatchDelay: 5,
        pollInterval: 100,
        logger
      }
    },
    noHandleSignals: true,
    taskList: { message: async (payload: unknown) => tally().handled(payload as Message) }
  })
  const { round, tally } = rounds((message) =>
    runner.addJob("message", message, { queueName: `c${message.conversation}`, maxAttempts: 1 })
  )
  runner.events.on("job:complete", () => tally().completed())
  return {
    setting: `${packages.join(", ")}, Postgres ${server.version} as it comes, a named queue for each conversation, ${conversations} jobs at a time, local queue, completions in batches`,
    round,
    close: async () => {
      await runner.stop()
      state.open = false
      await pool.end()
      await server.stop()
    }
  }
}
