// The verdict of a run: its tables, the block on the guarantees' page that sums up several runs, and the command line with
// its exit codes.
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import type { Verdict } from "../src/levels/Level.ts"
import { lastLine, percentile, span, timeRows, verdictText } from "../src/verdict.ts"
import { block, placed, runOf, summed, writeDown } from "../src/verdictPage.ts"

const verdict: Verdict = {
  level: "L2",
  runs: 3,
  kills: 1_234,
  sent: 9_100,
  acknowledged: 9_000,
  lost: 0,
  duplicated: { keyed: 0, "resend-once": 7 },
  orderFaults: 0,
  violations: [],
  times: { "stop: hang": [30, 10, 20], "boot to ready, 0 open": [] },
  notes: ["one world was short"]
}

const about = {
  command: "npm run torture -- --minutes 30",
  date: "2026-11-21",
  machine: "2 cores of a processor",
  seed: 5
}

describe("the verdict", () => {
  it("takes percentiles from what was measured", () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1)
    expect([50, 99, 100].map((at) => percentile(hundred, at))).toEqual([50, 99, 100])
    expect([50, 99, 100].map((at) => percentile([7], at))).toEqual([7, 7, 7])
    expect([5.123, 51.4, 5_123, 512_345].map(span)).toEqual(["5.1 ms", "51 ms", "5.1 s", "512 s"])
  })

  it("has a row for each level and each time that was measured", () => {
    const text = verdictText([verdict])
    expect(text).toContain(
      "L2        3  worlds  1,234  9,100         9,000     0             0       0  keyed 0, resend-once 7"
    )
    expect(timeRows(verdict.times).slice(1)).toEqual([["stop: hang", "3", "20 ms", "30 ms", "30 ms"]])
    expect(text).toContain("L2  one world was short")
    expect(text.split("\n").at(-1)).toBe(
      "KEPT: 1,234 kills, 9,000 acknowledged, 0 lost, 0 order faults, 0 promises broken"
    )
  })

  it("names each broken promise with what repeats it, the first of many", () => {
    const violations = Array.from({ length: 25 }, (_, index) => ({
      invariant: "I1",
      what: `m${index} has no end`,
      seed: 77,
      history: "somewhere/history.jsonl"
    }))
    const text = verdictText([{ ...verdict, lost: 25, violations }])
    expect(text).toContain("L2: 25 broken\nI1  m0 has no end\n    seed 77, history somewhere/history.jsonl\n")
    expect(text).toContain("... and 5 more")
    expect(text).not.toContain("m20 has no end")
    expect(lastLine([{ ...verdict, violations }])).toMatch(/^BROKEN: .*, 25 promises broken$/)
  })

  it("does not call it kept when nothing was run", () => {
    expect(verdictText([])).toBe("NOTHING was run, and nothing is proved")
  })
})

