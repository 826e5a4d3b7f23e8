/**
 * BullMQ on Redis. Its open edition has no groups, so order per conversation is bought in one of two ways: one queue whose
 * worker has concurrency 1 (order over everything), or a queue and a worker for each conversation, which keeps a
 * connection to Redis for each. Redis keeps nothing of the last seconds by default, hence the side with appendfsync always.
 */
import { Absent, type Contestant, conversations, type Message, rounds } from "./Contestant.ts"
import { redis } from "./daemons.ts"
import { installed } from "./installed.ts"

const packages = ["bullmq@6.7.0", "ioredis@5.11.1"]

interface Connection {
  readonly quit: () => Promise<unknown>
}

interface BullMQ {
  readonly Queue: new (
    name: string,
    options: object
  ) => {
    readonly add: (name: string, data: Message, options: object) => Promise<unknown>
    readonly close: () => Promise<void>
  }
  readonly Worker: new (
    name: string,
    run: (job: { readonly data: Message }) => Promise<void>,
    options: object
  ) => {
    readonly on: (event: "completed" | "error", heard: (value: unknown) => void) => void
    readonly waitUntilReady: () => Promise<unknown>
    readonly close: () => Promise<void>
  }
}

interface IORedis {
  readonly Redis: new (port: number, host: string, options: object) => Connection
}

export const bullmq =
  ({ durable, queues }: { readonly durable: boolean; readonly queues: "one" | "each" }) =>
  async (folder: string): Promise<Contestant> => {
    if (process.platform === "win32") throw new Absent("Redis does not run here")
    const { load } = await installed("bullmq", packages)
    const { Queue, Worker } = await load<BullMQ>("bullmq")
    const { Redis } = await load<IORedis>("ioredis")
    const settings = durable ? ["--appendonly", "yes", "--appendfsync", "always", "--save", ""] : []
    const server = await redis(folder, settings)
    const connect = () => new Redis(server.port, "127.0.0.1", { maxRetriesPerRequest: null })
    const shared = connect()
    const names = Array.from({ length: queues === "one" ? 1 : conversations }, (_, index) => `conversation${index}`)
    const waiting = names.map((name) => new Queue(name, { connection: shared }))
    // What is done is removed: the cheapest that it offers.
    const options = { removeOnComplete: true }
    const { round, tally } = rounds((message) => {
      const queue = waiting[queues === "one" ? 0 : message.conversation]
      if (queue === undefined) throw new Error(`no queue for conversation ${message.conversation}`)
      return queue.add("message", message, options)
    })
    const workers = names.map((name) => {
      const connection = { host: "127.0.0.1", port: server.port, maxRetriesPerRequest: null }
      const worker = new Worker(name, async ({ data }) => tally().handled(data), { connection, concurrency: 1 })
      worker.on("completed", () => tally().completed())
      worker.on("error", (error) => {
        throw error
      })
      return worker
    })
    await Promise.all(workers.map((worker) => worker.waitUntilReady()))
    return {
      setting: `${packages.join(", ")}, Redis ${server.version} ${durable ? "appendonly, appendfsync always" : "as it comes: snapshots only"}, ${queues === "one" ? "one queue, concurrency 1" : "a queue and a worker for each conversation"}`,
      round,
      close: async () => {
        await Promise.all(workers.map((worker) => worker.close()))
        await Promise.all(waiting.map((queue) => queue.close()))
        await shared.quit()
        await server.stop()
      }
    }
  }
