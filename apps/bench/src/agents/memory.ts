/**
 * T17: what a live session weighs in the gateway, without its agent's own process. The gateway is weighed with some
 * sessions and with many more, each of which has had a turn and keeps its agent; what it loads once is in both.
 */
import { type Figure } from "../figure.ts"
import { childrenOf } from "../processes.ts"
import { inFolder } from "../store.ts"
import { build, client, start, type Weight } from "./gateway.ts"
import { absent, type Kind, kinds, placed, quick } from "./kinds.ts"

/** Sessions before the first weighing, and between it and the second. */
const countsOf = ({ real }: Kind): { readonly before: number; readonly more: number } =>
  quick ? { before: 2, more: 5 } : real ? { before: 5, more: 10 } : { before: 20, more: 200 }

/** Turns that each of the first sessions has: what is compiled or prepared on the way belongs to nobody's session. */
const warmUps = 10

/** How many sessions are opened at one time. */
const atOnce = 4

/** What one session of a kind weighs, in bytes. */
interface Found {
  readonly kind: Kind
  readonly each: Weight
  /** The gateway at the first weighing. */
  readonly base: Weight
}

const measureFor = (kind: Kind, folder: string): Promise<Found> =>
  placed(kind, folder, async (place) => {
    const agents = { main: kind.agent(place) }
    const gateway = await start(place.folder, { agents, session: { idleTimeout: "60 minutes" } }, { inspected: true })
    const { close, say } = client(gateway)
    const { before, more } = countsOf(kind)
    let turns = 0
    /** A turn in each of these sessions, some at one time. */
    const each = async (from: number, until: number) => {
      let next = from
      const one = async () => {
        while (next < until)
          await say(`c${next++}`, `turn live-${turns++}: hello, this is a message of a usual length`, true)
      }
      await Promise.all(Array.from({ length: atOnce }, one))
    }
    try {
      for (let round = 0; round < warmUps; round++) await each(0, before)
      const base = await gateway.weigh()
      await each(before, before + more)
      const all = await gateway.weigh()
      const live = childrenOf(gateway.pid).length
      if (kind.stays && live !== before + more)
        throw new Error(`${kind.name}: ${live} agents live, not ${before + more}`)
      const weight = { heap: (all.heap - base.heap) / more, resident: (all.resident - base.resident) / more }
      return { kind, each: weight, base }
    } finally {
      close()
      await gateway.stop()
    }
  })

const kib = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`

/** See the header. */
export const T17 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    build()
    const found: Array<Found> = []
    for (const kind of kinds()) {
      const one = await measureFor(kind, folder)
      process.stderr.write(`  ${kind.name}: ${kib(one.each.heap)} heap, ${kib(one.each.resident)} resident\n`)
      found.push(one)
    }
    return {
      id: "T17",
      what: "memory of the gateway per live session, without the agent's own (heap)",
      target: "",
      measured: found.map(({ each, kind }) => `${kind.name} ${kib(each.heap)}`).join(", "),
      details: [
        "| | sessions | heap, each | resident, each | heap and resident before |",
        "|---|---|---|---|---|",
        ...found.map(({ base, each, kind }) => {
          const { before, more } = countsOf(kind)
          const weights = `${megabytes(base.heap)}, ${megabytes(base.resident)}`
          return `| ${kind.title} | ${before} + ${more} | ${kib(each.heap)} | ${kib(each.resident)} | ${weights} |`
        }),
        ...absent().map((line) => `\n${line}`)
      ].join("\n")
    }
  })
