/**
 * PL1: what a pool adds to a request, in process and in a gateway, beside asking the backend directly. The backend is a
 * process of its own that takes 100 ms for each request and for each part of a streamed answer, and 64 clients ask one
 * request after the other, each at moments of its own: that leaves the cores time to spare, and what is measured is the
 * way of a request, not the queue for a core.
 */
import { join } from "node:path"
import { type Figure, ms, now, quantile } from "../figure.ts"
import { build, start } from "../agents/gateway.ts"
import { serveFrom } from "../http.ts"
import { cpuOf } from "../processes.ts"
import { type Cost, type Kind, kinds, service, serviceOf } from "./kinds.ts"
import { inFolder } from "../store.ts"
import { clients, configured, http, inProcess, type Side } from "./sides.ts"

const rounds = 5
const warmUps = 12
/** Requests of a client in a round. */
const each = 5

const wait = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** So often each client asks. A little longer than a request takes: clients that were held up together do not stay together. */
const periodOf = (kind: Kind): number => serviceOf(kind) * 1.05

/** All clients, each with its share. */
const round = async (side: Side, kind: Kind): Promise<ReadonlyArray<Cost>> => {
  const begun = now()
  const period = periodOf(kind)
  const all = Array.from({ length: clients }, async (_, client) => {
    const costs: Array<Cost> = []
    for (let i = 0; i < each; i++) {
      const due = begun + period * (client / clients + i)
      if (due > now()) await wait(due - now())
      costs.push(await side.ask(kind))
    }
    return costs
  })
  return (await Promise.all(all)).flat()
}

/** What a side's requests cost, and the time of a core that somebody used for each. */
interface Played {
  readonly costs: Array<Cost>
  cpu: number
}

interface Contestant {
  readonly name: string
  readonly side: Side
  /** Milliseconds of a core, of the process that the pool is in. */
  readonly cpu: () => number
}

const play = async (contestants: ReadonlyArray<Contestant>, kind: Kind): Promise<ReadonlyArray<Played>> => {
  const played = contestants.map((): Played => ({ costs: [], cpu: 0 }))
  for (let at = 0; at < warmUps + rounds; at++) {
    for (const [index, { cpu, side }] of contestants.entries()) {
      const before = cpu()
      const costs = await round(side, kind)
      const one = played[index]
      if (at < warmUps || one === undefined) continue
      one.costs.push(...costs)
      one.cpu += cpu() - before
    }
  }
  return played
}

const p50 = (costs: ReadonlyArray<Cost>, part: "whole" | "first" = "whole"): number =>
  quantile(
    costs.map((cost) => cost[part] ?? Number.NaN),
    0.5
  )

const p99 = (costs: ReadonlyArray<Cost>): number =>
  quantile(
    costs.map(({ whole }) => whole),
    0.99
  )

const rowsOf = (kind: Kind, contestants: ReadonlyArray<Contestant>, played: ReadonlyArray<Played>) => {
  const [direct = []] = played.map(({ costs }) => costs)
  return played.map(({ costs, cpu }, index) => {
    const over = p50(costs) - p50(direct)
    const first = kind === "streamed chat" ? p50(costs, "first") - p50(direct, "first") : undefined
    const own =
      index === 0 ? ["", "", ""] : [ms(over), ms(p99(costs) - p99(direct)), first === undefined ? "" : ms(first)]
    const cells = [
      kind,
      contestants[index]?.name ?? "",
      `${ms(p50(costs))}, ${ms(p99(costs))}`,
      ...own,
      ms(cpu / costs.length)
    ]
    return { over, text: `| ${cells.join(" | ")} |` }
  })
}

/** Milliseconds that a pool may add. */
const most = 1

const here = () => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}

/** The figure from the sides' costs of each kind. */
const figureOf = (contestants: ReadonlyArray<Contestant>, all: ReadonlyMap<Kind, ReadonlyArray<Played>>): Figure => {
  const rows = [...all].map(([kind, played]) => rowsOf(kind, contestants, played))
  const measured = contestants.slice(1).map(({ name }, index) => {
    const over = rows.map((row) => row[index + 1]?.over ?? Number.NaN)
    return { over, text: `${name}: ${over.map((value, at) => `${kinds[at]} ${ms(value)}`).join(", ")}` }
  })
  return {
    id: "PL1",
    what: `what a pool adds to a request at ${clients} concurrent, p50, backend of ${service} ms`,
    target: `<= ${most} ms`,
    measured: measured.map(({ text }) => text).join("; "),
    met: measured.flatMap(({ over }) => over).every((value) => value <= most),
    details: [
      "| | | beyond the backend's own time, p50, p99 | more than directly, p50 | p99 | to the first part, p50 | CPU of the process a request |",
      "|---|---|---|---|---|---|---|",
      ...rows.flat().map(({ text }) => text)
    ].join("\n")
  }
}

const measure = async (backend: string, folder: string): Promise<Figure> => {
  const gateway = await start(folder, { pools: configured(backend) })
  const contestants: ReadonlyArray<Contestant> = [
    { name: "the backend directly", side: http(backend), cpu: here },
    { name: "a pool in process", side: inProcess(backend), cpu: here },
    {
      name: "a gateway",
      side: http(gateway.url, { authorization: `Bearer ${gateway.token}` }),
      cpu: () => cpuOf(gateway.pid)
    }
  ]
  try {
    const all = new Map<Kind, ReadonlyArray<Played>>()
    for (const kind of kinds) all.set(kind, await play(contestants, kind))
    return figureOf(contestants, all)
  } catch (error) {
    throw new Error(`${String(error)}\n${gateway.said()}`, { cause: error })
  } finally {
    for (const { side } of contestants) await side.close()
    await gateway.stop()
  }
}

/** See the header. */
export const PL1 = (): Promise<Figure> => {
  build()
  const backend = join(import.meta.dirname, "backend.ts")
  return inFolder((folder) => serveFrom(backend, [], (url) => measure(url, folder)))
}