describe("the block of figures", () => {
  const run = runOf([verdict], about)

  it("sums kills over runs and keeps every seed", () => {
    const runs = [run, { ...run, seed: 6, date: "2026-11-22" }]
    expect(summed(runs)).toEqual([
      {
        level: "L2",
        runs: 6,
        kills: 2_468,
        sent: 18_200,
        acknowledged: 18_000,
        lost: 0,
        duplicated: { keyed: 0, "resend-once": 14 },
        orderFaults: 0,
        broken: 0
      }
    ])
    expect(block(runs).split("\n").slice(0, 5)).toEqual([
      "Summed over 2 runs from 2026-11-21 to 2026-11-22, on 2 cores of a processor.",
      "Commands: `npm run torture -- --minutes 30`. Seeds: 5, 6.",
      "",
      "| level | runs | kills | sent | acknowledged | lost | extra copies | order faults | broken |",
      "|---|--:|--:|--:|--:|--:|---|--:|--:|"
    ])
    expect(block(runs)).toContain("| stop: hang | 3 | 20 ms | 30 ms | 30 ms |")
  })

  it("has each time of the newest run with enough of it, and of the one with most where none has", () => {
    const measured = (...counts: ReadonlyArray<number>) =>
      block(
        counts.map((count, index) => ({
          ...runOf([], about),
          times: { "stop: idle": { count, p50: index + 1, p99: index + 1, max: index + 1 } }
        }))
      )
    expect(measured(47, 25, 1)).toContain("| stop: idle | 25 | 2.0 ms |")
    expect(measured(6, 9, 1)).toContain("| stop: idle | 9 | 2.0 ms |")
    expect(measured(20, 20)).toContain("| stop: idle | 20 | 2.0 ms |")
  })

  it("adds up what agents of each kind did, of the runs that say it", () => {
    const agents = { acp: { runs: 1_200, answered: 7, again: 3, outlived: 0 } }
    const told = runOf(
      [
        { ...verdict, agents },
        { ...verdict, level: "L3", agents }
      ],
      about
    )
    expect(told.levels[0]?.agents).toEqual(agents)
    expect(block([runOf([verdict], about)])).not.toContain("kind of agent")
    expect(block([runOf([verdict], about), told, told])).toContain("| acp | 4,800 | 28 | 12 | 0 |")
    expect(verdictText([{ ...verdict, agents }])).toContain("L2     acp            1,200         7      3         0")
  })

  it("has the newest hunt of each mutant, and says who was not caught", () => {
    const mutant = {
      name: "acknowledged-before-commit",
      breaks: "C1",
      caught: true,
      level: "L1",
      invariant: "I1",
      runs: 4,
      kills: 9
    }
    const missed = { name: "no-epoch-fence", breaks: "C4", caught: false, what: "nobody saw it", seconds: 3 }
    const text = block([runOf([], about, [{ ...mutant, caught: false }, missed]), runOf([], about, [mutant])])
    expect(text).toContain("1 of 2 mutants caught")
    expect(text).toContain("| acknowledged-before-commit | C1 | L1 (I1) | 4 | 9 |")
    expect(text).toContain("| no-epoch-fence | C4 | **nobody** | 0 | 0 |")
  })

  it("replaces what stands between its marks and nothing else", () => {
    const page = "# G\n\n<!-- torture -->\nold\n<!-- /torture -->\n\nrest\n"
    expect(placed(page, "new")).toBe("# G\n\n<!-- torture -->\n\nnew\n\n<!-- /torture -->\n\nrest\n")
    expect(placed(placed(page, "new"), "new")).toBe(placed(page, "new"))
    expect(() => placed("# G\n", "new")).toThrow("the page has no <!-- torture -->")
  })

  it("is written from the list of all runs, to which this one is added", () => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "torture-page-"))
    onTestFinished(() => Fs.rmSync(folder, { recursive: true, force: true }))
    Fs.writeFileSync(Path.join(folder, "guarantees.md"), "<!-- torture -->\n<!-- /torture -->\n")
    writeDown(run, folder)
    writeDown({ ...run, seed: 6 }, folder)
    const runs = JSON.parse(Fs.readFileSync(Path.join(folder, "torture-runs.json"), "utf8"))
    expect(runs).toEqual([run, { ...run, seed: 6 }])
    expect(Fs.readFileSync(Path.join(folder, "guarantees.md"), "utf8")).toContain("2,468")
  })
})

describe("the command", () => {
  const main = Path.join(import.meta.dirname, "../src/main.ts")
  const torture = (...args: ReadonlyArray<string>) => {
    const { status, stderr, stdout } = spawnSync(process.execPath, ["--no-warnings", main, ...args], {
      encoding: "utf8"
    })
    return { status, stderr, stdout }
  }

  it.each([
    [["--levels", "L9"], 'Invalid value for flag --levels: "L9". Expected: some of L0, L1, L2, L3, L4'],
    [["--minutes", "0"], 'Invalid value for flag --minutes: "0". Expected: a number of minutes above 0'],
    [["--seed", "x"], "Invalid value for flag --seed"],
    [["--agents", "made-up"], "Invalid value for flag --agents"],
    [["--level", "L0"], "--level"]
  ])("ends with 2 and says what is wrong with %j", (args, words) => {
    const { status, stderr } = torture(...args)
    expect(stderr).toContain(words)
    expect(status).toBe(2)
  })

  it("shows what it takes", () => {
    const { status, stdout } = torture("--help")
    expect(status).toBe(0)
    for (const flag of [
      "--levels",
      "--minutes",
      "--seed",
      "--mutants",
      "--agents",
      "--stop-at-first",
      "--json",
      "--write"
    ]) {
      expect(stdout).toContain(flag)
    }
  })
})
