/**
 * T15: what a gateway adds to a turn of an agent. The same agent is asked without a gateway, through it with a request
 * that waits, and through it with an open stream, in turns; what the agent itself needed is taken off each turn by its
 * own stamps. Agents answer at once, so nothing of the gateway hides behind their time.
 */
import { readFileSync } from "node:fs"
import { type Figure, median, ms } from "../figure.ts"
import { childrenOf, cpuOf, launchOf, tree } from "../processes.ts"
import { inFolder } from "../store.ts"
import type { Asker } from "./bare.ts"
import { build, client, now, type Running, start } from "./gateway.ts"
import { absent, type Kind, kinds, type Place, placed, quick } from "./kinds.ts"
import { type Heard, overheadOf, type Parts, partsOf, type Spread, spread, stampsIn } from "./turns.ts"

/** Turns of each side that count, and those before them. */
const share = ({ name, real }: Kind): { readonly turns: number; readonly warmUps: number } => {
  if (quick) return { turns: 10, warmUps: 2 }
  if (real) return { turns: 200, warmUps: 10 }
  return name === "command" ? { turns: 200, warmUps: 20 } : { turns: 500, warmUps: 100 }
}

/** Through the gateway, with a request that waits for its answer. */
const waiting = (gateway: Running, length: number, name = "waiting"): Asker => {
  const { close, say } = client(gateway)
  let turns = 0
  return {
    turn: async (text) => {
      const conversation = `${name}${Math.floor(turns++ / length)}`
      const asked = now()
      await say(conversation, text, true)
      return { asked, readable: now() }
    },
    close: () => Promise.resolve(close())
  }
}

/** Through the gateway, with a stream that is open: the first words can be read before the last. */
const streaming = (gateway: Running, length: number): Asker => {
  const { close, follow, say } = client(gateway)
  let turns = 0
  let leave: (() => void) | undefined
  let see: (event: string) => void = () => {}
  return {
    turn: async (text) => {
      const conversation = `streaming${Math.floor(turns / length)}`
      if (turns++ % length === 0 || leave === undefined) {
        leave?.()
        leave = await follow(conversation, (event) => see(event))
      }
      const { promise, resolve } = Promise.withResolvers<Heard>()
      const asked = now()
      let first: number | undefined
      see = (event) => {
        if (event === "text") first ??= now()
        if (event === "reply") resolve({ asked, ...(first === undefined ? {} : { first }), readable: now() })
      }
      await say(conversation, text, false)
      return promise
    },
    close: () => {
      leave?.()
      return Promise.resolve(close())
    }
  }
}

/** The sides of one kind: without a gateway, waiting, streaming. */
interface Sides<out A> {
  readonly bare: A
  readonly waiting: A
  readonly streaming: A
}

/** Milliseconds of a core that everything which was started here has used, this process aside. */
const used = (): number =>
  tree(process.pid)
    .slice(1)
    .reduce((sum, pid) => sum + cpuOf(pid), 0)

/**
 * What a real agent does after its answer (titles, transcripts, collections) would be the next turn's, and that of
 * another side: until nothing that was started here uses more than a twentieth of a core, 10 s at most.
 */
const rest = async ({ real }: Kind): Promise<void> => {
  if (!real) return
  let before = used()
  for (let tries = 0; tries < 50; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    const after = used()
    if (after - before <= 10) return
    before = after
  }
}

const names = ["bare", "waiting", "streaming"] as const

/** What came of one kind. */
interface Played extends Sides<ReadonlyArray<Parts>> {
  /** Milliseconds of a core that the gateway used for a turn. */
  readonly cpu: number
}

const text = (turn: string): string => `turn ${turn}: hello, this is a message of a usual length for a chat`

/** All sides take turns, one at a time; `begun` is called when they begin to count. */
const play = async (sides: Sides<Asker>, kind: Kind, begun: () => void): Promise<Sides<ReadonlyMap<string, Heard>>> => {
  const { turns, warmUps } = share(kind)
  const heard = {
    bare: new Map<string, Heard>(),
    waiting: new Map<string, Heard>(),
    streaming: new Map<string, Heard>()
  }
  for (let round = 0; round < warmUps + turns; round++) {
    if (round === warmUps) begun()
    for (const name of names) {
      const turn = `${name}-${round}`
      await rest(kind)
      const one = await sides[name].turn(text(turn))
      if (round >= warmUps) heard[name].set(turn, one)
    }
  }
  return heard
}

