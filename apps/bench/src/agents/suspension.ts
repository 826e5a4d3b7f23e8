/**
 * T16: how long a suspension takes after the idle time, until the agent's process is gone, and how long it takes until a
 * suspended agent sees the next message. Beside it the same without a gateway: the end of input until the process has
 * ended, and a start that finds its conversation again.
 */
import { readFileSync } from "node:fs"
import { type Figure, median, ms } from "../figure.ts"
import { childrenOf, type Launch, launchOf, runs } from "../processes.ts"
import { inFolder } from "../store.ts"
import { build, client, type Client, now, type Running, start, type Weight } from "./gateway.ts"
import { absent, type Kind, kinds, type Place, placed, quick } from "./kinds.ts"
import { type Spread, spread, stampsIn } from "./turns.ts"

/** The shortest idle time that can be configured, in milliseconds. */
const idle = 60_000

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

const sessionsOf = ({ real }: Kind): number => (quick ? 2 : real ? 5 : 20)

/** A gateway with one kind of agent. */
interface Room {
  readonly kind: Kind
  readonly place: Place
  readonly gateway: Running
  readonly client: Client
}

/** An agent's process, and how it was started. */
interface Agent {
  readonly pid: number
  readonly launch: Launch
}

/** A session that was used once and rests since. */
interface Resting {
  /** Absent where no process stays. */
  readonly agent: Agent | undefined
  readonly gone: Promise<number>
}

/** Gateways of all kinds side by side: while they rest they are in nobody's way. */
const inRooms = async <A>(
  [kind, ...others]: ReadonlyArray<Kind>,
  folder: string,
  use: (rooms: ReadonlyArray<Room>) => Promise<A>
): Promise<A> => {
  if (kind === undefined) return use([])
  return placed(kind, folder, async (place) => {
    const configuration = { agents: { main: kind.agent(place) }, session: { idleTimeout: `${idle} millis` } }
    const gateway = await start(place.folder, configuration, { inspected: true })
    const own = client(gateway)
    try {
      return await inRooms(others, folder, (rooms) => use([{ kind, place, gateway, client: own }, ...rooms]))
    } finally {
      own.close()
      await gateway.stop()
    }
  })
}

const text = (turn: string): string => `turn ${turn}: hello, this is a message of a usual length for a chat`

/** Milliseconds from the end of the idle time until the process is gone, where one stayed. */
const gone = async (since: number, agent: Agent | undefined): Promise<number> => {
  const end = since + idle
  await pause(Math.max(0, end - 500 - now()))
  const left = () => agent === undefined || !runs(agent.pid)
  while (!left()) {
    if (now() > end + 30_000) throw new Error("an agent was not suspended within 30 s of its idle time")
    await pause(1)
  }
  return now() - end
}

/** Opens the sessions of a room, one after the other. */
const fill = async ({ client, gateway, kind }: Room): Promise<ReadonlyArray<Resting>> => {
  const all: Array<Resting> = []
  const known = new Set<number>()
  for (let session = 0; session < sessionsOf(kind); session++) {
    await client.say(`c${session}`, text(`begin-${session}`), true)
    const since = now()
    const pid = kind.stays ? childrenOf(gateway.pid).find((pid) => !known.has(pid)) : undefined
    if (kind.stays && pid === undefined) throw new Error(`${kind.name}: no process stays after a turn`)
    if (pid !== undefined) known.add(pid)
    const agent = pid === undefined ? undefined : { pid, launch: launchOf(pid) }
    all.push({ agent, gone: gone(since, agent) })
    // So that the ends of their idle times come one at a time too.
    await pause(100)
  }
  return all
}

/** The same without a gateway, once. */
const bareOnce = async (
  { kind, place }: Room,
  like: Launch,
  session: number
): Promise<{ readonly ended: number; readonly asked: number }> => {
  const first = await kind.bare(place, like)
  await first.turn(text(`bare-${session}`))
  const begun = now()
  await first.close()
  const ended = now() - begun
  const asked = now()
  const again = await kind.bare(place, like, first.conversation)
  await again.turn(text(`again-${session}`))
  await again.close()
  return { ended, asked }
}

