/**
 * Benchmarks, each in a process of its own: `npm run bench` runs all, `npm run
 * bench -- T1 T3 curves` some, `agents`, `channels` and `pools` those of a block, `--full` the long ones too, `--write` puts tables and
 * plots into docs/performance.md. They assert nothing: a machine that others use decides no test.
 */
import { spawn } from "node:child_process"
import type { Figure } from "./figure.ts"
import { origin, writeBlock } from "./page.ts"

const figures: Readonly<Record<string, () => Promise<Figure>>> = {
  T1: async () => (await import("./intake.ts")).T1(),
  T2: async () => (await import("./intake.ts")).T2(),
  T3: async () => (await import("./pipeline.ts")).T3(),
  T4: async () => (await import("./peers/contest.ts")).T4(),
  T5: async () => (await import("./pipeline.ts")).T5(),
  T6: async () => (await import("./timers.ts")).T6(),
  T7: async () => (await import("./pipeline.ts")).T7(),
  T8: async () => (await import("./intake.ts")).T8(),
  T9: async () => (await import("./pipeline.ts")).T9(),
  T10: async () => (await import("./pipeline.ts")).T10(),
  T11: async () => (await import("./process.ts")).T11(),
  T12: async () => (await import("./http.ts")).T12(),
  T13: async () => (await import("./pipeline.ts")).T13(),
  T14: async () => (await import("./peers/openclaw.ts")).T14(),
  T15: async () => (await import("./agents/overhead.ts")).T15(),
  T16: async () => (await import("./agents/suspension.ts")).T16(),
  T17: async () => (await import("./agents/memory.ts")).T17(),
  PL1: async () => (await import("./pools/overhead.ts")).PL1(),
  PL2: async () => (await import("./pools/queued.ts")).PL2(),
  PL3: async () => (await import("./pools/stop.ts")).PL3(),
  WS1: async () => (await import("./sockets.ts")).WS1(),
  WS2: async () => (await import("./sockets.ts")).WS2()
}

/** Figures that have a block of their own on the page: beside other projects, with agents, of channels, and of model pools. */
const apart: Readonly<Record<string, ReadonlyArray<string>>> = {
  others: ["T4", "T14"],
  agents: ["T15", "T16", "T17"],
  channels: ["WS1", "WS2"],
  pools: ["PL1", "PL2", "PL3"]
}

/** Runs one figure in a fresh process, so that none runs in what another has warmed up or filled. */
const inProcess = (name: string, full: boolean): Promise<Figure> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--expose-gc", "--no-warnings", import.meta.filename, "--one", name], {
      env: { ...process.env, ...(full ? { SLUICE_BENCH_FULL: "1" } : {}) },
      stdio: ["ignore", "pipe", "inherit"]
    })
    let text = ""
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString()
    })
    child.on("error", reject)
    child.on("exit", (code) => {
      const line = text.split("\n").find((line) => line.startsWith("figure "))
      if (line === undefined) reject(new Error(`${name} ended with ${code} and without a figure:\n${text}`))
      else resolve(JSON.parse(line.slice("figure ".length)) as Figure)
    })
  })

const verdict = ({ met, target }: Figure): string => {
  if (met !== undefined) return met ? "yes" : "**no**"
  return target === "" ? "" : "not measured"
}

const table = (rows: ReadonlyArray<Figure>): string =>
  [
    "| | figure | target | measured | met |",
    "|---|---|---|---|---|",
    ...rows.map((row) => `| ${row.id} | ${row.what} | ${row.target} | ${row.measured} | ${verdict(row)} |`)
  ].join("\n")

/** The figures of a block of the page, and what follows its table. */
const blocks: ReadonlyArray<{ readonly name: string; readonly ids: ReadonlyArray<string> }> = [
  { name: "figures", ids: Object.keys(figures).filter((id) => !Object.values(apart).flat().includes(id)) },
  ...Object.entries(apart).map(([name, ids]) => ({ name, ids }))
]

/** A block is written when all of its figures were measured in this run: a table never mixes two runs. */
const write = (rows: ReadonlyArray<Figure>, command: string): void => {
  for (const { ids, name } of blocks) {
    const own = rows.filter(({ id }) => ids.includes(id))
    if (own.length === ids.length) {
      const details = own.flatMap(({ details }) => (details === undefined ? [] : [details]))
      writeBlock(name, [origin(command), table(own), ...details].join("\n\n"))
    } else if (own.length > 0) {
      process.stdout.write(`not written: ${own.length} of the figures ${ids.join(", ")}, which stand in one table\n`)
    }
  }
}

const report = ({ id, measured, met, target, what }: Figure): string =>
  `${id}${target === "" ? "" : met === undefined ? " not measured" : met ? " met" : " NOT MET"}: ${what}\n  target ${target || "none"}\n  measured ${measured}\n`

const measureAll = async (names: ReadonlyArray<string>, full: boolean): Promise<ReadonlyArray<Figure>> => {
  const rows: Array<Figure> = []
  for (const name of names) {
    process.stdout.write(`${name} ...\n`)
    try {
      const figure = await inProcess(name, full)
      rows.push(figure)
      process.stdout.write(report(figure))
    } catch (error) {
      // What the others say is worth having; the run ends as failed.
      process.exitCode = 1
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    }
  }
  if (rows.length > 0) process.stdout.write(`\n${table(rows)}\n`)
  for (const { details } of rows) if (details !== undefined) process.stdout.write(`\n${details}\n`)
  return rows
}

/** What a process does that this program started for itself. */
const inside = async ([flag, ...rest]: ReadonlyArray<string>): Promise<boolean> => {
  if (flag === "--one") {
    const figure = figures[rest[0] ?? ""]
    if (figure === undefined) throw new Error(`no figure "${rest[0]}"`)
    process.stdout.write(`figure ${JSON.stringify(await figure())}\n`)
  } else if (flag === "--point") await (await import("./curves/curves.ts")).point(rest[0] ?? "", rest[1] ?? "")
  else if (flag === "--boot") await (await import("./curves/points.ts")).bootHere(rest[0] ?? "")
  else return false
  return true
}

const main = async (args: ReadonlyArray<string>) => {
  if (await inside(args)) return
  const full = args.includes("--full")
  const named = args.filter((arg) => !arg.startsWith("--")).flatMap((arg) => apart[arg] ?? [arg])
  const unknown = named.filter((name) => !(name in figures) && name !== "curves")
  if (unknown.length > 0)
    throw new Error(
      `no figure ${unknown.join(", ")}; there are ${Object.keys({ ...figures, ...apart }).join(", ")} and curves`
    )
  const names = named.length > 0 ? named : [...Object.keys(figures), "curves"]
  const command = `npm run bench${args.length === 0 ? "" : ` -- ${args.join(" ")}`}`
  const rows = await measureAll(
    names.filter((name) => name !== "curves"),
    full
  )
  if (args.includes("--write")) write(rows, command)
  if (!names.includes("curves")) return
  const { curves } = await import("./curves/curves.ts")
  await curves(import.meta.filename, full, args.includes("--write") ? command : undefined)
}

main(process.argv.slice(2)).then(
  () => process.exit(),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
)