/** A gateway that has run for days is compiled, which the few turns of a real agent don't do: a conversation beside. */
const warm = async (gateway: Running, { real }: Kind): Promise<void> => {
  if (!real) return
  const { close, turn } = waiting(gateway, Infinity, "warm")
  for (let round = 0; round < (quick ? 10 : 150); round++) await turn(text(`warm-${round}`))
  await close()
}

/** An answer is handed on before its times are written down: those of the last turn may come after it. */
const stampsOf = async (kind: Kind, { stamps }: Place) => {
  const { turns, warmUps } = share(kind)
  const last = `"streaming-${turns + warmUps - 1}"`
  for (let tries = 0; tries < 20 && !readFileSync(stamps, "utf8").includes(last); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return stampsIn(readFileSync(stamps, "utf8"))
}

const measureAt = async (kind: Kind, place: Place): Promise<Played> => {
  const gateway = await start(place.folder, { agents: { main: kind.agent(place) } })
  const open: Array<Asker> = []
  const opened = <A extends Asker>(asker: A): A => {
    open.push(asker)
    return asker
  }
  try {
    const waits = opened(waiting(gateway, kind.length))
    await waits.turn(text("first-1"))
    const [pid] = kind.stays ? childrenOf(gateway.pid) : []
    const bare = opened(await kind.bare(place, pid === undefined ? undefined : launchOf(pid)))
    await warm(gateway, kind)
    const sides = { bare, waiting: waits, streaming: opened(streaming(gateway, kind.length)) }
    let before = 0
    const heard = await play(sides, kind, () => {
      before = cpuOf(gateway.pid)
    })
    const cpu = (cpuOf(gateway.pid) - before) / (heard.waiting.size + heard.streaming.size)
    const stamps = await stampsOf(kind, place)
    const parts = (turns: ReadonlyMap<string, Heard>) => [...turns].map(([turn, one]) => partsOf(turn, one, stamps))
    return { bare: parts(heard.bare), waiting: parts(heard.waiting), streaming: parts(heard.streaming), cpu }
  } catch (error) {
    throw new Error(`${kind.name}: ${String(error)}\n${gateway.said()}`, { cause: error })
  } finally {
    for (const asker of open) await asker.close()
    await gateway.stop()
  }
}

const both = (spread: Spread | undefined): string =>
  spread === undefined ? "" : `${ms(spread.p50)}, ${ms(spread.p99)}`

const row = (kind: Kind, { bare, cpu, streaming, waiting }: Played): string => {
  const of = (parts: ReadonlyArray<Parts>, part: "whole" | "own" | "there" | "back") =>
    median(parts.map((turn) => turn[part]))
  const streamed = overheadOf(streaming, bare)
  const cells = [
    kind.title,
    String(waiting.length),
    `${ms(of(bare, "whole"))}, ${both(spread(bare.map(({ own }) => own)))}`,
    ms(of(waiting, "whole")),
    ms(of(waiting, "whole") - of(bare, "whole")),
    both(overheadOf(waiting, bare).answer),
    `${ms(of(waiting, "there"))}, ${ms(of(waiting, "back"))}`,
    both(streamed.answer),
    both(streamed.first),
    ms(cpu),
    kind.version
  ]
  return `| ${cells.join(" | ")} |`
}

const details = (rows: ReadonlyArray<string>): string =>
  [
    "| | turns | a turn bare, without the agent's own time (p50, p99) | through the gateway | difference | overhead of a turn that waits, p50, p99 | there, back | overhead of a turn that is streamed | to its first words | CPU of the gateway | agent |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
    ...rows,
    ...absent().map((line) => `\n${line}`)
  ].join("\n")

/** Milliseconds that a gateway may add to a turn. */
const most = 20

/** See the header. */
export const T15 = (): Promise<Figure> =>
  inFolder(async (folder) => {
    build()
    const rows: Array<string> = []
    const longest: Array<{ readonly name: string; readonly p99: number }> = []
    for (const kind of kinds()) {
      const sides = await placed(kind, folder, (place) => measureAt(kind, place))
      rows.push(row(kind, sides))
      process.stderr.write(`  ${rows.at(-1)}\n`)
      const p99 = Math.max(...[sides.waiting, sides.streaming].map((side) => overheadOf(side, sides.bare).answer.p99))
      longest.push({ name: kind.name, p99 })
    }
    return {
      id: "T15",
      what: "what the gateway adds to a turn over the bare agent, through HTTP, p99",
      target: `<= ${most} ms`,
      measured: longest.map(({ name, p99 }) => `${name} ${ms(p99)}`).join(", "),
      met: longest.every(({ p99 }) => p99 <= most),
      details: details(rows)
    }
  })
