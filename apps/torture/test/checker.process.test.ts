// The checker as the process that it is: it is given a file and prints a verdict; it knows nothing of the gateway's code,
// and it stays quick on long histories.
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { parseAst } from "rolldown/parseAst"
import { afterEach, beforeEach, expect, it } from "vitest"
import { check, violationsOf } from "../src/checker/check.ts"
import type { Operation } from "../src/history/Operation.ts"
import { randomOf } from "../src/world/random.ts"
import { chronicle } from "./chronicle.ts"
import { tale } from "./tale.ts"

const source = Path.join(import.meta.dirname, "../src/checker")
let folder = ""
beforeEach(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "torture-checker-"))
})
afterEach(() => Fs.rmSync(folder, { recursive: true, force: true }))

const written = (operations: ReadonlyArray<Operation>): string => {
  const file = Path.join(folder, "history.jsonl")
  Fs.writeFileSync(file, operations.map((operation) => `\n${JSON.stringify(operation)}`).join(""))
  return file
}

/** The checker's exit code and what it says on standard error. */
const ran = (...args: ReadonlyArray<string>): Promise<{ readonly code: unknown; readonly err: string }> =>
  new Promise((resolve) => {
    const program = Path.join(source, "main.ts")
    execFile(process.execPath, ["--no-warnings", program, ...args], (error, _, err) =>
      resolve({ code: error === null ? 0 : error.code, err })
    )
  })

it("passes a good history and ends with 0", async () => {
  const file = written(chronicle(randomOf(1)))
  const verdict = await check(file)
  expect(verdict).toMatchObject({ file, acknowledged: 120, lost: 0, broken: [] })
  expect(violationsOf(verdict, 1)).toEqual([])
  expect((await ran(file)).code).toBe(0)
})

it("names what is broken with the lines of the file, the seed and the file, and ends with 1", async () => {
  const file = written(tale().sends("a").rests().operations)
  const violations = violationsOf(await check(file), 7, file)
  expect(violations).toEqual([
    {
      invariant: "I1",
      what: "ann: a was acknowledged and had no end when everything was at rest (lines 2, 3, 4)",
      seed: 7,
      history: file
    }
  ])
  const lines = Fs.readFileSync(file, "utf8").split("\n")
  expect(JSON.parse(lines[1] ?? "")).toMatchObject({ op: "send", phase: "invoke", id: "a" })
  expect((await ran(file)).code).toBe(1)
})

it("lists the first of many and counts the rest", async () => {
  const told = tale()
  for (let n = 0; n < 150; n++) told.sends(`m${n}`)
  const violations = violationsOf(await check(written(told.rests().operations)), 7)
  expect(violations.length).toBe(101)
  expect(violations.at(-1)).toEqual({ invariant: "I1", what: "50 more of the same kind", seed: 7 })
})

it("ends with 2, and not with a verdict, when it can't read the history or is asked in a wrong way", async () => {
  const missing = Path.join(folder, "nothing.jsonl")
  expect(await ran(missing)).toEqual({ code: 2, err: expect.stringContaining("ENOENT") })
  expect(await ran()).toEqual({ code: 2, err: expect.stringContaining("usage") })
  const odd = Path.join(folder, "odd.jsonl")
  Fs.writeFileSync(odd, `\n{"op":"guess","phase":"ok","at":1}`)
  expect(await ran(odd)).toEqual({ code: 2, err: expect.stringContaining("odd.jsonl:2: no operation") })
  await expect(check(missing)).rejects.toThrow(/the checker ended with 2/)
})

it("imports nothing of the gateway, and no driver that could open its journal", () => {
  const outside = Fs.readdirSync(source).flatMap((name) => {
    const text = Fs.readFileSync(Path.join(source, name), "utf8")
    const { body } = parseAst(text, { lang: "ts" }, name)
    return body.flatMap((node) => {
      if (!("source" in node) || node.source === null || node.source === undefined) return []
      const from = String((node.source as { readonly value: unknown }).value)
      const inside = from.startsWith("./") || from.startsWith("../history/")
      const types = "importKind" in node && node.importKind === "type"
      return inside || types || /^node:(process|child_process|url|fs)$/.test(from) ? [] : [`${name}: ${from}`]
    })
  })
  expect(outside).toEqual([])
})