/** What came of one kind, in milliseconds. */
interface Found {
  readonly kind: Kind
  readonly suspended: Spread | undefined
  readonly resumed: Spread
  readonly bareEnd: number | undefined
  readonly bareResumed: number
  /** The gateway with all sessions, and with none. */
  readonly weights: readonly [before: Weight | undefined, after: Weight | undefined]
}

const measureIn = async (rooms: ReadonlyArray<Room>): Promise<ReadonlyArray<Found>> => {
  const resting: Array<ReadonlyArray<Resting>> = []
  for (const room of rooms) resting.push(await fill(room))
  const before = await Promise.all(rooms.map(({ gateway }) => gateway.weigh()))
  const waits = await Promise.all(resting.map((sessions) => Promise.all(sessions.map(({ gone }) => gone))))
  await pause(1000)
  const after = await Promise.all(rooms.map(({ gateway }) => gateway.weigh()))
  const found: Array<Found> = []
  for (const [index, room] of rooms.entries()) {
    const { client, kind, place } = room
    const asked: Array<number> = []
    const bares: Array<{ readonly ended: number; readonly asked: number }> = []
    for (const [session, { agent }] of (resting[index] ?? []).entries()) {
      asked.push(now())
      await client.say(`c${session}`, text(`resume-${session}`), true)
      const like = agent?.launch ?? { argv: [], env: {}, cwd: place.folder }
      bares.push(await bareOnce(room, like, session))
    }
    const stamps = stampsIn(readFileSync(place.stamps, "utf8"))
    const until = (name: string, times: ReadonlyArray<number>) =>
      times.map((time, session) => (stamps.get(`${name}-${session}`)?.seen ?? Number.NaN) - time)
    found.push({
      kind,
      suspended: kind.stays ? spread(waits[index] ?? []) : undefined,
      resumed: spread(until("resume", asked)),
      bareEnd: kind.stays ? median(bares.map(({ ended }) => ended)) : undefined,
      bareResumed: median(
        until(
          "again",
          bares.map(({ asked }) => asked)
        )
      ),
      weights: [before[index], after[index]]
    })
  }
  return found
}

const megabytes = (weight: Weight | undefined): string =>
  weight === undefined ? "" : `${(weight.heap / 1e6).toFixed(1)} MB, ${(weight.resident / 1e6).toFixed(0)} MB`

const both = ({ p50, p99 }: Spread): string => `${ms(p50)}, ${ms(p99)}`

const row = ({ bareEnd, bareResumed, kind, resumed, suspended, weights }: Found): string => {
  const cells = [
    kind.title,
    String(sessionsOf(kind)),
    suspended === undefined ? "no process stays" : both(suspended),
    bareEnd === undefined ? "" : ms(bareEnd),
    both(resumed),
    ms(bareResumed),
    ...weights.map(megabytes)
  ]
  return `| ${cells.join(" | ")} |`
}

/** See the header. */
export const T16 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    build()
    const found = await inRooms(kinds(), folder, measureIn)
    const told = found.map(({ bareEnd = 0, bareResumed, kind, resumed, suspended }) => {
      const more = `resume ${ms(resumed.p50)} (bare ${ms(bareResumed)})`
      return `${kind.name} ${suspended === undefined ? "" : `suspend ${ms(suspended.p50)} (bare ${ms(bareEnd)}), `}${more}`
    })
    return {
      id: "T16",
      what: "end of the idle time -> process gone; message -> prompt at the suspended agent; p50",
      target: "",
      measured: told.join("; "),
      details: [
        "| | sessions | idle time over -> process gone | end of input -> process gone, bare | message -> prompt at the agent | start -> prompt at the agent, bare | heap and resident with them | without |",
        "|---|---|---|---|---|---|---|---|",
        ...found.map(row),
        ...absent().map((line) => `\n${line}`)
      ].join("\n")
    }
  })
