/**
 * Benchmarks, each in a process of its own: `npm run bench` runs all, `npm run
 * bench -- T1 T3` some, `--full` the long ones too, `--write` puts the figures into
 * docs/performance.md. They assert nothing: a machine that others use decides no test.
 */
import { spawn } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { join } from "node:path"
import type { Figure } from "./figure.ts"

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
  T14: async () => (await import("./peers/openclaw.ts")).T14()
}

const page = join(import.meta.dirname, "../../../docs/performance.md")
const [begin, end] = ["<!-- figures -->", "<!-- /figures -->"]

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

const verdict = (met: boolean | undefined): string => (met === undefined ? "not measured" : met ? "yes" : "**no**")

const table = (rows: ReadonlyArray<Figure>): string =>
  [
    "| | figure | target | measured | met |",
    "|---|---|---|---|---|",
    ...rows.map(
      ({ id, measured, met, target, what }) => `| ${id} | ${what} | ${target} | ${measured} | ${verdict(met)} |`
    )
  ].join("\n")

const machine = () => {
  const model = cpus()[0]?.model ?? "unknown processor"
  return `${cpus().length} cores of ${model}, ${Math.round(totalmem() / 1e9)} GB, ${process.platform} ${process.arch}, Node ${process.version}`
}

const write = (rows: ReadonlyArray<Figure>, command: string) => {
  const text = readFileSync(page, "utf8")
  const at = text.indexOf(begin)
  const until = text.indexOf(end)
  if (at < 0 || until < at) throw new Error(`${page} has no ${begin} ... ${end}`)
  const date = new Date().toISOString().slice(0, 10)
  const figures = `${begin}\n\n\`${command}\` on ${date}: ${machine()}.\n\n${table(rows)}\n\n${end}`
  writeFileSync(page, text.slice(0, at) + figures + text.slice(until + end.length))
}

const main = async (args: ReadonlyArray<string>) => {
  const one = args.indexOf("--one")
  if (one >= 0) {
    const figure = figures[args[one + 1] ?? ""]
    if (figure === undefined) throw new Error(`no figure "${args[one + 1]}"`)
    process.stdout.write(`figure ${JSON.stringify(await figure())}\n`)
    return
  }
  const names = args.filter((arg) => !arg.startsWith("--"))
  const unknown = names.filter((name) => !(name in figures))
  if (unknown.length > 0)
    throw new Error(`no figure ${unknown.join(", ")}; there are ${Object.keys(figures).join(", ")}`)
  const rows: Array<Figure> = []
  for (const name of names.length > 0 ? names : Object.keys(figures)) {
    process.stdout.write(`${name} ...\n`)
    const figure = await inProcess(name, args.includes("--full"))
    rows.push(figure)
    process.stdout.write(
      `${name} ${figure.met === undefined ? "not measured" : figure.met ? "met" : "NOT MET"}: ${figure.what}\n  target ${figure.target}\n  measured ${figure.measured}\n`
    )
  }
  process.stdout.write(`\n${table(rows)}\n`)
  if (args.includes("--write")) write(rows, `npm run bench${args.length === 0 ? "" : ` -- ${args.join(" ")}`}`)
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
)
