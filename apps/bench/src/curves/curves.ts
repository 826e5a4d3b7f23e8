/**
 * Growth curves: throughput, memory, boot and stop against the number of conversations and of pending messages, as tables
 * and as pictures. Each point runs in a process of its own.
 */
import { spawn } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ms, thousands } from "../figure.ts"
import { origin, plotsFolder, writeBlock } from "../page.ts"
import { draw, type Plot, type Series } from "./plots.ts"
import { type Axis, measure, type Point } from "./points.ts"

export type Curves = Readonly<Record<Axis, ReadonlyArray<Point>>>

const sizes: Readonly<Record<Axis, ReadonlyArray<number>>> = {
  conversations: [100, 300, 1000, 3000, 10_000, 30_000, 100_000],
  pending: [0, 100, 1000, 3000, 10_000, 30_000, 100_000]
}
const more = [300_000, 1_000_000]

const megabytes = (bytes: number): number => bytes / 1e6

const completions: Series = { title: "accepted, handled, completed", value: (point) => point.completions }
const resident: Series = { title: "resident after a boot", value: (point) => megabytes(point.resident) }
const heap: Series = { title: "heap after a boot", value: (point) => megabytes(point.heap) }
const served: Series = {
  title: "heap after each was served",
  value: ({ served }) => (served === undefined ? undefined : megabytes(served))
}
const boot: Series = { title: "boot: start of the gateway to ready", value: (point) => point.boot }
const stop: Series = { title: "stop: nothing is waited for", value: (point) => point.stop }

const plots: ReadonlyArray<Plot> = [
  {
    name: "throughput-conversations",
    title: "Throughput against conversations",
    axis: "conversations",
    unit: "messages a second",
    scale: "linear",
    series: [completions]
  },
  {
    name: "memory-conversations",
    title: "Memory against conversations",
    axis: "conversations",
    unit: "MB",
    scale: "linear",
    series: [resident, heap, served]
  },
  {
    name: "times-conversations",
    title: "Boot and stop against conversations",
    axis: "conversations",
    unit: "milliseconds",
    scale: "log",
    series: [boot, stop]
  },
  {
    name: "throughput-pending",
    title: "Throughput against pending messages",
    axis: "pending",
    unit: "messages a second",
    scale: "linear",
    series: [
      { title: "durable accepts meanwhile", value: (point) => point.accepts },
      { title: "completions of a backlog", value: (point) => point.completions }
    ]
  },
  {
    name: "memory-pending",
    title: "Memory against pending messages",
    axis: "pending",
    unit: "MB",
    scale: "linear",
    series: [resident, heap]
  },
  {
    name: "times-pending",
    title: "Boot and stop against pending messages",
    axis: "pending",
    unit: "milliseconds",
    scale: "log",
    series: [boot, stop]
  }
]

/** The program's part for one point; see `main.ts`. */
export const point = async (axis: string, size: string): Promise<void> => {
  if (axis !== "conversations" && axis !== "pending") throw new Error(`no axis "${axis}"`)
  process.stdout.write(`point ${JSON.stringify(await measure[axis](Number(size)))}\n`)
}

const inProcess = (program: string, axis: Axis, size: number): Promise<Point> =>
  new Promise((resolve, reject) => {
    const args = ["--expose-gc", "--no-warnings", "--max-old-space-size=8192", program, "--point", axis, `${size}`]
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString()
    })
    child.on("error", reject)
    child.on("exit", (code) => {
      const line = text.split("\n").find((line) => line.startsWith("point "))
      if (line === undefined) reject(new Error(`${size} ${axis} ended with ${code} and without a result`))
      else resolve(JSON.parse(line.slice("point ".length)) as Point)
    })
  })

const rateOf = (rate: number | undefined): string => (rate === undefined ? "" : thousands(rate))

const columns: Readonly<Record<Axis, ReadonlyArray<readonly [string, (point: Point) => string]>>> = {
  conversations: [
    ["conversations", ({ size }) => size.toLocaleString("en")],
    ["completions", ({ completions }) => rateOf(completions)],
    ["messages a turn", ({ batch }) => (batch === undefined ? "" : batch.toFixed(1))],
    ["heap, each served", ({ served }) => (served === undefined ? "" : `${megabytes(served).toFixed(1)} MB`)],
    ["heap after a boot", ({ heap }) => `${megabytes(heap).toFixed(1)} MB`],
    ["resident after a boot", ({ resident }) => `${megabytes(resident).toFixed(0)} MB`],
    ["boot", ({ boot }) => ms(boot)],
    ["stop", ({ stop }) => ms(stop)]
  ],
  pending: [
    ["pending", ({ size }) => size.toLocaleString("en")],
    ["accepts", ({ accepts }) => rateOf(accepts)],
    ["completions", ({ completions }) => rateOf(completions)],
    ["heap after a boot", ({ heap }) => `${megabytes(heap).toFixed(1)} MB`],
    ["resident after a boot", ({ resident }) => `${megabytes(resident).toFixed(0)} MB`],
    ["boot", ({ boot }) => ms(boot)],
    ["stop", ({ stop }) => ms(stop)]
  ]
}

const table = (axis: Axis, points: ReadonlyArray<Point>): string => {
  const shown = columns[axis]
  const row = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  return [
    row(shown.map(([title]) => title)),
    `|${shown.map(() => "---|").join("")}`,
    ...points.map((point) => row(shown.map(([, cell]) => cell(point))))
  ].join("\n")
}

/** Both tables, as the page has them. */
const tables = (curves: Curves): string =>
  [table("conversations", curves.conversations), table("pending", curves.pending)].join("\n\n")

const write = async (curves: Curves, command: string): Promise<void> => {
  mkdirSync(plotsFolder, { recursive: true })
  writeFileSync(join(plotsFolder, "curves.json"), `${JSON.stringify(curves, null, 2)}\n`)
  for (const plot of plots) await draw(plot, curves[plot.axis], plotsFolder)
  const pictures = plots.map(({ name, title }) => `![${title}](performance/${name}.svg)`).join("\n\n")
  writeBlock("curves", `${origin(command)}\n\n${pictures}\n\n${tables(curves)}`)
}

/** Measures all points, shows the tables, and with a `command` puts them into the page. */
export const curves = async (program: string, full: boolean, command: string | undefined): Promise<void> => {
  const measured: Record<Axis, Array<Point>> = { conversations: [], pending: [] }
  for (const axis of ["conversations", "pending"] as const) {
    for (const size of full ? [...sizes[axis], ...more] : sizes[axis]) {
      const start = performance.now()
      const found = await inProcess(program, axis, size)
      measured[axis].push(found)
      const took = ((performance.now() - start) / 1000).toFixed(0)
      process.stdout.write(
        `${size} ${axis}: ${[found.completions, found.accepts].map(rateOf).join(" ")} boot ${ms(found.boot)}, stop ${ms(found.stop)}, heap ${megabytes(found.heap).toFixed(1)} MB (${took} s)\n`
      )
    }
  }
  process.stdout.write(`\n${tables(measured)}\n`)
  if (command !== undefined) await write(measured, command)
}
