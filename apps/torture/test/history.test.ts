// A history is written by many processes, some of which are killed while they write: what the reader makes of it.
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { read } from "../src/history/reader.ts"
import { History, now } from "../src/history/writer.mjs"

let folder = ""
beforeEach(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "torture-history-"))
})
afterEach(() => Fs.rmSync(folder, { recursive: true, force: true }))

const file = () => Path.join(folder, "history.jsonl")

it("reads back what was appended, with the numbers of the lines", () => {
  const history = History.open(file())
  const at = history.append({ op: "fault", phase: "invoke", by: "test", what: "a disk, „full“\nand more" })
  history.append({ op: "rest", phase: "ok", by: "test" })
  history.close()
  const { lines, torn } = read(file())
  expect(torn).toEqual([])
  expect(lines.map((_) => _.operation.op)).toEqual(["fault", "rest"])
  expect(lines[0]?.operation).toEqual({
    op: "fault",
    phase: "invoke",
    by: "test",
    what: "a disk, „full“\nand more",
    at
  })
  expect(lines[0]?.line).toBeLessThan(lines[1]?.line ?? 0)
})

it("orders by moment, whatever the order of the lines", () => {
  const history = History.open(file())
  const early = now()
  history.append({ op: "fault", phase: "ok", by: "test", what: "second" })
  history.append({ op: "fault", phase: "ok", by: "test", what: "first", at: early })
  history.close()
  expect(read(file()).lines.map((_) => (_.operation.op === "fault" ? _.operation.what : ""))).toEqual([
    "first",
    "second"
  ])
})

it("counts the piece of a line that a dying writer left, and the next writer's line is whole", () => {
  const history = History.open(file())
  history.append({ op: "fault", phase: "ok", by: "test", what: "before" })
  Fs.appendFileSync(file(), `\n{"op":"run","phase":"in`)
  history.append({ op: "rest", phase: "ok", by: "test" })
  history.close()
  const { lines, torn } = read(file())
  expect(lines.map((_) => _.operation.op)).toEqual(["fault", "rest"])
  expect(torn).toEqual([3])
})

it("refuses a whole line that is no operation, and names it", () => {
  const history = History.open(file())
  history.append({ op: "rest", phase: "ok", by: "test" })
  history.close()
  Fs.appendFileSync(file(), `\n{"op":"sned","phase":"ok","at":1}`)
  expect(() => read(file())).toThrow(/history\.jsonl:3: no operation/)
})

it("keeps every line of four processes that write at once, on one clock", async () => {
  const program = `
    import { History } from ${JSON.stringify(new URL("../src/history/writer.mjs", import.meta.url).href)}
    const history = History.open(process.argv[1])
    for (let i = 0; i < 500; i++) {
      history.append({ op: "fault", phase: "ok", by: process.argv[2], what: i + " " + "x".repeat(i * 17) })
    }`
  const before = now()
  const ends = await Promise.all(
    ["a", "b", "c", "d"].map(async (name) => {
      const child = spawn(process.execPath, ["--input-type=module", "-e", program, file(), name], { stdio: "inherit" })
      const [code] = await once(child, "exit")
      return code
    })
  )
  const after = now()
  expect(ends).toEqual([0, 0, 0, 0])
  const { lines, torn } = read(file())
  expect(torn).toEqual([])
  expect(lines.length).toBe(2_000)
  const moments = lines.map((_) => _.operation.at)
  expect(moments).toEqual(moments.toSorted((a, b) => a - b))
  expect(moments[0]).toBeGreaterThan(before)
  expect(moments.at(-1)).toBeLessThan(after)
})
