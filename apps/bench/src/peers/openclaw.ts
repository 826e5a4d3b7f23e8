/**
 * T14: start and memory beside OpenClaw's gateway, each started alone in turns, with a new state folder, without a channel
 * that would call out. Ready is what each says of itself. Memory is that of all processes of the tree two seconds later,
 * with the pages that they share counted once.
 */
import { spawn } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { type Figure, median, ms, now } from "../figure.ts"
import { readIfThere, tree } from "../processes.ts"
import { inFolder } from "../store.ts"
import { Absent } from "./Contestant.ts"
import { ended, freePort, lastWords } from "./daemons.ts"
import { installed } from "./installed.ts"

const packages = ["openclaw@2026.9.6"]
const rounds = 3

interface Started {
  readonly millis: number
  readonly bytes: number
}

const weigh = (pid: number): { readonly own: number; readonly shared: number } => {
  const text = readIfThere(`/proc/${pid}/smaps_rollup`)
  const sum = (pattern: RegExp): number =>
    [...text.matchAll(pattern)].reduce((total, [, kilobytes]) => total + Number(kilobytes) * 1024, 0)
  return { own: sum(/^Private_(?:Clean|Dirty):\s+(\d+)/gm), shared: sum(/^Shared_(?:Clean|Dirty):\s+(\d+)/gm) }
}

/** What the processes have each for itself, and the largest shared part: the others share the same pages of Node. */
const weight = (pids: ReadonlyArray<number>): number => {
  const parts = pids.map(weigh)
  return parts.reduce((sum, { own }) => sum + own, 0) + Math.max(...parts.map(({ shared }) => shared))
}

interface Program {
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly ready: RegExp
}

/** Starts it, waits until it says that it is ready, weighs it two seconds later and stops it. */
const start = async ({ args, env, ready }: Program): Promise<Started> => {
  const begun = now()
  const child = spawn(process.execPath, args, {
    cwd: join(import.meta.dirname, "../../../.."),
    env: { ...process.env, NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const kill = () => void child.kill("SIGKILL")
  process.on("exit", kill)
  const said = lastWords(child)
  try {
    while (!ready.test(said())) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended at its start:\n${said()}`)
      if (now() - begun > 120_000) throw new Error(`not ready after 120 s:\n${said()}`)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    const millis = now() - begun
    await new Promise((resolve) => setTimeout(resolve, 2000))
    return { millis, bytes: weight(tree(child.pid ?? 0)) }
  } finally {
    await ended(child)
    process.off("exit", kill)
  }
}

const sluice = (folder: string): Program => ({
  args: ["apps/gateway/dist/bin.js", "run"],
  env: { SLUICE_STATE_DIR: folder, SLUICE_PORT: "0" },
  ready: /"ready"/
})

const openclaw = (program: string, folder: string, port: number): Program => ({
  args: [
    ...[program, "gateway", "run", "--allow-unconfigured", "--bind", "loopback", "--port", `${port}`],
    ...["--auth", "token", "--token", "bench"]
  ],
  env: { HOME: folder, TMPDIR: folder, OPENCLAW_STATE_DIR: join(folder, "state") },
  ready: /\[gateway\]\s+ready/
})

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`

const target = "<= 1/50 of its time, <= 1/10 of its memory"
const what = "start to ready and memory beside OpenClaw's gateway"

const measure = async (folder: string): Promise<Figure> => {
  const { path } = await installed("openclaw", packages)
  const program = path("openclaw", "openclaw.mjs")
  const ours: Array<Started> = []
  const theirs: Array<Started> = []
  for (let round = 0; round <= rounds; round++) {
    const [own, other] = [join(folder, `sluice${round}`), join(folder, `openclaw${round}`)]
    for (const path of [own, other]) mkdirSync(path)
    const [a, b] = [await start(sluice(own)), await start(openclaw(program, other, await freePort()))]
    process.stderr.write(
      `  ${round === 0 ? "warm-up" : `round ${round} of ${rounds}`}: ${ms(a.millis)}, ${megabytes(a.bytes)} over ${ms(b.millis)}, ${megabytes(b.bytes)}\n`
    )
    // The first start of each reads its files from the disk.
    if (round === 0) continue
    ours.push(a)
    theirs.push(b)
  }
  const of = (all: ReadonlyArray<Started>, key: keyof Started) => median(all.map((one) => one[key]))
  const time = median(theirs.map(({ millis }, index) => millis / (ours[index]?.millis ?? Number.NaN)))
  const memory = median(theirs.map(({ bytes }, index) => bytes / (ours[index]?.bytes ?? Number.NaN)))
  return {
    id: "T14",
    what,
    target,
    measured: `1/${time.toFixed(0)} of its time (${ms(of(ours, "millis"))} over ${ms(of(theirs, "millis"))}), 1/${memory.toFixed(1)} of its memory (${megabytes(of(ours, "bytes"))} over ${megabytes(of(theirs, "bytes"))})`,
    met: time >= 50 && memory >= 10
  }
}

export const T14 = (): Promise<Figure> =>
  inFolder((folder) =>
    measure(folder).catch((error: unknown) => {
      if (error instanceof Absent) return { id: "T14", what, target, measured: error.message }
      throw error
    })
  )
