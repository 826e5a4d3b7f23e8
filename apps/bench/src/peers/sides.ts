/**
 * The sides of T4 by name, each with its target, and the process in which one of them runs. It reads `round <count>` from
 * its standard input and ends when that ends, so nobody has to look for it.
 */
import { createInterface } from "node:readline"
import { inFolder } from "../store.ts"
import { bullmq } from "./bullmq.ts"
import { Absent, type Contestant } from "./Contestant.ts"
import { graphileWorker } from "./graphile.ts"
import { pgBoss } from "./pgBoss.ts"
import { plainjob } from "./plainjob.ts"
import { restate } from "./restate.ts"
import { sluice } from "./sluice.ts"

const sides: Readonly<Record<string, (folder: string) => Promise<Contestant>>> = {
  sluice: sluice("collect"),
  "sluice-followup": sluice("followup"),
  restate,
  bullmq: bullmq({ durable: true, queues: "one" }),
  "bullmq-each": bullmq({ durable: true, queues: "each" }),
  "bullmq-default": bullmq({ durable: false, queues: "one" }),
  "pg-boss": pgBoss,
  "graphile-worker": graphileWorker,
  plainjob
}

const say = (kind: string, value: unknown) => process.stdout.write(`${kind} ${JSON.stringify(value)}\n`)

const main = (name: string) =>
  inFolder(async (folder) => {
    const start = sides[name]
    if (start === undefined) throw new Error(`no side "${name}"`)
    const side = await start(folder)
    try {
      say("ready", null)
      for await (const line of createInterface({ input: process.stdin })) {
        const [, count] = line.split(" ")
        say("done", await side.round(Number(count)))
      }
      say("setting", side.setting)
    } finally {
      await side.close()
    }
  })

main(process.argv[2] ?? "").then(
  () => process.exit(0),
  (error: unknown) => {
    if (error instanceof Absent) say("absent", error.message)
    else process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exit(error instanceof Absent ? 0 : 1)
  }
)
