/**
 * plainjob on SQLite, through better-sqlite3: the nearest relative, a queue in the process over one file. It sets
 * synchronous=NORMAL itself, which may lose what it acknowledged at a power cut, so this side sets FULL after it. One
 * worker takes the jobs in order.
 */
import { join } from "node:path"
import { type Contestant, type Message, rounds } from "./Contestant.ts"
import { installed } from "./installed.ts"

const packages = ["plainjob@0.0.14", "better-sqlite3@13.2.0"]

interface Database {
  readonly pragma: (statement: string, options?: object) => unknown
}

interface Plainjob {
  readonly better: (database: Database) => object
  readonly defineQueue: (options: object) => {
    readonly add: (type: string, data: Message) => unknown
    readonly close: () => void
  }
  readonly defineWorker: (
    type: string,
    run: (job: { readonly data: string }) => void,
    options: object
  ) => { readonly start: () => Promise<void>; readonly stop: () => Promise<void> }
}

export const plainjob = async (folder: string): Promise<Contestant> => {
  const { load } = await installed("plainjob", packages)
  const { better, defineQueue, defineWorker } = await load<Plainjob>("plainjob")
  const { default: Sqlite } = await load<{ readonly default: new (path: string) => Database }>("better-sqlite3")
  const database = new Sqlite(join(folder, "plainjob.db"))
  const quiet = () => undefined
  const logger = {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: (said: string) => process.stderr.write(`plainjob: ${said}\n`)
  }
  const queue = defineQueue({ connection: better(database), logger })
  database.pragma("synchronous = full")
  const { round, tally } = rounds(async (message) => {
    queue.add("message", message)
  })
  const worker = defineWorker("message", ({ data }) => tally().handled(JSON.parse(data) as Message), {
    queue,
    logger,
    pollIntervall: 1,
    onCompleted: () => tally().completed()
  })
  const working = worker.start()
  return {
    setting: `${packages.join(", ")}, synchronous=FULL, one worker`,
    round,
    close: async () => {
      await worker.stop()
      await working
      queue.close()
    }
  }
}
