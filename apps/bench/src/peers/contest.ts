/**
 * T4: Sluice and other durable queues take turns in one run. Each side is a process of its own (with its server where it
 * has one) that stays up for all rounds; a round lasts about two seconds, so a slow side gets fewer messages. Only one
 * side works at a time.
 */
import { spawn } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { type Figure, median, perSecond, thousands } from "../figure.ts"
import { conversations, type Outcome } from "./Contestant.ts"

interface Side {
  readonly name: string
  readonly title: string
  /** How many times its rate Sluice's has to be; absent where the page only shows it. */
  readonly factor?: number
}

const own: Side = { name: "sluice", title: "Sluice" }

const sides: ReadonlyArray<Side> = [
  own,
  { name: "sluice-followup", title: "Sluice, one message a turn" },
  { name: "restate", title: "Restate", factor: 10 },
  { name: "bullmq", title: "BullMQ", factor: 8 },
  { name: "bullmq-each", title: "BullMQ, a queue each" },
  { name: "bullmq-default", title: "BullMQ, Redis not durable" },
  { name: "pg-boss", title: "pg-boss", factor: 15 },
  { name: "graphile-worker", title: "graphile-worker", factor: 15 },
  { name: "plainjob", title: "plainjob", factor: 8 }
]

const warmUps = 2
const rounds = 5
const secondsPerRound = 2
const most = 38_400

interface Running {
  readonly side: Side
  readonly rates: Array<number>
  faults: number
  setting: string
  /** The next line of its process, or why there is none. */
  readonly next: () => Promise<{ readonly kind: string; readonly value: unknown }>
  readonly ask: (line: string) => void
  readonly close: () => Promise<void>
}

const start = (side: Side): Running => {
  const args = ["--no-warnings", join(import.meta.dirname, "sides.ts"), side.name]
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] })
  const exited = new Promise<void>((resolve) => child.on("exit", () => resolve()))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    for (;;) {
      const { done, value } = await lines.next()
      if (done === true) return { kind: "ended", value: `its process ended with ${child.exitCode ?? child.signalCode}` }
      const match = /^(ready|done|setting|absent) (.*)$/.exec(value)
      // Libraries print to the standard output too.
      if (match !== null) return { kind: match[1] ?? "", value: JSON.parse(match[2] ?? "null") as unknown }
    }
  }
  return {
    side,
    rates: [],
    faults: 0,
    setting: "",
    next,
    ask: (line) => void child.stdin.write(`${line}\n`),
    close: async () => {
      child.stdin.end()
      await exited
    }
  }
}

const share = (rate: number): number => {
  const count = Math.min(most, Math.max(640, rate * secondsPerRound))
  return Math.round(count / conversations) * conversations
}

const play = async (running: Running, round: number): Promise<boolean> => {
  const count = share(running.rates.at(-1) ?? 0)
  running.ask(`round ${count}`)
  const { kind, value } = await running.next()
  if (kind !== "done") {
    process.stderr.write(`  ${running.side.title} is out in round ${round}: ${String(value)}\n`)
    return false
  }
  const { faults, millis } = value as Outcome
  running.faults += faults
  running.rates.push(perSecond(count, millis))
  return true
}

const rate = ({ rates }: Running): number => median(rates.slice(warmUps))

/** Sluice's rate over a side's in the same round, median of the rounds. */
const ratio = (ours: Running, other: Running): number =>
  median(ours.rates.slice(warmUps).map((value, index) => value / (other.rates[warmUps + index] ?? Number.NaN)))

const contest = async (): Promise<{
  readonly played: ReadonlyArray<Running>
  readonly absent: ReadonlyArray<string>
}> => {
  const absent: Array<string> = []
  let playing: Array<Running> = []
  try {
    for (const side of sides) {
      const running = start(side)
      const { kind, value } = await running.next()
      if (kind === "ready") playing.push(running)
      else {
        await running.close()
        absent.push(`${side.title}: ${String(value)}`)
        process.stderr.write(`  without ${side.title}: ${String(value)}\n`)
      }
    }
    for (let round = 0; round < warmUps + rounds; round++) {
      const left: Array<Running> = []
      for (const running of playing) {
        if (await play(running, round)) left.push(running)
        else absent.push(`${running.side.title}: ended in round ${round}`)
      }
      playing = left
      const line = playing.map(({ rates, side }) => `${side.name} ${thousands(rates.at(-1) ?? Number.NaN)}`).join(", ")
      process.stderr.write(`  ${round < warmUps ? "warm-up" : `round ${round - warmUps + 1} of ${rounds}`}: ${line}\n`)
    }
    return { played: playing, absent }
  } finally {
    for (const running of playing) {
      const closed = running.close()
      const { kind, value } = await running.next()
      if (kind === "setting") running.setting = String(value)
      await closed
    }
  }
}

const times = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)}x`

export const T4 = async (): Promise<Figure> => {
  const { absent, played } = await contest()
  const ours = played.find(({ side }) => side === own)
  if (ours === undefined) throw new Error("Sluice's own side did not play to the end")
  const judged = played.filter(({ side }) => side.factor !== undefined)
  const single = played.find(({ side }) => side.name === "sluice-followup")
  const rows = played.map((running) => {
    const { factor, title } = running.side
    const against = ratio(ours, running)
    const target = factor === undefined ? "" : `>= ${factor}x${against >= factor ? "" : " (**no**)"}`
    const one = single === undefined || single === running || running === ours ? "" : times(ratio(single, running))
    const all = running === ours ? "" : times(against)
    return `| ${title} | ${thousands(rate(running))} | ${all} | ${one} | ${target} | ${running.faults} | ${running.setting} |`
  })
  const wanted = sides.filter(({ factor }) => factor !== undefined)
  return {
    id: "T4",
    what: `ordered durable completions/s against other queues in the same run, ${conversations} conversations`,
    target: wanted.map(({ factor, title }) => `>= ${factor}x ${title}`).join(", "),
    measured:
      judged.length === 0
        ? "no other queue on this machine"
        : judged.map((running) => `${times(ratio(ours, running))} ${running.side.title}`).join(", "),
    ...(judged.length === 0
      ? {}
      : { met: judged.every((running) => ratio(ours, running) >= (running.side.factor ?? 0)) }),
    details: [
      "| | messages/s | Sluice is faster by | with one message a turn | target | out of order or twice | versions and settings |",
      "|---|---|---|---|---|---|---|",
      ...rows,
      ...absent.map((line) => `\nNot measured: ${line}.`)
    ].join("\n")
  }
}
